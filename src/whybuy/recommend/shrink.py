"""Empirical Bayes: an item's lift is drawn to its category's, a category's to that of all items, by how noisy each is.

For one state, with estimate d_i and variance v_i of item i in category C:

    d_i ~ N(theta_i, v_i)      theta_i ~ N(mu_C, A)      mu_C ~ N(mu, B)

A and B are the between-variances of DerSimonian and Laird, pooled over categories; the posterior mean is linear in
the estimates, its variance holds the uncertainty of the means (Morris 1983). P(buy | shown) is drawn with the same
weights, so that it stays a probability and ``p_buy - lift`` is the chance without showing.

The sampling variance is the clustered one, but never less than p (1 - p) / n, with p of the category and n the
effective number of users: an item seen by five people who did not buy has an estimated error of zero and must not be
certain. A, B and the means weigh by n alone (p of the whole state), never by an own rate: rates near zero look precise,
and weighing by them would drag every mean down.

Source: DerSimonian and Laird, Meta-analysis in clinical trials, 1986; Morris, Parametric empirical Bayes inference,
1983.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PRIOR_SHOWN = 20.0
"""A category's rate is taken over this many opportunities more, which have the rate of all."""


@dataclass(frozen=True)
class Level:
    """Groups' means of one level, (n_groups,) each, and the between-variance of the members.

    Attributes
    ----------
    mean, mean_buy : of the lift and of P(buy | shown); NaN for a group without members
    variance : of ``mean``, from the members' own variances
    floor : the same from the members' floors
    """

    mean: Floats
    mean_buy: Floats
    variance: Floats
    floor: Floats
    between: float


def between_variance(estimate: Floats, variance: Floats, group: Ints) -> float:
    """Return the between-variance of DerSimonian and Laird within groups, 0 where the estimates show none."""
    n_groups = int(group.max(initial=-1)) + 1
    w = 1 / variance
    s1 = np.bincount(group, w, n_groups)
    s2 = np.bincount(group, w * w, n_groups)
    filled = s1 > 0
    mean = np.bincount(group, w * estimate, n_groups) / np.where(filled, s1, 1)
    q = float(np.sum(w * (estimate - mean[group]) ** 2))
    freedom = len(estimate) - int(filled.sum())
    scale = float(np.sum(s1[filled] - s2[filled] / s1[filled]))
    return max(0.0, (q - freedom) / scale) if scale > 0 else 0.0


@dataclass(frozen=True)
class Members:
    """What is averaged, (n,) each: estimates of the lift and of P(buy | shown), variances, floors, and the group."""

    estimate: Floats
    buy: Floats
    variance: Floats
    floor: Floats
    group: Ints


def level_of(members: Members, n_groups: int) -> Level:
    """Return the means of ``n_groups`` groups, weighted by 1 / (floor + between-variance)."""
    group = members.group
    between = between_variance(members.estimate, members.floor, group)
    w = 1 / (members.floor + between)
    total = np.bincount(group, w, n_groups)
    total = np.where(total > 0, total, np.nan)
    return Level(
        mean=np.bincount(group, w * members.estimate, n_groups) / total,
        mean_buy=np.bincount(group, w * members.buy, n_groups) / total,
        variance=np.bincount(group, w * w * (members.variance + between), n_groups) / total**2,
        floor=1 / total,
        between=between,
    )


def posterior(
    estimate: Floats, variance: Floats, prior: Floats, prior_variance: Floats, between: float
) -> tuple[Floats, Floats, Floats]:
    """Return the posterior mean, its variance, and the weight of the own estimate (0 where the estimate is NaN)."""
    own = np.where(np.isfinite(estimate), between / (variance + between), 0.0)
    mean = prior + own * (np.nan_to_num(estimate) - prior)
    spread = np.where(np.isfinite(estimate), own * np.nan_to_num(variance), between)
    return mean, spread + (1 - own) ** 2 * prior_variance, own


