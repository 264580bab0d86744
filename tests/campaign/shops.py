"""Shops of a few lines: a log written as the reader leaves it, and shops drawn by equations with a known truth."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from whybuy import columns as c
from whybuy.config import Config, config_from_dict
from whybuy.events.log import EventLog
from whybuy.events.quality import Quality

HOUR, DAY = 3_600_000, 86_400_000
TEXTS = (c.USER, c.ACTION, c.ITEM, c.CATEGORY, c.SESSION, c.ORDER, c.QUERY, c.TEXT, c.CURRENCY, c.CAMPAIGN, c.ARM)
NUMBERS = (c.RATING, c.PRICE, c.QUANTITY, c.PROPENSITY)


def write_shop(
    folder: Path,
    events: pd.DataFrame | list[dict],
    *,
    users: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
    end_ms: int | None = None,
    has_times: bool = True,
) -> EventLog:
    """Write ``events`` (any columns of a shard) as two shards with their tables."""
    frame = pd.DataFrame(events).reindex(columns=list(c.SHARD_COLUMNS))
    for name in TEXTS:
        frame[name] = frame[name].astype("string")
    for name in NUMBERS:
        frame[name] = frame[name].astype("float64")
    frame = frame.sort_values([c.USER, c.TIME_MS], kind="stable", ignore_index=True)
    frame[c.SOURCE], frame[c.ROW], frame[c.SLOT] = 0, np.arange(len(frame)), 0
    order = frame[c.ORDER].fillna("")
    new = frame[c.TIME_MS].ne(frame.groupby(c.USER)[c.TIME_MS].shift())
    new &= order.eq("") | order.ne(order.groupby(frame[c.USER]).shift(fill_value=""))
    frame[c.MOMENT] = new.groupby(frame[c.USER]).cumsum().astype("int32") - 1
    (folder / "shards").mkdir(parents=True)
    halves = frame[c.USER].map(lambda user: sum(user.encode()) % 2)
    for k in (0, 1):
        table = pa.Table.from_pandas(frame[halves == k], preserve_index=False)
        pq.write_table(table, folder / "shards" / f"shard-{k:05d}.parquet")
    by_user = frame.groupby(c.USER)[c.TIME_MS].agg(n_events="count", first_ms="min", last_ms="max").reset_index()
    users = by_user if users is None else users.merge(by_user, on=c.USER, how="outer").fillna({"n_events": 0})
    users.astype({"n_events": "int64"}).sort_values(c.USER).to_parquet(folder / "users.parquet", index=False)
    _items(frame, items).to_parquet(folder / "items.parquet", index=False)
    quality = _quality(frame, users, end_ms=end_ms, has_times=has_times)
    (folder / "quality.json").write_text(json.dumps(quality.to_json()), encoding="utf-8")
    return EventLog.open(folder)


def _quality(frame: pd.DataFrame, users: pd.DataFrame, *, end_ms: int | None, has_times: bool) -> Quality:
    times = frame[c.TIME_MS]
    first, last = int(times.min()), int(times.max())
    end = last if end_ms is None else end_ms
    return Quality(
        rows_read=len(frame),
        rows_kept=len(frame),
        duplicates_merged=0,
        rejected={},
        actions=frame[c.ACTION].value_counts().to_dict(),
        n_users=len(users),
        n_items=frame[c.ITEM].nunique(),
        n_categories=0,
        n_sessions=0,
        n_moments=int(frame.groupby(c.USER)[c.MOMENT].nunique().sum()),
        first_ms=first,
        last_ms=last,
        start_ms=first,
        end_ms=end,
        q01_ms=first,
        q99_ms=end,
        has_times=has_times,
        longest_gap_ms=None,
        attributes=[name for name in users.columns if name not in (c.USER, c.N_EVENTS, "first_ms", "last_ms")],
        campaigns=sorted(frame[c.CAMPAIGN].dropna().unique()),
    )


def _items(frame: pd.DataFrame, items: pd.DataFrame | None) -> pd.DataFrame:
    counts = frame[c.ITEM].dropna().value_counts().rename_axis(c.ITEM).rename(c.N_EVENTS).reset_index()
    known = pd.DataFrame({c.ITEM: []}, dtype="string") if items is None else items
    table = counts.merge(known, on=c.ITEM, how="outer").fillna({c.N_EVENTS: 0})
    table = table.reindex(columns=[c.ITEM, c.CATEGORY, c.BRAND, c.PRICE, c.N_EVENTS])
    table = table.astype({c.CATEGORY: "string", c.BRAND: "string", c.PRICE: "float64", c.N_EVENTS: "int64"})
    return table.sort_values([c.N_EVENTS, c.ITEM], ascending=[False, True])


def config(**more) -> Config:
    return config_from_dict({"events": [{"path": "log.csv"}], **more}, base=Path())


def event(user: str, day: float, action: str, **more) -> dict:
    """One event ``day`` days after the log begins."""
    return {c.USER: user, c.TIME_MS: round(day * DAY), c.ACTION: action, **more}


def targeted_events(rng: np.random.Generator, *, n_users: int = 2_000, effect: float = 0.0) -> pd.DataFrame:
    """A campaign on day 35 that is sent to the keen, and raises the chance of a purchase within 7 days by ``effect``.

    What a user did stirs them up: heat_d = .93 heat_(d-1) + .5 viewed + .5 bought on day d - 1, starting at
    exponential(1). On a day, P(view) = logistic(-2.5 + heat / 1.5), P(purchase) = logistic(-5 + heat) with heat at most
    4, and on day 35, P(sent) = logistic(1.2 (heat - 2.5)).
    """
    heat = rng.exponential(1.0, n_users)
    users = np.array([f"u{i:05d}" for i in range(n_users)])
    rows = []
    for day in range(50):
        if day == 35:
            sent = rng.random(n_users) < _logistic(1.2 * (heat - 2.5))
            rows.append(_at(users[sent], day, "campaign", rng, **{c.CAMPAIGN: "letter"}))
            moved = sent & (rng.random(n_users) < effect)
            rows.append(_at(users[moved], day + 1.0, "purchase", rng, **{c.ITEM: "i1"}))
        views = rng.random(n_users) < _logistic(np.minimum(heat, 4) / 1.5 - 2.5)
        buys = rng.random(n_users) < _logistic(np.minimum(heat, 4) - 5)
        rows.append(_at(users[views], day, "view", rng, **{c.ITEM: "i1"}))
        rows.append(_at(users[buys], day, "purchase", rng, **{c.ITEM: "i1"}))
        heat = 0.93 * heat + 0.5 * views + 0.5 * buys
    return pd.concat(rows, ignore_index=True)


def moved_events(rng: np.random.Generator, *, n_users: int = 1_600, campaign: str = "spring", **more) -> pd.DataFrame:
    """A letter on day 35 of 45 to half of the people at random that moves gold ones and puts others off.

    P(buy within 7 days) = .25, and with the letter .60 for gold, .08 for the others. Odd ids are gold. What is bought
    costs 10; everybody looks around a few times before.
    """
    number = np.arange(n_users)
    users = np.array([f"u{i:05d}" for i in number])
    sent, gold = rng.random(n_users) < 0.5, number % 2 == 1
    buys = rng.random(n_users) < np.where(sent, np.where(gold, 0.6, 0.08), 0.25)
    looks = np.repeat(users, 1 + rng.poisson(2, n_users))
    arms = {c.ARM: np.where(sent, "letter", "control"), c.PROPENSITY: 0.5, c.CAMPAIGN: campaign, **more}
    return pd.concat(
        [
            _at(looks, 0, "view", rng, **{c.ITEM: "i1"}).assign(**{c.TIME_MS: rng.integers(0, 34 * DAY, len(looks))}),
            _at(users, 35, "campaign", rng, **arms),
            _at(users[buys], 37, "purchase", rng, **{c.ITEM: "i1", c.PRICE: 10.0, c.QUANTITY: 1.0}),
            _at(users[:1], 45, "view", rng, **{c.ITEM: "i1"}),
        ],
        ignore_index=True,
    )


def tiers(n_users: int = 1_600) -> pd.DataFrame:
    """The people of :func:`moved_events`."""
    ids = [f"u{i:05d}" for i in range(n_users)]
    return pd.DataFrame({c.USER: ids, "tier": ["gold" if i % 2 else "basic" for i in range(n_users)]})


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _at(users: np.ndarray, day: float, action: str, rng: np.random.Generator, **more) -> pd.DataFrame:
    times = (day * DAY + rng.integers(HOUR, 23 * HOUR, len(users))).astype("int64")
    return pd.DataFrame({c.USER: users, c.TIME_MS: times, c.ACTION: action, **more})
