"""The probability of every candidate to be somewhere in the slate: what the next model needs about what was not shown.

Four ways, the first that applies to a user:

- **Everything open has room** and no cap can bind: 1.
- **Plackett-Luce** where no cap can bind: items arrive after exponential times with their weights as rates, and the k
  first are the slate, so pi_i = integral of w_i exp(-w_i t) P(fewer than k others before t) dt. The trapezoidal rule in
  log t converges exponentially for such an integrand; the number of others is Poisson-binomial, counted from both
  sides of i. Relative error below 1e-10 (a test holds it against all ordered slates).
- **Epsilon mixture at temperature 0** where no cap can bind: an item's fate depends on its rank and on how many of the
  better ones are gone, a Markov chain of k + 1 states. Exact.
- **Anything else** (caps, diversity, mixtures with a temperature): pi_i is the mean over slates of the sum over slots
  of P(i takes the slot | earlier slots), so that each of ``n_draws`` drawn slates gives an unbiased value for every
  candidate, drawn or not; the standard error is given. It is far below that of counting how often i was drawn where
  pi_i is small. A mean above 1, which noise can give to what is nearly always shown, is set to 1.
"""

from dataclasses import dataclass

import numba
import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.recommend.policy.inputs import NOBODY, Bools, Candidates, Floats, Ints
from whybuy.recommend.policy.limits import may_bind
from whybuy.recommend.policy.walk import Race, Start, explored, walk

_STEP = 0.25
_HEAD = 28.0
"""Log time before the first arrival at which the rule starts: what is cut off is exp(-28) of each probability."""

_TAIL = 3.7
_WIDEST_GAP = 60.0
"""Between neighbors in order of weight: exp(-60) is as good as never."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inclusion:
    """Probabilities to be in the slate.

    Attributes
    ----------
    probability : (n_users, n_candidates); the sum over a row is the expected length of the slate
    std_error : (n_users, n_candidates) of the draws; 0 where computed
    computed : (n_users,) whether the user's probabilities are computed; else they are means over drawn slates
    """

    candidates: Candidates
    probability: Floats
    std_error: Floats
    computed: Bools

    def to_frame(self) -> pd.DataFrame:
        """Return one row per candidate: user_id, item_id, inclusion, std_error."""
        row, column = np.nonzero(self.candidates.item != NOBODY)
        return pd.DataFrame(
            {
                c.USER: np.asarray(self.candidates.user_id)[row],
                c.ITEM: np.asarray(self.candidates.shelf.item_id)[self.candidates.item[row, column]],
                "inclusion": self.probability[row, column],
                "std_error": self.std_error[row, column],
            }
        )


def inclusion_of(begun: Start, n_draws: int) -> Inclusion:
    """Return the inclusion probabilities of a block of users."""
    policy, open_ = begun.policy, begun.open
    free = np.ones(len(open_), bool)
    for cap in begun.caps:
        free &= ~may_bind(cap, open_)
    roomy = free & (open_.sum(axis=1) <= policy.k)
    if policy.is_plackett_luce:
        probability = plackett_luce_inclusion(begun.score, open_ & free[:, None], policy.temperature, policy.k)
    elif policy.temperature == 0 and policy.diversity is None:
        probability = _greedy_inclusion(begun, open_ & free[:, None])
    else:
        free, probability = roomy, np.zeros(open_.shape)
    probability[roomy], std_error = open_[roomy], np.zeros(open_.shape)
    drawn = np.flatnonzero(~free)
    if len(drawn):
        probability[drawn], std_error[drawn] = _drawn_inclusion(_rows(begun, drawn), n_draws)
    return Inclusion(
        candidates=begun.candidates,
        probability=probability,
        std_error=std_error,
        computed=free | policy.is_deterministic,
    )


def plackett_luce_inclusion(score: Floats, open_: Bools, temperature: float, k: int) -> Floats:
    """Return (n_users, n_candidates) probabilities to be among the first k of Plackett and Luce, by quadrature.

    Parameters
    ----------
    score : (n_users, n_candidates)
    open_ : (n_users, n_candidates) bool; others have probability 0
    """
    order = np.argsort(np.where(open_, -score, np.inf), axis=1, kind="stable")
    log_weight = np.take_along_axis(score, order, axis=1) / temperature
    found = np.zeros(score.shape)
    np.put_along_axis(found, order, _among_first(log_weight, open_.sum(axis=1), k), axis=1)
    return found


def ranked_inclusion(n_open: int, k: int, uniform: Floats) -> Floats:
    """Return (n_open,) inclusion probabilities by rank where each slot takes the best or, at times, any.

    Parameters
    ----------
    uniform : (k,) probability that the slot goes to a uniform choice among what is left
    """
    better = np.arange(n_open)
    state = np.zeros((n_open, k + 1))  # P(not in yet, so many better ones gone)
    state[:, 0], found = 1.0, np.zeros(n_open)
    for slot in range(min(k, n_open)):
        n_left, e = n_open - slot, uniform[slot]
        ahead = np.maximum(better[:, None] - np.arange(k + 1), 0)
        taken = e / n_left + (1 - e) * (ahead == 0)
        one_better = e * ahead / n_left + (1 - e) * (ahead > 0)
        found += (state * taken).sum(axis=1)
        moved = np.zeros_like(state)
        moved[:, 1:] = (state * one_better)[:, :-1]
        state = moved + state * np.maximum(1 - taken - one_better, 0.0)
    return found


def _greedy_inclusion(begun: Start, open_: Bools) -> Floats:
    policy = begun.policy
    order = np.argsort(np.where(open_, -begun.score, np.inf), axis=1, kind="stable")
    n_open = open_.sum(axis=1)
    by_rank = np.zeros(open_.shape)
    for n in np.unique(n_open):
        uniform = explored(policy, n - np.arange(policy.k))
        by_rank[n_open == n, :n] = ranked_inclusion(int(n), policy.k, uniform)
    out = np.zeros(open_.shape)
    np.put_along_axis(out, order, by_rank, axis=1)
    return out


def _drawn_inclusion(begun: Start, n_draws: int) -> tuple[Floats, Floats]:
    """Average the sums of slot probabilities over drawn slates, other ones than any round's."""
    n_draws = 1 if begun.policy.is_deterministic else n_draws
    total, squares = np.zeros(begun.score.shape), np.zeros(begun.score.shape)
    for draw in range(n_draws):
        chance = np.zeros(begun.score.shape)
        for slot in walk(begun, Race(begun, 0, draw + 1), begun.policy.k):
            chance += slot.probability
        total += chance
        squares += chance**2
    mean = total / n_draws
    variance = np.maximum(squares / n_draws - mean**2, 0.0) / max(n_draws - 1, 1)
    return np.minimum(mean, 1.0), np.sqrt(variance)


