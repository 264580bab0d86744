"""Where training starts: the marginal model, whose every answer is a base rate of the training users."""

import numpy as np
import numpy.typing as npt
import torch

from whybuy.behavior.examples import Examples
from whybuy.behavior.heads import ForecastHead, NextEventHead, NuisanceHead
from whybuy.behavior.model import BehaviorModel
from whybuy.columns import ACTIONS
from whybuy.events.sequences import Bools, Ints


def start_from_rates(model: BehaviorModel, examples: Examples, users: Bools) -> None:
    """Set biases and scales of the heads from the decisions of the users with ``users`` true."""
    moment = np.flatnonzero(examples.targets.decided & users[examples.moments.user])
    _start_next(model.next, examples, users)
    if model.nuisance is not None:
        _start_nuisance(model.nuisance, examples, moment)
    if model.forecast is not None:
        _start_forecast(model.forecast, examples, moment)


def _start_nuisance(head: NuisanceHead, examples: Examples, moment: Ints) -> None:
    targets = examples.targets
    followed = np.repeat(targets.followed[moment], len(examples.heads.outcomes), axis=1)
    e = _rate(targets.behavior[moment].sum(0, dtype=np.int64), len(moment))
    m = _rate((targets.outcome[moment] * followed).sum(0, dtype=np.int64), followed.sum(0))
    head.start_from_rates(_tensor(np.concatenate([e, m, m])))
    head.standardize(*_scale(examples, moment))


def _start_forecast(head: ForecastHead, examples: Examples, moment: Ints) -> None:
    targets = examples.targets
    spent, count = targets.forecast_followed[moment], targets.count[moment]
    counted = np.repeat(spent, len(examples.heads.outcomes), axis=1)
    head.start_from_rates(
        chance=_tensor(_rate(((count > 0) * counted).sum(0), counted.sum(0))),
        count=_tensor((np.where(counted, count, 0).sum(0, dtype=np.int64) + 0.5) / (counted.sum(0) + 1)),
        spend=_tensor(np.where(spent, targets.spend[moment], 0).sum(0, dtype=np.float64) / np.maximum(spent.sum(0), 1)),
    )


def _start_next(head: NextEventHead, examples: Examples, users: Bools) -> None:
    """Rates of actions, categories and items over the training users' events; half an event for everything."""
    sequences, entities = examples.sequences, examples.codes.entities
    mine = users[sequences.event_user]
    item, category = np.asarray(sequences.item)[mine], np.asarray(sequences.category)[mine]

    def rates(code: npt.NDArray[np.integer], n: int) -> torch.Tensor:
        counts = np.bincount(np.where(code >= 0, code, n - 1), minlength=n) + 0.5
        return _tensor(counts / counts.sum())

    head.start_from_rates(
        action=rates(np.asarray(sequences.action)[mine], len(ACTIONS)),
        category=rates(category, entities.n_categories + 1),
        item=rates(item, entities.n_items + 1),
    )


def _rate(hits: npt.NDArray[np.integer], n: npt.NDArray[np.integer] | int) -> npt.NDArray[np.float64]:
    """Half a hit and half a miss added (Jeffreys), so that no logit is infinite."""
    return (hits + 0.5) / (np.asarray(n) + 1)


def _scale(examples: Examples, moment: Ints) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of the wide features."""
    n_wide = examples.wide.shape[1]
    total, squares = np.zeros(n_wide), np.zeros(n_wide)
    for part in np.array_split(moment, max(1, len(moment) // 65_536)):
        values = examples.wide[part].astype(np.float64)
        total, squares = total + values.sum(0), squares + (values**2).sum(0)
    n = max(len(moment), 1)
    sd = np.sqrt(np.maximum(squares / n - (total / n) ** 2, 0))
    return _tensor(total / n), _tensor(sd)


def _tensor(values: npt.NDArray[np.floating]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)
