"""Values of policies that show several items at once: the mean over slates of the rewards of all their slots.

What a slot's reward may depend on decides which propensities weigh it: on the whole slate (standard), on the item and
those before it (cascade), on the item in its slot alone (independent). The less it depends on, the smaller the weights,
and the more is assumed.
"""

import numpy as np
import numpy.typing as npt

from whybuy.causal.clusters import Float64, Ints
from whybuy.errors import ArraysError
from whybuy.recommend.evaluate.policies import Target
from whybuy.recommend.evaluate.rounds import Rounds

Bools = npt.NDArray[np.bool_]


def standard(target: Target) -> Rounds:
    """Standard slate IPS: all rewards of a slate times the product of w over its slots.

    Source: McInerney, Brost, Chandar, Mehrotra and Carterette, Counterfactual evaluation of slate recommendations with
    sequential reward interactions (KDD 2020).
    """
    slate = _slates(target)
    product = np.ones(int(slate.max()) + 1)
    np.multiply.at(product, slate, target.weight)
    return _per_slate(target, slate, product[slate], counts=_first_rows(slate))


def independent(target: Target) -> Rounds:
    """Independent slate IPS: every slot's reward times its own w; propensities are marginal, per item and slot.

    Source: Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen, Offline evaluation of ranking policies with click
    models (KDD 2018): the item-position model.
    """
    return _per_slate(target, _slates(target), target.weight)


def cascade(target: Target) -> Rounds:
    """Reward-interaction IPS: every slot's reward times the product of w over its own and the earlier slots.

    Source: McInerney et al. (KDD 2020), not normalized.

    Raises
    ------
    ArraysError
        Slates whose slots were not logged: there is no earlier and no later.
    """
    slate, slot = _slates(target), target.log.slot
    if slot is None:
        raise ArraysError.of(
            found="Slates without slots",
            needed="the slot of every item, which the cascade goes by",
            do="Pass slots=..., or use 'standard', which needs none",
        )
    order = np.lexsort((slot, slate))
    sizes = np.bincount(slate)
    place = np.arange(len(slate)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    table = np.ones((len(sizes), int(sizes.max())))
    table[slate[order], place] = target.weight[order]
    weight = np.empty(len(slate))
    weight[order] = np.cumprod(table, axis=1)[slate[order], place]
    return _per_slate(target, slate, weight)


def _slates(target: Target) -> Ints:
    if target.log.slate is None:
        raise ArraysError.of(
            found="Rows without a slate",
            needed="slates, which a value per slate is a mean over",
            do="Pass slates=..., or use 'snips', whose value is per item shown",
        )
    return target.log.slate


def _per_slate(target: Target, slate: Ints, weight: Float64, *, counts: Bools | None = None) -> Rounds:
    one_per_slate = _first_rows(slate).astype(float)
    return Rounds.of((weight * target.log.reward, one_per_slate), weight=weight, counts=counts)


def _first_rows(slate: Ints) -> Bools:
    """Return (n,) whether the row is the first of its slate in the log."""
    first = np.zeros(len(slate), bool)
    first[np.unique(slate, return_index=True)[1]] = True
    return first
