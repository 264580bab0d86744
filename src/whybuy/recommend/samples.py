"""A few varied users for the report: what they did last, and what is recommended to them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.events.behaviors import Behavior
from whybuy.events.log import EventLog
from whybuy.recommend.answer import Recommendations
from whybuy.recommend.answerer import Answerer
from whybuy.recommend.moves import did
from whybuy.recommend.store import connection, load_events, quoted, write_text

_QUANTILES = (1.0, 0.9, 0.6, 0.3, 0.0)
_HISTORY = 8
NEWCOMER = "someone new"


def write_samples(folder: Path, log: EventLog, *, k: int) -> None:
    """Write ``samples.json``: users from the heaviest to the lightest, and one of whom nothing is known."""
    chosen = sample_users(log.users())
    answerer = Answerer.open(folder)
    answers = [answerer.answer(user_id, k) for user_id in chosen]
    history = _histories(folder, log, chosen)
    catalog = _catalog(folder, answers)
    samples = [
        {
            c.USER: answer.user_id,
            "history": history.get(answer.user_id, []),
            "items": [_item(item, catalog) for item in answer.to_json()["items"]],
        }
        for answer in answers
    ]
    write_text(json.dumps({"samples": samples}, indent=1, ensure_ascii=False, allow_nan=False), folder / "samples.json")


def sample_users(users: pd.DataFrame) -> list[str]:
    """Return up to six ids: by number of events from most to fewest (the latest active of equals), and a cold one."""
    active = users[users[c.N_EVENTS] > 0].sort_values([c.N_EVENTS, "last_ms", c.USER], kind="stable")
    places = [round(q * (len(active) - 1)) for q in _QUANTILES] if len(active) else []
    chosen = [str(active[c.USER].iloc[place]) for place in dict.fromkeys(places)]
    cold = users.loc[users[c.N_EVENTS] == 0, c.USER]
    return [*chosen, str(cold.iloc[0]) if len(cold) else NEWCOMER]


def _histories(folder: Path, log: EventLog, users: list[str]) -> dict[str, list[str]]:
    """The last things each user did, newest first, in words."""
    with connection() as (con, _):
        con.execute(f"CREATE TABLE items AS SELECT * FROM read_parquet({quoted(folder / 'items.parquet')})")
        con.execute(f"CREATE TEMP TABLE wanted AS SELECT unnest($ids) AS {c.USER}", {"ids": users})
        load_events(con, log.shards, only="wanted")
        rows = con.execute(
            f"""
            SELECT {c.USER}, action, coalesce({c.TITLE}, {c.ITEM}, query, ev.path, campaign) AS what
            FROM ev JOIN people USING (u) LEFT JOIN items USING (item)
            QUALIFY row_number() OVER (PARTITION BY u ORDER BY t DESC, action, what) <= {_HISTORY}
            ORDER BY u, t DESC, action, what
            """
        ).fetchall()
    found: dict[str, list[str]] = {}
    for user, action, what in rows:
        target = Behavior(action) if what is None else Behavior(action, "category", what)
        found.setdefault(user, []).append(did(target))
    return found


def _catalog(folder: Path, answers: list[Recommendations]) -> pd.DataFrame:
    ids = {item.item_id for answer in answers for item in answer.items}
    items = pd.read_parquet(folder / "items.parquet", columns=[c.ITEM, c.TITLE, "path"])
    items = items[items[c.ITEM].isin(ids)]
    return items.set_index(c.ITEM).replace({np.nan: None})


def _item(item: dict[str, Any], catalog: pd.DataFrame) -> dict[str, Any]:
    about = catalog.loc[item[c.ITEM]]
    rest = {key: value for key, value in item.items() if key not in (c.ITEM, c.PROPENSITY)}
    return {c.ITEM: item[c.ITEM], c.TITLE: about[c.TITLE], c.CATEGORY: about["path"], **rest}
