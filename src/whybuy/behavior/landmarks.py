"""What the twins say at times at which nothing happens: the same heads, read from the state after the last event.

A landmark lies between events. The state that stands right before it is the one after the user's last moment; gap,
hour and counts are those of the landmark itself, so that a landmark at the time of an event is judged as that event is.
"""

import numpy as np
import numpy.typing as npt
import torch

from whybuy.behavior.examples import Examples
from whybuy.behavior.folds import folds_of_users
from whybuy.behavior.tokens import gap_bins
from whybuy.behavior.twins import TwinModels
from whybuy.events.moments import Moments, ranges
from whybuy.events.sequences import Sequences

Floats = npt.NDArray[np.float32]


def heads_at(twins: TwinModels, sequences: Sequences, landmarks: Moments, wide: Floats) -> Floats:
    """Return the (n, n_behaviors + 2 n_outcomes) nuisance logits at landmarks; NaN before a user's first event.

    Every user is judged by the twin that was not trained on it.

    Parameters
    ----------
    landmarks : times of the users of ``sequences``, see :meth:`Moments.at`
    wide : (n, n_wide) features of history at the landmarks
    """
    examples = Examples.of(sequences, twins.heads, twins.codes, context=twins.context)
    moments = examples.moments
    last = np.searchsorted(moments.first, landmarks.first, side="left") - 1
    known = (last >= 0) & (moments.user[last] == landmarks.user)
    order = np.flatnonzero(known)[np.argsort(last[known], kind="stable")]
    gap = gap_bins(landmarks.ts_ms - moments.ts_ms[last])
    out = np.full((len(landmarks), twins.heads.n_behaviors + 2 * twins.heads.n_outcomes), np.nan, np.float32)
    twin = folds_of_users(sequences.user_ids).twin
    for k, model in enumerate(twins.models):
        if model.nuisance is None:
            continue
        model.eval()
        device = next(model.parameters()).device
        with torch.inference_mode():
            for packed in examples.by_length(np.flatnonzero((twin == k)[examples.windows.user])):
                batch, moment = examples.batch(packed)
                low, high = (np.searchsorted(last[order], moment, side=side) for side in ("left", "right"))
                owner, place = ranges(high - low, low)
                if len(place) == 0:
                    continue
                asked, batch = order[place], batch.to(device)
                state = model.states(batch.stream)[batch.moment.after[torch.from_numpy(owner).to(device)]]
                rows = twins.codes.time_rows(gap[asked], landmarks.ts_ms[asked])
                now = model.now(*(row.to(device) for row in rows))
                counts = model.counts(torch.from_numpy(wide[asked]).to(device))
                out[asked] = model.nuisance(state, now, counts).cpu().numpy()
    return out
