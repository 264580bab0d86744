"""What the twins say at times at which nothing happens: the same heads, read from the state after the last event.

A landmark lies between events. The state that stands right before it is the one after the user's last moment; gap,
hour and counts are those of the landmark itself, so that a landmark at the time of an event is judged as that event is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from whybuy.behavior.examples import Examples
from whybuy.behavior.folds import folds_of_users
from whybuy.behavior.model import BehaviorModel
from whybuy.behavior.tokens import gap_bins
from whybuy.behavior.twins import TwinModels
from whybuy.events.moments import Moments, ranges
from whybuy.events.sequences import Bools, Ints, Sequences

Floats = npt.NDArray[np.float32]


def heads_at(twins: TwinModels, sequences: Sequences, landmarks: Moments, wide: Floats) -> Floats:
    """Return the (n, n_behaviors + 2 n_outcomes) nuisance logits at landmarks; NaN before a user's first event.

    Every user is judged by the twin that was not trained on it.

    Parameters
    ----------
    landmarks : times of the users of ``sequences``, see :meth:`Moments.at`
    wide : (n, n_wide) features of history at the landmarks

    Raises
    ------
    ModelError
        A twin would judge a user that it was trained on.
    """
    examples = Examples.of(sequences, twins.heads, twins.codes, context=twins.context)
    moments = examples.moments
    last = np.searchsorted(moments.first, landmarks.first, side="left") - 1
    known = np.flatnonzero((last >= 0) & (moments.user[last] == landmarks.user))
    asked = Asked(landmarks, last, known[np.argsort(last[known], kind="stable")], wide)
    with_landmarks = np.bincount(landmarks.user, minlength=sequences.n_users) > 0
    twin = folds_of_users(sequences.user_ids).twin
    out = np.full((len(landmarks), twins.heads.n_behaviors + 2 * twins.heads.n_outcomes), np.nan, np.float32)
    for k, model in enumerate(twins.models):
        users = (twin == k) & with_landmarks
        twins.require_unseen(k, sequences.user_ids[users])
        for rows, logits in _answers(model, examples, users, asked):
            out[rows] = logits
    return out


@dataclass(frozen=True)
class Asked:
    """Landmarks with the moments before them.

    Attributes
    ----------
    last : (n,) the user's last moment before each landmark
    order : those landmarks that have one, by ``last``
    wide : (n, n_wide) features of history
    """

    landmarks: Moments
    last: Ints
    order: Ints
    wide: Floats

    def after(self, moment: Ints) -> tuple[Ints, Ints]:
        """Return the landmarks right after the moments, and which of the moments each follows."""
        low, high = (np.searchsorted(self.last[self.order], moment, side=side) for side in ("left", "right"))
        owner, place = ranges(high - low, low)
        return self.order[place], owner


def _answers(model: BehaviorModel, examples: Examples, users: Bools, asked: Asked) -> Iterator[tuple[Ints, Floats]]:
    """Yield landmarks and their logits, batch by batch of the ``users``; nothing where the model has no such head."""
    if model.nuisance is None:
        return
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        for packed in examples.by_length(np.flatnonzero(users[examples.windows.user])):
            batch, moment = examples.batch(packed)
            rows, owner = asked.after(moment)
            if len(rows) == 0:
                continue
            batch = batch.to(device)
            state = model.states(batch.stream)[batch.moment.after[torch.from_numpy(owner).to(device)]]
            at_ms = asked.landmarks.ts_ms[rows]
            gap = gap_bins(at_ms - examples.moments.ts_ms[asked.last[rows]])
            now = model.now(*(row.to(device) for row in examples.codes.time_rows(gap, at_ms)))
            counts = model.counts(torch.from_numpy(asked.wide[rows]).to(device))
            yield rows, model.nuisance(state, now, counts).cpu().numpy()
