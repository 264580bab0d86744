"""The PC algorithm on one window per user: which counts stay dependent whatever few others are held fixed.

Per user one moment is drawn at random; the counts of every behavior in the horizon up to it (the earlier tier) and in
the horizon after it (the later tier) are one row. One row a user, because rows of one user are not independent. Tiers
are background knowledge: nothing later causes what is earlier. Within the later tier the counts have no order, and PC
orients them by their pattern of independences alone.

It assumes no hidden common cause of the counts, faithfulness (no effects that cancel), independent users, and log
counts that are close to jointly normal (Fisher's z of partial correlations).

Source: Spirtes, Glymour and Scheines, Causation, Prediction, and Search (2000), section 5.4.2; the order-independent
version of Colombo and Maathuis (Journal of Machine Learning Research, 2014); causal-learn (Zheng and others, Journal
of Machine Learning Research, 2024).
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from whybuy.causal.histories import Histories, independent_columns
from whybuy.events.moments import prefix_counts

ALPHA = 0.01
MAX_HELD_FIXED = 2
"""Counts held fixed at once: more cost time exponentially and leave the tests no power."""
MIN_ROWS = 300

Arrow = Literal["->", "<-", "--", ""]
"""b -> a; a -> b; dependent without a direction; none."""


def window_counts(histories: Histories, *, horizon_ms: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return (n_rows, 2 n_behaviors) log(1 + count): up to a random moment, then after it; one row per user.

    Users without a moment that has a whole horizon before and after it within the observed window have no row.
    """
    h = histories
    eligible = (h.ts_ms - horizon_ms >= h.start_ms) & (h.ts_ms + horizon_ms <= h.end_ms)
    # The eligible moment with the smallest random number, per user.
    drawn = np.where(eligible, rng.random(len(h.ts_ms)), 2.0)
    order = np.lexsort((drawn, h.user))
    first = order[h.offsets[:-1][np.diff(h.offsets) > 0]]
    chosen = first[eligible[first]]
    user, ts = h.user[chosen], h.ts_ms[chosen]
    prefix = prefix_counts(h.hits)
    since, now, until = h.before(user, ts - horizon_ms), chosen + 1, h.before(user, ts + horizon_ms + 1)
    return np.log1p(np.concatenate([prefix[now] - prefix[since], prefix[until] - prefix[now]], axis=1).astype(float))


def pc_arrows(rows: npt.NDArray[np.float64], names: tuple[str, ...]) -> dict[tuple[str, str], Arrow]:
    """Return PC's answer for every ordered pair of behaviors whose counts vary and do not follow from others.

    Parameters
    ----------
    rows : (n_rows, 2 n_behaviors) as :func:`window_counts` gives them

    Notes
    -----
    ``->`` where the earlier count of b points to the later of a, or the later count of b does.
    """
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.search.ConstraintBased.PC import pc
    from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge

    n = len(names)
    kept = np.flatnonzero(independent_columns(rows).reshape(2, n).all(axis=0))
    labels = [f"{tier} {i}" for tier in ("earlier", "later") for i in kept]
    tiers = BackgroundKnowledge()
    for place, label in enumerate(labels):
        tiers.add_node_to_tier(GraphNode(label), place // len(kept))
    graph = pc(
        rows[:, np.concatenate([kept, n + kept])],
        alpha=ALPHA,
        indep_test="fisherz",
        background_knowledge=tiers,
        node_names=labels,
        max_k=MAX_HELD_FIXED,
        show_progress=False,
    ).G.graph
    return {
        (names[b], names[a]): _arrow(graph, i, j, len(kept))
        for i, b in enumerate(kept)
        for j, a in enumerate(kept)
        if a != b
    }


def _arrow(graph: npt.NDArray[np.int64], b: int, a: int, n: int) -> Arrow:
    """Read causal-learn's matrix: ``graph[j, i] = 1`` and ``graph[i, j] = -1`` is i -> j."""
    lagged = graph[n + a, b] != 0
    into_a, into_b = graph[n + a, n + b], graph[n + b, n + a]
    if lagged or (into_a == 1 and into_b == -1):
        return "->"
    if into_b == 1 and into_a == -1:
        return "<-"
    return "--" if into_a != 0 or into_b != 0 else ""
