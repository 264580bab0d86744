"""A shop of sessions whose effect is known: what is done at the beginning of a session, and what is bought at its end.

A user of segment "loyal" or "new" (half are) comes every 1 to 3 days. At the start of a session the taste is what the
user's own log says: z = (searches in past sessions, each fading by .7 a session) - 1.5 + .5 loyal. Then

    two events of ``search:bags`` or ``view:bags``, a search with chance expit(.4 z - .5), and
    one event at a random one of three places: ``view:shoes`` with chance  e = expit(.9 z),  else ``view:bags``
    a fourth of the sessions end after two events
    ``purchase:shoes`` follows with chance  p = .05 + .5 expit(1.2 z) + T tau,   tau = .1 + .1 loyal

z raises the view and the purchase, so the naive difference is too large. Of sessions that last, T and the purchase have
no other common cause, and nothing in a session is caused by its view but the purchase.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from whybuy.causal.checks import PairData

HOUR = 3_600_000
START = 1_700_000_000_000
N_SESSIONS = 22
LASTS = 0.75


@dataclass(frozen=True)
class Sessions:
    """A drawn log, and of every session (n_users, n_sessions) what was true.

    Attributes
    ----------
    lasts : it has three events
    T, Y : view and purchase; e : chance of the view; p0 : that of the purchase without it; tau : what it adds
    """

    events: pd.DataFrame
    users: pd.DataFrame
    start_ms: np.ndarray
    lasts: np.ndarray
    T: np.ndarray
    Y: np.ndarray
    e: np.ndarray
    p0: np.ndarray
    tau: np.ndarray

    def effect(self, eligible: np.ndarray) -> float:
        """Return the true ATO among the sessions ``eligible``."""
        rows = eligible & self.lasts
        return float(np.average(self.tau[rows], weights=(self.e * (1 - self.e))[rows]))

    def oracle(self, eligible: np.ndarray) -> PairData:
        """Return the sessions ``eligible`` with their true nuisances."""
        rows = eligible & self.lasts
        _, user = np.unique(np.nonzero(rows)[0], return_inverse=True)
        m = self.p0 + self.e * self.tau
        return PairData(self.T[rows], self.Y[rows].astype(float), self.e[rows], m[rows], user)

    def naive(self, eligible: np.ndarray) -> float:
        T, Y = (values[eligible & self.lasts] for values in (self.T, self.Y))
        return float(Y[T > 0].mean() - Y[T == 0].mean())


def draw(seed: int, *, n_users: int = 400) -> Sessions:
    rng = np.random.default_rng(seed)
    shape = (n_users, N_SESSIONS)
    loyal = (np.arange(n_users) % 2).astype(float)
    start = np.cumsum(rng.uniform(25, 71, shape), axis=1)
    start_ms = START + (start * HOUR).astype(np.int64)
    lasts = rng.random(shape) < LASTS
    place = rng.integers(0, 3, shape)
    place = np.where(lasts, place, np.minimum(place, 1))
    searches = np.zeros(n_users)
    e, p0, T, Y, searched = (np.zeros(shape) for _ in range(5))
    for s in range(N_SESSIONS):
        z = searches - 1.5 + 0.5 * loyal
        e[:, s] = expit(0.9 * z)
        T[:, s] = rng.random(n_users) < e[:, s]
        n = rng.binomial(np.where(lasts[:, s], 2, 1), expit(0.4 * z - 0.5))
        searched[:, s] = n
        p0[:, s] = 0.05 + 0.5 * expit(1.2 * z)
        Y[:, s] = lasts[:, s] & (rng.random(n_users) < p0[:, s] + T[:, s] * (0.1 + 0.1 * loyal))
        searches = 0.7 * (searches + n)
    tau = np.broadcast_to((0.1 + 0.1 * loyal)[:, None], shape)
    events = _events(start_ms, lasts, place, T, searched, Y)
    users = pd.DataFrame({"user_id": [f"{u:04d}" for u in range(n_users)], "segment": np.where(loyal, "loyal", "new")})
    return Sessions(events, users, start_ms, lasts, T, Y, e, p0, tau)


def _events(start_ms, lasts, place, T, searched, Y) -> pd.DataFrame:
    """Write the sessions as events, one a minute; of two bag events the first are the searches."""
    rows = []
    user = np.broadcast_to(np.arange(len(start_ms))[:, None], start_ms.shape)
    for k in range(3):
        here, nth = place == k, k - (place < k)
        name = np.where(
            here, np.where(T > 0, "view:shoes", "view:bags"), np.where(nth < searched, "search:bags", "view:bags")
        )
        there = lasts | (k < 2)
        rows.append(pd.DataFrame({"user": user[there], "ms": start_ms[there] + 60_000 * k, "name": name[there]}))
    bought = Y > 0
    rows.append(pd.DataFrame({"user": user[bought], "ms": start_ms[bought] + 180_000, "name": "purchase:shoes"}))
    found = pd.concat(rows, ignore_index=True)
    action, _, category = (found["name"].str.partition(":")[i] for i in range(3))
    return pd.DataFrame(
        {
            "user_id": [f"{u:04d}" for u in found["user"]],
            "ts": found["ms"] + found["user"],
            "action": action,
            "category": category,
            "item_id": category + "-" + (found["user"] % 4).astype(str),
        }
    )
