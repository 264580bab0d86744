"""Small sequences written by hand, for tests of moments, features, the model and trials."""

import numpy as np

from whybuy.columns import ACTIONS
from whybuy.events.sequences import Sequences, Vocabulary
from whybuy.events.vocabulary import category_paths

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def vocabulary(categories=("shoes", "shoes/boots", "bags"), items=("i0", "i1", "i2")) -> Vocabulary:
    """Item k is of category k."""
    return Vocabulary(
        items=np.array(items, object),
        categories=sorted(categories),
        item_category=np.array([sorted(categories).index(c) for c in categories[: len(items)]], np.int32),
        item_brand=np.array(["acme"] * len(items), object),
        price_edges=np.array([10.0]),
        attributes={},
        exposures=[],
        brands=["acme"],
        item_brand_code=np.zeros(len(items), np.int32),
        item_text=np.full(len(items), -1, np.int32),
        category_path=category_paths(sorted(categories)),
    )


def sequences(users: dict[str, list[tuple]], words: Vocabulary | None = None) -> Sequences:
    """Build sequences from {user: [(time, action, item index or None)]}; equal times are one moment."""
    words = words or vocabulary()
    rows = [(user, *event) for user, events in users.items() for event in events]
    n = len(rows)
    user = np.array([r[0] for r in rows], object)
    ts = np.array([r[1] for r in rows], np.int64)
    starts = [i for i in range(n) if i == 0 or user[i] != user[i - 1]]
    moments = [i for i in range(n) if i in starts or ts[i] != ts[i - 1]]
    item = np.array([-1 if r[3] is None else r[3] for r in rows], np.int32)
    return Sequences(
        user_ids=user[starts],
        offsets=np.array([*starts, n], np.int64),
        ts_ms=ts,
        moment_starts=np.array([*moments, n], np.int64),
        action=np.array([ACTIONS.index(r[2]) for r in rows], np.int8),
        item=item,
        category=np.append(words.item_category, np.int32(-1))[item],
        price_band=np.zeros(n, np.int8),
        price_relative=np.zeros(n, np.int8),
        quantity=np.zeros(n, np.int8),
        rating=np.zeros(n, np.int8),
        slot=np.zeros(n, np.int8),
        session_start=np.isin(np.arange(n), starts),
        text=np.full(n, -1, np.int32),
        spend=np.zeros(n, np.float32),
        exposure=np.zeros(n, np.int16),
        attributes=np.zeros((len(starts), len(words.attributes)), np.int16),
    )


def random_sequences(rng: np.random.Generator, *, n_users: int = 8, longest: int = 40) -> Sequences:
    """Users with uneven numbers of events, some of them at the same time."""
    actions = ["view", "cart", "purchase", "search"]
    users = {}
    for u in range(n_users):
        n = int(rng.integers(1, longest))
        times = np.sort(rng.integers(0, 40 * DAY, n) // HOUR * HOUR)
        users[f"u{u}"] = [(int(t), actions[rng.integers(4)], int(rng.integers(3))) for t in times]
    return sequences(users)
