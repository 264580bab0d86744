"""Point processes with known influences, drawn in steps of an hour for all users at once.

Per hour a user does behavior j a Poisson number of times, independently given the hours before, with

    log rate_j = base_j + sum_i influence[i, j] log(1 + x_i) + taste_j z,   x_i decayed counts (half-life 12 hours)

``z`` is a state of the user that nobody logs: an Ornstein-Uhlenbeck process with half-life of a week.
"""

import numpy as np

from whybuy.causal.histories import Histories

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
START_MS = 19_700 * DAY_MS


def draw(
    influence: dict[tuple[str, str], float],
    *,
    seed: int,
    taste: dict[str, float] | None = None,
    names: tuple[str, ...] = ("search:boots", "view:bags", "purchase:shoes", "view:books"),
    n_users: int = 700,
    days: int = 40,
) -> Histories:
    rng = np.random.default_rng(seed)
    J = len(names)
    A, tastes = np.zeros((J, J)), np.array([(taste or {}).get(name, 0.0) for name in names])
    for (i, j), strength in influence.items():
        A[names.index(i), names.index(j)] = strength
    x, z = np.zeros((n_users, J)), rng.normal(size=n_users)
    keep = 2 ** (-1 / (7 * 24))
    found = []
    for hour in range(days * 24):
        rate = np.exp(np.log(0.012) + np.log1p(x) @ A + z[:, None] * tastes)
        happens = rng.poisson(rate)
        user, kind = np.divmod(np.repeat(np.arange(n_users * J), happens.ravel()), J)
        at = START_MS + hour * HOUR_MS + rng.integers(0, HOUR_MS, len(user))
        found.append(np.stack([user, at, kind], axis=1))
        x = (x + happens) * 2 ** (-1 / 12)
        z = keep * z + np.sqrt(1 - keep**2) * rng.normal(size=n_users)
    user, ts, kind = np.concatenate(found).T
    order = np.lexsort((ts, user))
    user, ts, kind = user[order], ts[order], kind[order]
    return Histories(
        names=names,
        offsets=np.searchsorted(user, np.arange(n_users + 1)),
        ts_ms=ts,
        hits=(kind[:, None] == np.arange(J)).astype(np.uint8),
        start_ms=START_MS,
        end_ms=START_MS + days * DAY_MS,
    )