def shrink_lifts(estimates: pd.DataFrame, item_categories: pd.DataFrame, *, n_states: int) -> pd.DataFrame:
    """Return lift, lift_error, p_buy and own (the weight of own data) of every item with an estimate, in every state.

    Parameters
    ----------
    estimates : one row per (item, state) with estimate, std_error, p_shown, omega, n_shown, n_effective
    item_categories : item, cat
    n_states : states are 0 .. n_states - 1; one that nobody was in gets no rows
    """
    known = estimates.merge(item_categories, on="item")
    items = known[["item", "cat"]].drop_duplicates("item")
    overall = _overall_rate(known)
    parts = []
    for state in range(n_states):
        rows = known[known["state"] == state]
        if len(rows):
            wide = items.merge(rows.drop(columns="cat"), on="item", how="left").assign(state=state)
            parts.append(_shrink_state(wide, overall))
    return pd.concat(parts, ignore_index=True)


def _overall_rate(known: pd.DataFrame) -> float:
    """P(buy | shown) over all states, kept off 0 and 1 by one purchase in two more opportunities."""
    bought = float((known["p_shown"] * known["n_shown"]).sum())
    return (bought + 1) / (float(known["n_shown"].sum()) + 2)


def _shrink_state(rows: pd.DataFrame, overall: float) -> pd.DataFrame:
    cat, _ = pd.factorize(rows["cat"])
    estimate, buy = rows["estimate"].to_numpy(float), rows["p_shown"].to_numpy(float)
    seen = np.isfinite(estimate)
    state_rate, rate = _rates(rows, cat, overall)
    # Of n_shown opportunities omega are left after comparing with the not shown ones, n_effective after clustering.
    n = (rows["n_effective"] * rows["omega"] / rows["n_shown"]).to_numpy(float)
    floor = state_rate * (1 - state_rate) / n
    variance = np.fmax(rows["std_error"].to_numpy(float) ** 2, rate * (1 - rate) / n)

    of_items = Members(estimate[seen], buy[seen], variance[seen], floor[seen], cat[seen])
    items = level_of(of_items, int(cat.max()) + 1)
    top = _top(items)
    mean, spread, weight = posterior(items.mean, items.variance, top.mean, top.variance, top.between)
    mean_buy = top.mean_buy + weight * (np.nan_to_num(items.mean_buy) - top.mean_buy)

    lift, error2, own = posterior(estimate, variance, mean[cat], spread[cat], items.between)
    p_buy = mean_buy[cat] + own * (np.nan_to_num(buy) - mean_buy[cat])
    counts = {name: rows[name].fillna(0).astype("int64") for name in ("n_users", "n_buyers")}
    return rows.assign(
        lift=lift, lift_error=np.sqrt(error2), p_buy=p_buy, own=own, n_shown=rows["n_shown"].fillna(0), **counts
    )


def _top(items: Level) -> Level:
    """Return the mean over categories, as the one group of the level above."""
    has = np.isfinite(items.mean)
    one = np.zeros(int(has.sum()), np.int64)
    return level_of(Members(items.mean[has], items.mean_buy[has], items.variance[has], items.floor[has], one), 1)


def _rates(rows: pd.DataFrame, cat: Ints, overall: float) -> tuple[float, Floats]:
    """P(buy | shown) of the state, drawn to the overall one, and (n_rows,) of the row's category, drawn to that."""
    shown = rows["n_shown"].fillna(0).to_numpy(float)
    bought = (rows["p_shown"] * rows["n_shown"]).fillna(0).to_numpy(float)
    state = float((bought.sum() + _PRIOR_SHOWN * overall) / (shown.sum() + _PRIOR_SHOWN))
    by_cat = np.bincount(cat, bought) + _PRIOR_SHOWN * state
    return state, (by_cat / (np.bincount(cat, shown) + _PRIOR_SHOWN))[cat]
