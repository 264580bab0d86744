"""A small log as the walk sees it: five behaviors, of which the last two are outcomes, and markers that follow them."""

import numpy as np

from whybuy.causal.certificate.arrays import Past, Rules

HOUR, DAY = 3_600_000, 86_400_000
HORIZON = 5 * DAY


def past(seed: int, *, n_users: int = 12, each: int = 24) -> Past:
    """Behavior 0 comes in bursts, and outcomes follow it: whoever did it lately buys up to ten times as often."""
    rng = np.random.default_rng(seed)
    ts = np.cumsum(rng.exponential(14 * HOUR, (n_users, each)).astype(np.int64) + 1, axis=1)
    counts = np.zeros((n_users, each, 5), np.uint8)
    lately = np.zeros(n_users)
    for i in range(each):
        if i:
            lately = (lately + counts[:, i - 1, 0]) * 0.5 ** ((ts[:, i] - ts[:, i - 1]) / (2 * DAY))
        pull = lately / (1 + lately)
        counts[:, i, 0] = rng.random(n_users) < 0.1 + 0.6 * pull
        counts[:, i, 1:3] = rng.random((n_users, 2)) < 0.3
        counts[:, i, 3] = rng.random(n_users) < 0.02 + 0.3 * pull
        counts[:, i, 4] = rng.random(n_users) < 0.02 + 0.1 * pull
    decided = rng.random(n_users * each) < 0.95
    flat = counts.reshape(-1, 5)
    return Past(
        offsets=np.arange(n_users + 1) * each,
        key=rng.integers(0, 2**64, n_users, dtype=np.uint64),
        ts_ms=ts.ravel(),
        decided=decided,
        counts=flat,
        bought=flat[:, 3:].copy(),
    )


def rules(gifts: tuple[float, ...], *, seed: int = 0) -> Rules:
    """Markers that remember behavior 0 most, for about as long as it matters; donors are of either outcome."""
    rng, K = np.random.default_rng(seed), len(gifts)
    hours = rng.uniform(20, 70, (K, 5))
    weight = np.column_stack([rng.uniform(2, 4, K), *rng.uniform(-0.5, 1, (2, K)), rng.uniform(-0.5, 0, K), [-0.8] * K])
    pool = np.array([[0, 0, 0, 1, 0], [0, 0, 0, 0, 1]], np.uint8)
    return Rules(
        channel=np.column_stack([np.zeros(K, np.int64), rng.integers(0, 5, (K, 3))]),
        rate=np.log(2) / (hours * HOUR),
        rest=1 / rng.uniform(2 * DAY, 6 * DAY, K),
        weight=weight,
        intercept=np.full(K, -2.5),
        gift=np.array(gifts),
        wait_ms=HORIZON / 8,
        horizon_ms=HORIZON,
        pool_counts=pool,
        pool_bought=pool[:, 3:].copy(),
    )
