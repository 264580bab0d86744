"""Marks and donors by walking forward through a log, and the truth by walking twice.

At every decision of a user each marker has a chance pi(h) of marking it, where h is all that lies strictly before: the
log, the donors that joined it, and the marker's own earlier marks. A mark of a marker that does something sends a donor
(a copied event of an outcome) with the chance d(h): it waits, and joins the first decision of the user after that, if
this one lies within the horizon. Every draw is a hash of the user, the time and the marker, so that it depends on
nothing that comes later, and a replay in which one mark is on or off meets the same luck everywhere else.

The true effect of one decision is the difference between two such replays. Past the decision they draw afresh (the same
in both): the truth is an average over what could have happened, not over what did.
"""

import numpy as np
import numpy.typing as npt

from whybuy.causal.certificate.arrays import N_INGREDIENTS, Float64, Past, Rules, Walked
from whybuy.causal.certificate.steps import gains_users, ingredients_users, walk_users


def walk(past: Past, rules: Rules, *, seed: int) -> Walked:
    """Return marks and donors of every moment."""
    n, K = len(past.ts_ms), len(rules.intercept)
    out = Walked(np.zeros((n, K), np.uint8), np.zeros((n, K)), np.full(n, -1), past.bought.copy())
    walk_users(past, rules, _keys(past, seed), out)
    return out


def ingredients(past: Past, rules: Rules) -> Float64:
    """Return (n, K, 4) what the chances of ``rules`` are made of at every moment, in a log that nobody marks."""
    n, K = len(past.ts_ms), len(rules.intercept)
    found = np.zeros((n, K, N_INGREDIENTS))
    silent = rules._replace(intercept=np.full(K, -np.inf))
    ingredients_users(past, silent, _keys(past, 0), found)
    return found


def gains(past: Past, rules: Rules, *, seed: int, afresh: int, asked: npt.NDArray[np.bool_]) -> tuple[Float64, Float64]:
    """Return the true effects as sums by user: (n_users, K, n_outcomes) weighted gains, and the weights.

    A decision's gain is outcome with its mark less outcome without, in (ts, ts + horizon]; its weight that of the ATO,
    pi(h) (1 - pi(h)). Decisions that are the outcome themselves are left out, as they are from trials.

    Parameters
    ----------
    seed : of the walk whose histories these are
    afresh : seed of what comes after the decision
    asked : (n,) the moments that are trials
    """
    shape = (len(past.key), len(rules.intercept), past.bought.shape[1])
    sums = np.zeros(shape), np.zeros(shape)
    gains_users(past, rules, (_keys(past, seed), _keys(past, afresh)), asked, sums)
    return sums


def _keys(past: Past, seed: int) -> npt.NDArray[np.uint64]:
    return past.key ^ np.random.default_rng(seed).integers(0, 2**64, dtype=np.uint64)
