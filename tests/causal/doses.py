"""Two shops in which more of something does more, by a known slope.

Prices: 40 items of shoes; every two days each gets a new price, ``usual * (1 + r)`` with r = .08 s + .1 noise, less
its median over the item's prices, where the demand s = sin(2 pi day / 14) is seen by who sets the prices. A user views
a random item at its price every 8 hours or so and buys within the hour with chance ``.4 + .2 s + .1 loyal - .5 r``: a
price 10% above the usual one takes .05.

Numbers: sessions of three events, each ``view:shoes`` with chance expit(z), else ``search:bags`` or ``view:bags``, half
and half; z = .4 (searches so far, each fading by .7 a session) - .7. Then ``purchase:shoes`` with chance
``.05 + .45 expit(2 z) + .08 n``, n the number of views.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000
N_ITEMS, DAYS, SPELL_DAYS = 40, 42, 2
PER_TENTH, PER_VIEW = -0.05, 0.08


def prices(seed: int, *, n_users: int = 250, vary: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return events and users of the shop of prices; at one price each where they do not ``vary``."""
    rng = np.random.default_rng(seed)
    day = (np.arange(DAYS // SPELL_DAYS) + 0.5) * SPELL_DAYS
    noise = 0.1 * rng.normal(size=(N_ITEMS, len(day)))
    relative = np.clip(0.08 * _demand(day) + noise, -0.3, 0.3) * vary
    relative -= np.median(relative, axis=1, keepdims=True)
    usual = np.exp(rng.normal(3, 0.5, N_ITEMS))
    loyal = np.arange(n_users) % 2
    ts = START + np.arange(3 * DAYS) * 8 * HOUR + rng.integers(0, 4 * HOUR, (n_users, 3 * DAYS))
    now = (ts - START) / DAY
    item = rng.integers(0, N_ITEMS, ts.shape)
    r = relative[item, np.minimum(now // SPELL_DAYS, len(day) - 1).astype(int)]
    p = 0.4 + 0.2 * _demand(now) + 0.1 * loyal[:, None] - 0.5 * r
    bought = rng.random(ts.shape) < p
    user = np.broadcast_to(np.arange(n_users)[:, None], ts.shape)
    priced = pd.DataFrame(
        {"user": user.ravel(), "ts": ts.ravel(), "item": item.ravel(), "price": (usual[item] * (1 + r)).ravel()}
    )
    views = priced.assign(action="view")
    events = pd.concat([views, views[bought.ravel()].assign(action="purchase", ts=lambda rows: rows["ts"] + HOUR)])
    table = pd.DataFrame(
        {
            "user_id": [f"{u:04d}" for u in events["user"]],
            "ts": events["ts"],
            "action": events["action"],
            "category": "shoes",
            "item_id": [f"shoes-{i}" for i in events["item"]],
            "price": events["price"].round(2),
        }
    )
    return table, pd.DataFrame(
        {"user_id": [f"{u:04d}" for u in range(n_users)], "segment": np.where(loyal, "loyal", "new")}
    )


def _demand(day: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * day / 14)


@dataclass(frozen=True)
class Numbers:
    """A drawn log of sessions; ``n`` views and ``Y`` purchases of each (n_users, n_sessions)."""

    events: pd.DataFrame
    n: np.ndarray
    Y: np.ndarray


def numbers(seed: int, *, n_users: int = 400, n_sessions: int = 20) -> Numbers:
    rng = np.random.default_rng(seed)
    shape = (n_users, n_sessions)
    start = START + (np.cumsum(rng.uniform(25, 71, shape), axis=1) * HOUR).astype(np.int64)
    searches, n, Y = np.zeros(n_users), np.zeros(shape), np.zeros(shape, bool)
    names = np.empty((*shape, 3), object)
    for s in range(n_sessions):
        z = 0.4 * searches - 0.7
        viewed = rng.random((n_users, 3)) < expit(z)[:, None]
        other = np.where(rng.random((n_users, 3)) < 0.5, "search:bags", "view:bags")
        names[:, s] = np.where(viewed, "view:shoes", other)
        n[:, s] = viewed.sum(axis=1)
        Y[:, s] = rng.random(n_users) < 0.05 + 0.45 * expit(2 * z) + PER_VIEW * n[:, s]
        searches = 0.7 * (searches + (names[:, s] == "search:bags").sum(axis=1))
    user = np.indices(shape)[0]
    parts = [(user.ravel(), (start + 60_000 * k).ravel(), names[:, :, k].ravel()) for k in range(3)]
    parts.append((user[Y], start[Y] + 180_000, np.full(Y.sum(), "purchase:shoes", object)))
    who, ts, name = (np.concatenate(values) for values in zip(*parts, strict=True))
    action, _, category = (pd.Series(name).str.partition(":")[i] for i in range(3))
    item = [f"{c}-{u % 4}" for c, u in zip(category, who, strict=True)]
    columns = {"user_id": [f"{u:04d}" for u in who], "ts": ts + who, "action": action, "category": category}
    return Numbers(pd.DataFrame({**columns, "item_id": item}), n, Y)