def _rows(begun: Start, rows: Ints) -> Start:
    caps = [type(cap)(cap.group[rows], cap.most, cap.reason) for cap in begun.caps]
    return Start(begun.policy, begun.candidates.rows(rows), begun.score[rows], begun.reasons[rows], caps)


@numba.njit(cache=True)
def _among_first(log_weight, n_open, k):  # type: ignore[no-untyped-def] # pragma: no cover
    """Return (n_users, n_candidates) for weights whose first ``n_open`` of a row are open, in falling order."""
    out = np.zeros(log_weight.shape)
    for u in range(len(log_weight)):
        if n_open[u] <= k:
            out[u, : n_open[u]] = 1.0
            continue
        lw = np.zeros(n_open[u])
        for i in range(1, len(lw)):
            lw[i] = lw[i - 1] - min(log_weight[u, i - 1] - log_weight[u, i], _WIDEST_GAP)
        out[u, : n_open[u]] = _arrivals(lw, k)
    return out


@numba.njit(cache=True)
def _arrivals(lw, k):  # type: ignore[no-untyped-def] # pragma: no cover
    """Return P(among the first k to arrive) for log rates in falling order, the first 0."""
    m = len(lw)
    found = np.zeros(m)
    before = np.zeros((m + 1, k))  # P(so many of the first i have arrived)
    x = -np.log(np.exp(lw).sum()) - _HEAD
    last = _TAIL - lw[k - 1]
    while x < last:
        rate = np.exp(lw + x)
        here = -np.expm1(-rate)
        before[0, :] = 0.0
        before[0, 0] = 1.0
        for i in range(m):
            before[i + 1, 0] = before[i, 0] * (1 - here[i])
            for n in range(1, k):
                before[i + 1, n] = before[i, n] * (1 - here[i]) + before[i, n - 1] * here[i]
        if rate[0] > 1 and before[m].sum() * rate[0] < 1e-18:
            break
        after = np.zeros(k)  # P(so many of those behind i have arrived)
        after[0] = 1.0
        for i in range(m - 1, -1, -1):
            fewer, behind = 0.0, 0.0
            for n in range(k):
                behind += after[n]
                fewer += behind * before[i, k - 1 - n]
            found[i] += _STEP * rate[i] * np.exp(-rate[i]) * fewer
            for n in range(k - 1, 0, -1):
                after[n] = after[n] * (1 - here[i]) + after[n - 1] * here[i]
            after[0] *= 1 - here[i]
        x += _STEP
    return np.minimum(found, 1.0)
