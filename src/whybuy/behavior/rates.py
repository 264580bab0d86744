"""Where training starts: the marginal model, whose every answer is a base rate of the training users."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from whybuy.behavior.examples import Examples
from whybuy.behavior.heads import ForecastHead, NextEventHead, NuisanceHead
from whybuy.behavior.model import BehaviorModel
from whybuy.columns import ACTIONS
from whybuy.events.sequences import Bools, Ints

_AT_ONCE = 65_536
"""Moments whose features are held in full precision at once."""


def start_from_rates(model: BehaviorModel, corpus: Sequence[Examples], users: Sequence[Bools]) -> None:
    """Set biases and scales of the heads from the decisions of the users with ``users`` true, a mask per part."""
    _start_next(model.next, corpus, users)
    if model.nuisance is not None:
        _start_nuisance(model.nuisance, corpus, users)
    if model.forecast is not None:
        _start_forecast(model.forecast, corpus, users)


def _decided(corpus: Sequence[Examples], users: Sequence[Bools]) -> Iterator[tuple[Examples, Ints]]:
    """Yield every part with its moments that count, block by block."""
    for examples, mask in zip(corpus, users, strict=True):
        moment = np.flatnonzero(examples.targets.decided & mask[examples.moments.user])
        for block in np.array_split(moment, max(1, len(moment) // _AT_ONCE)):
            yield examples, block


def _start_nuisance(head: NuisanceHead, corpus: Sequence[Examples], users: Sequence[Bools]) -> None:
    heads, n_wide = corpus[0].heads, head.wide_mean.shape[0]
    n, happened = 0, np.zeros(heads.n_behaviors, np.int64)
    followed_up, met = np.zeros(heads.n_outcomes, np.int64), np.zeros(heads.n_outcomes, np.int64)
    total, squares = np.zeros(n_wide), np.zeros(n_wide)
    for examples, moment in _decided(corpus, users):
        targets = examples.targets
        followed = np.repeat(targets.followed[moment], len(heads.outcomes), axis=1)
        n, happened = n + len(moment), happened + targets.behavior[moment].sum(0, dtype=np.int64)
        followed_up = followed_up + followed.sum(0)
        met = met + (targets.outcome[moment] * followed).sum(0, dtype=np.int64)
        values = examples.wide[moment].astype(np.float64)
        total, squares = total + values.sum(0), squares + (values**2).sum(0)
    m = _rate(met, followed_up)
    head.start_from_rates(_tensor(np.concatenate([_rate(happened, n), m, m])))
    mean = total / max(n, 1)
    head.standardize(_tensor(mean), _tensor(np.sqrt(np.maximum(squares / max(n, 1) - mean**2, 0))))


def _start_forecast(head: ForecastHead, corpus: Sequence[Examples], users: Sequence[Bools]) -> None:
    heads = corpus[0].heads
    counted_up, met, events = (np.zeros(heads.n_forecasts, np.int64) for _ in range(3))
    spent_up, money = np.zeros(len(heads.forecasts_ms), np.int64), np.zeros(len(heads.forecasts_ms))
    for examples, moment in _decided(corpus, users):
        spent, count = examples.targets.forecast_followed[moment], examples.targets.count[moment]
        counted = np.repeat(spent, len(heads.outcomes), axis=1)
        counted_up, met = counted_up + counted.sum(0), met + ((count > 0) & counted).sum(0)
        events = events + np.where(counted, count, 0).sum(0, dtype=np.int64)
        spent_up = spent_up + spent.sum(0)
        money = money + np.where(spent, examples.targets.spend[moment], 0).sum(0, dtype=np.float64)
    head.start_from_rates(
        chance=_tensor(_rate(met, counted_up)),
        count=_tensor((events + 0.5) / (counted_up + 1)),
        spend=_tensor(money / np.maximum(spent_up, 1)),
    )


def _start_next(head: NextEventHead, corpus: Sequence[Examples], users: Sequence[Bools]) -> None:
    """Rates of actions, categories and items over the training users' events; half an event for everything."""
    entities = corpus[0].codes.entities
    sizes = {"action": len(ACTIONS), "category": entities.n_categories + 1, "item": entities.n_items + 1}
    counts = {name: np.full(n, 0.5) for name, n in sizes.items()}
    for examples, mask in zip(corpus, users, strict=True):
        mine = mask[examples.sequences.event_user]
        for name, n in sizes.items():
            code = np.asarray(getattr(examples.sequences, name))[mine]
            counts[name] += np.bincount(np.where(code >= 0, code, n - 1), minlength=n)
    head.start_from_rates(**{name: _tensor(count / count.sum()) for name, count in counts.items()})


def _rate(hits: npt.NDArray[np.integer], n: npt.NDArray[np.integer] | int) -> npt.NDArray[np.float64]:
    """Half a hit and half a miss added (Jeffreys), so that no logit is infinite."""
    return (hits + 0.5) / (np.asarray(n) + 1)


def _tensor(values: npt.NDArray[np.floating]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)
