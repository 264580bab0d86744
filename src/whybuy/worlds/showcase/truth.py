r"""What is true in a showcase world: lifts, the best ranking that any log allows, and how good a ranking is.

The best ranking knows the equations, the goods and everything logged, but not the tastes. Policies read only what is
logged, so slates say nothing of taste by themselves; the posterior of a user's taste in a group is

.. math:: P(m \mid log) \propto P(m \mid segment) \prod_{rounds} P(looks \mid m) P(clicks \mid m) P(purchases \mid m),

with memory replayed from the log. Tastes have finitely many types, groups are independent, and no term of the
likelihood mixes groups: the sum over types is exact, with no Monte Carlo error, and

.. math:: E[lift(u, i) \mid log] = \sum_m P(m \mid log) \, lift_m(u, i).
"""

from collections.abc import Sequence

import numpy as np

from whybuy.worlds.chain import Float64, Ints
from whybuy.worlds.showcase.equations import chances, nest_group
from whybuy.worlds.showcase.state import Happened, State


def true_lift(state: State) -> Float64:
    """Return (n_users, n_items) P(buy within a day | shown) - P(buy within a day | not shown) at this state."""
    return chances(state).lift


def mean_top_lift(ranking: Float64, lift: Float64, k: int = 10) -> float:
    """Return the mean true ``lift`` (n_users, n_items) of each user's first ``k`` items by ``ranking``, over users."""
    first = np.argpartition(-ranking, k - 1, axis=1)[:, :k]
    return float(np.take_along_axis(lift, first, axis=1).mean())


def best_possible(start: State, history: Sequence[Happened]) -> Float64:
    """Return (n_users, n_items) E[lift | everything logged], at the end of ``history``.

    Parameters
    ----------
    start : the state before the first round of ``history``; the users' tastes in it are not looked at
    """
    state, log_likelihood = start, np.zeros((start.equations.n_types, 1, 1))
    for happened in history:
        log_likelihood = log_likelihood + _log_likelihood(state, happened)
        state = state.after(happened)
    return _expected_lift(state, _posterior(state, log_likelihood))


def _posterior(state: State, log_likelihood: Float64) -> Float64:
    """Return (n_types, n_users, n_groups) the probabilities of the types."""
    prior = state.equations.log_prior()[state.people.segment].T[:, :, None]
    log_weight = log_likelihood + prior
    weight = np.exp(log_weight - log_weight.max(axis=0))
    return np.broadcast_to(weight / weight.sum(axis=0), (len(weight), len(state.people), state.equations.n_groups))


def _expected_lift(state: State, posterior: Float64) -> Float64:
    group = state.equations.group(state.goods.category)
    expected = np.zeros((len(state.people), len(state.goods)))
    for type_, weight in enumerate(posterior):
        everybody = np.full((1, state.equations.n_groups), type_)
        expected += weight[:, group] * chances(state, everybody).lift
    return expected


def _log_likelihood(state: State, happened: Happened) -> Float64:
    """Return (n_types, n_users, n_groups) the log probability of one round for each type of taste."""
    found = _purchases(state, happened)
    seen = _looks(state, happened)
    clicks, group = _clicks(state, happened)
    for slot in range(clicks.shape[2]):
        seen[:, np.arange(len(happened.visitor)), group[:, slot]] += clicks[:, :, slot]
    found[:, happened.visitor] += seen
    return found


def _purchases(state: State, happened: Happened) -> Float64:
    equations, goods = state.equations, state.goods
    types = np.arange(equations.n_types)
    shape = (len(types), len(state.people), goods.n_nests)
    total = np.broadcast_to(equations.totals(state, types), shape).copy()
    rows = happened.visitor[:, None]
    shown = equations.attraction(state, types[:, None, None], rows, happened.items)
    more = shown.shown - shown.alone
    for slot in range(more.shape[2]):  # an item after the other, as two of a slate can be of one nest
        total[:, happened.visitor, goods.nest[happened.items[:, slot]]] += more[:, :, slot]
    need = np.broadcast_to(equations.need(state, types[:, None, None]), shape)
    log_p = np.log1p(-need * total / (1 + total))
    user, nest, item = happened.purchases()
    was_shown = np.zeros((len(state.people), len(goods)), bool)
    was_shown[rows, happened.items] = True
    x = equations.attraction(state, types[:, None], user, item)
    bought = np.where(was_shown[user, item], x.shown, x.alone)
    log_p[:, user, nest] = np.log(need[:, user, nest] * bought / (1 + total[:, user, nest]))
    return _by_group(log_p, nest_group(state), equations.n_groups)


def _looks(state: State, happened: Happened) -> Float64:
    equations = state.equations
    p = equations.look(np.arange(equations.n_types)[:, None])
    category = np.arange(len(equations.categories))
    odds, none = np.log(p) - np.log1p(-p), np.log1p(-p)
    group = equations.group(category)
    looked = (happened.looked >= 0).astype(np.float64)
    of_group = [
        looked[:, group == g] @ odds[:, group == g].T + none[:, group == g].sum(axis=1) for g in np.unique(group)
    ]
    return np.stack(of_group, axis=2).transpose(1, 0, 2)


def _clicks(state: State, happened: Happened) -> tuple[Float64, Ints]:
    """Return (n_types, n, k) the log probabilities, and (n, k) the groups they tell of."""
    equations = state.equations
    p = equations.click(state, np.arange(equations.n_types)[:, None, None], happened.items)
    return np.log(np.where(happened.clicked, p, 1 - p)), equations.group(state.goods.category[happened.items])


def _by_group(x: Float64, group: Ints, n_groups: int) -> Float64:
    """Return (a, b, n_groups) the sums of (a, b, n) over the last axis by ``group`` (n,)."""
    return np.stack([x[:, :, group == g].sum(axis=2) for g in range(n_groups)], axis=2)
