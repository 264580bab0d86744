"""What DuckDB writes and what Python says is the same, for every kind of answer and of log."""

from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pytest

from whybuy.recommend.reasons import COLD, RANKED_BY, REASON_COLUMNS, ranked_by, reason
from whybuy.recommend.terms import Terms
from whybuy.recommend.wording import Both, Compared, Is, Known, Number, OneOf, Text, spoken, sql_of

DAY = 86_400_000
TERMS = Terms(
    basis="view", horizon_ms=DAY, lookback_ms=7 * DAY, start_ms=0, end_ms=30 * DAY, has_times=True, why_no_lift=None,
    goal="purchase", n_bought=500,
)  # fmt: skip
LOGS = {
    "by view": {},
    "by view, few bought": {"n_bought": 3},
    "by impression": {"basis": "impression"},
    "no lift": {"why_no_lift": 'the log\'s "purchases" are missing', "goal": "touch", "has_times": False},
}


def rows(n: int, *, seed: int = 0) -> pd.DataFrame:
    """Return answers of all kinds: columns that are null together are, each of the rest is by itself."""
    rng = np.random.default_rng(seed)
    lift = rng.normal(0, 0.02, n).round(5)
    frame = pd.DataFrame(
        {
            "is_known": rng.choice([True, None], n, p=[0.9, 0.1]),
            "last": rng.random(n) < 0.2,
            "state": rng.integers(0, 4, n),
            "lift": lift,
            "lift_low": lift - rng.exponential(0.01, n),
            "lift_high": lift + rng.exponential(0.01, n),
            "p_buy": rng.uniform(0.01, 0.9, n),
            "alone": rng.uniform(0.001, 0.9, n),
            "n_users": pd.array(rng.choice([0, 1, 2, 77_000], n), "Int64"),
            "own": rng.uniform(0, 0.1, n),
            "pool": rng.integers(0, 2, n),
            "shown": rng.integers(1, 9, n).astype(float),
            "not_shown": rng.integers(0, 3, n).astype(float),
            "strength": rng.choice([0.0, 0.2], n),
            "followed_name": rng.choice(["Red boots", "it's 5% off, {x}", "鞋"], n),
            "again": rng.choice([True, False, None], n, p=[0.1, 0.8, 0.1]),
            "near": rng.random(n) < 0.4,
            "adds": rng.choice([-0.004, 0.0, 0.01234], n),
            "buyers": rng.integers(0, 2, n),
            "touchers": rng.integers(0, 2, n),
            "said": "You looked at 100% wool: that adds 1.0",
            "share": rng.uniform(0, 1, n),
            "share_place": rng.integers(1, 3, n),
        }
    )
    assert tuple(frame) == REASON_COLUMNS
    for names in (
        ("alone",), ("lift", "lift_low", "lift_high", "p_buy", "alone", "n_users", "own"), ("shown", "not_shown"),
        ("said", "share", "share_place"),
    ):  # fmt: skip
        frame.loc[rng.random(n) < 0.4, list(names)] = None
    frame.loc[frame["strength"] == 0, "followed_name"] = None
    return frame


@pytest.mark.parametrize("name", LOGS)
def test_duckdb_and_python_give_the_same_reasons(name):
    sentence = reason(replace(TERMS, **LOGS[name]))
    frame = rows(3000).convert_dtypes()
    written = [text for (text,) in duckdb.sql(f"SELECT {sql_of(sentence)} FROM frame").fetchall()]
    every = frame.astype(object).where(frame.notna(), None).to_dict("records")
    said = [spoken(sentence, row) for row in every]
    assert said == written
    assert len(set(said)) > 100
    assert any(text.startswith(COLD) for text in said)


@pytest.mark.parametrize("name", LOGS)
def test_duckdb_and_python_give_the_same_tokens(name):
    token = ranked_by(replace(TERMS, **LOGS[name]))
    frame = rows(3000).convert_dtypes()
    written = [text for (text,) in duckdb.sql(f"SELECT {sql_of(token)} FROM frame").fetchall()]
    every = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert [spoken(token, row) for row in every] == written
    other = {"lift_by_view": "lift_by_impression", "lift_by_impression": "lift_by_view"}
    assert set(written) == set(RANKED_BY) - {other[f"lift_by_{LOGS[name].get('basis', 'view')}"]}


def test_no_condition_holds_on_what_is_null():
    row = {"a": None, "b": 2.0}
    sentence = OneOf(
        (Compared("a", "<", 1), "less"),
        (Compared("b", ">", 0.5, times="a"), "more"),
        (Both(Known("b"), Is("a")), "both"),
        otherwise=("neither ", Text("b"), Number("b", " %+.1f", unsigned=True)),
    )
    frame = pd.DataFrame([row]).astype({"a": "Float64"})  # noqa: F841 - DuckDB reads it by name
    sql = sql_of(sentence).replace("WHEN (b IS NOT NULL AND a)", "WHEN (b IS NOT NULL AND a::BOOLEAN)")
    assert duckdb.sql(f"SELECT {sql} FROM frame").fetchall() == [("neither 2.0 +200.0",)]
    assert spoken(sentence, row) == "neither 2.0 +200.0"
