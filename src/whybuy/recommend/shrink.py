"""Empirical Bayes: an item's lift is drawn to its category's, a category's to that of all items, by how noisy each is.

For one state, with estimate d_i and variance v_i of item i in category C:

    d_i ~ N(theta_i, v_i)      theta_i ~ N(mu_C, A)      mu_C ~ N(mu, B)

A and B are the between-variances of DerSimonian and Laird, pooled over categories; the posterior mean is linear in
the estimates, its variance holds the uncertainty of the means (Morris 1983). P(buy | shown) is drawn with the same
weights, so that it stays a probability and ``p_buy - lift`` is the chance without showing.

The sampling variance is the clustered one, but never less than p (1 - p) / n, with p of the category and n the
effective number of users shown the item: an item seen by five people who did not buy has an estimated error of zero
and must not be certain. A, B and the means use only the latter, which does not depend on the item's own luck.

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
    """Groups' means of one level: (n_groups,) means, their variances, and the between-variance of the members."""

    mean: Floats
    mean_buy: Floats
    variance: Floats
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


def level_of(estimate: Floats, buy: Floats, variance: Floats, group: Ints, n_groups: int) -> Level:
    """Return the precision-weighted means of ``n_groups`` groups; NaN for a group without members."""
    between = between_variance(estimate, variance, group)
    w = 1 / (variance + between)
    total = np.bincount(group, w, n_groups)
    total = np.where(total > 0, total, np.nan)
    return Level(
        mean=np.bincount(group, w * estimate, n_groups) / total,
        mean_buy=np.bincount(group, w * buy, n_groups) / total,
        variance=1 / total,
        between=between,
    )


def posterior(
    estimate: Floats, variance: Floats, prior: Floats, prior_variance: Floats, between: float
) -> tuple[Floats, Floats, Floats]:
    """Return the posterior mean, its variance, and the weight of the own estimate; NaN estimates take the prior
    whole.
    """
    own = np.where(np.isfinite(estimate), between / (variance + between), 0.0)
    mean = prior + own * (np.nan_to_num(estimate) - prior)
    spread = np.where(np.isfinite(estimate), own * np.nan_to_num(variance), between)
    return mean, spread + (1 - own) ** 2 * prior_variance, own


def shrink_lifts(estimates: pd.DataFrame, item_categories: pd.DataFrame, *, n_states: int) -> pd.DataFrame:
    """Return lift, lift_error, p_buy and own (weight of the item's own data) for every item with an estimate, in
    every state.

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
    rate = _category_rate(rows, cat, overall)
    floor = rate * (1 - rate) / rows["n_effective"].to_numpy(float)
    variance = np.fmax(rows["std_error"].to_numpy(float) ** 2, floor)

    items = level_of(estimate[seen], buy[seen], floor[seen], cat[seen], int(cat.max()) + 1)
    own_mean = np.isfinite(items.mean)
    one = np.zeros(int(own_mean.sum()), np.int64)
    top = level_of(items.mean[own_mean], items.mean_buy[own_mean], items.variance[own_mean], one, 1)
    mean, spread, weight = posterior(items.mean, items.variance, top.mean[[0]], top.variance[[0]], top.between)
    mean_buy = top.mean_buy[0] + weight * (np.nan_to_num(items.mean_buy) - top.mean_buy[0])

    lift, error2, own = posterior(estimate, variance, mean[cat], spread[cat], items.between)
    p_buy = mean_buy[cat] + own * (np.nan_to_num(buy) - mean_buy[cat])
    counts = {name: rows[name].fillna(0).astype("int64") for name in ("n_users", "n_buyers")}
    return rows.assign(
        lift=lift, lift_error=np.sqrt(error2), p_buy=p_buy, own=own, n_shown=rows["n_shown"].fillna(0), **counts
    )


def _category_rate(rows: pd.DataFrame, cat: Ints, overall: float) -> Floats:
    """(n_rows,) P(buy | shown) of each row's category in this state, drawn to the state's and that to the overall
    one.
    """
    shown = rows["n_shown"].fillna(0).to_numpy(float)
    bought = (rows["p_shown"] * rows["n_shown"]).fillna(0).to_numpy(float)
    state = (bought.sum() + _PRIOR_SHOWN * overall) / (shown.sum() + _PRIOR_SHOWN)
    by_cat = np.bincount(cat, bought) + _PRIOR_SHOWN * state
    rates: Floats = (by_cat / (np.bincount(cat, shown) + _PRIOR_SHOWN))[cat]
    return rates
