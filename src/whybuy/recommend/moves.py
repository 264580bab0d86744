"""What a user's recent behaviors add, by the confirmed effects: from effects x current state to items.

Taken are confirmed effects (``strong`` or ``suggestive``) on ``purchase:CATEGORY`` or ``purchase:item=ID``, except
those whose treatment is a precondition of the outcome (looking at shoes before buying shoes): that is the user's
state already. A user is moved by an effect while its own horizon since the behavior has not passed. What it adds to
item i of the category is

    effect x (i's share of the category's purchases) x min(1, horizon of recommending / horizon of the effect)

The last factor spreads the added purchases evenly over the effect's horizon; the share says that the added purchases
fall on items as purchases of the category do. Both are assumptions, so the sum enters lifts of basis ``view`` (and
every ``p_buy``) but never a lift measured from impressions. Of several effects on one item only the largest counts:
effects of overlapping behaviors must not be added.
"""

import json
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from whybuy import columns as c
from whybuy.config import duration_ms
from whybuy.errors import WorkspaceError
from whybuy.events.behaviors import Behavior, is_funnel, parse_behavior
from whybuy.recommend.terms import Terms

_GRADES = ("strong", "suggestive")
_PER_CATEGORY = 10
"""How many items of a category reached by an effect become candidates."""
_VERBS = {
    "view": "looked at {}",
    "search": "searched for {}",
    "favorite": "marked {}",
    "cart": "put {} in the cart",
    "remove": "took {} out of the cart",
    "purchase": "bought {}",
    "return": "returned {}",
    "review": "reviewed {}",
    "rating": "rated {}",
    "impression": "were shown {}",
    "click": "clicked on {}",
    "campaign": "were in the campaign {}",
    "redeem": "redeemed {}",
}
_COLUMNS = {
    "effect": "int64",
    "action": "str",
    "kind": "str",
    "target": "str",
    "arm": "str",
    "outcome_kind": "str",
    "outcome": "str",
    "window_ms": "int64",
    "adds": "float64",
    "adds_half": "float64",
    "said": "str",
}


def load_effects(con: duckdb.DuckDBPyConnection, path: Path, terms: Terms) -> int:
    """Make the tables ``effects`` and ``effect_shares`` (outcome, item, share, place); return how many were taken.

    Raises
    ------
    WorkspaceError
        The file is missing or is no JSON of effects.
    """
    rows = [row for number, raw in enumerate(_read(path)) if (row := _effect_row(number, raw, terms)) is not None]
    _load_rows(con, rows)
    return len(rows)


def load_no_effects(con: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of :func:`load_effects` for answers that no effect may enter."""
    _load_rows(con, [])


def _load_rows(con: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)  # noqa: F841 - read by DuckDB
    con.execute("CREATE OR REPLACE TABLE effects AS SELECT * FROM frame")
    con.execute(_SHARES)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return list(raw["effects"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError.of(
            found=f"{path} cannot be read as effects ({error})",
            needed='a JSON object with a list "effects", as the confirm stage writes it, is needed',
            do="Run `whybuy run` again so that the stage is made anew",
        ) from error


def _effect_row(number: int, raw: dict[str, Any], terms: Terms) -> dict[str, Any] | None:
    treatment, outcome = parse_behavior(raw["treatment"]), parse_behavior(raw["outcome"])
    estimate, error = raw["effect"]["estimate"], raw["effect"]["std_error"]
    if raw["method"] != "confirmed" or raw["verdict"] not in _GRADES or estimate is None or error is None:
        return None
    if outcome.action != "purchase" or outcome.kind not in ("category", "item") or is_funnel(treatment, outcome):
        return None
    window = duration_ms(raw["horizon"])
    scale = min(1.0, terms.horizon_ms / window)
    return {
        "effect": number,
        "action": treatment.action,
        "kind": treatment.kind,
        "target": treatment.target,
        "arm": treatment.arm,
        "outcome_kind": outcome.kind,
        "outcome": outcome.target,
        "window_ms": window,
        "adds": estimate * scale,
        "adds_half": 1.959963984540054 * error * scale,
        "said": _said(treatment, outcome, estimate, raw),
    }


def _said(treatment: Behavior, outcome: Behavior, estimate: float, raw: dict[str, Any]) -> str:
    what = outcome.target if outcome.kind == "category" else f"item {outcome.target}"
    verb = "adds" if estimate >= 0 else "takes away"
    grade = "" if raw["verdict"] == "strong" else f" ({raw['verdict']})"
    figure = f"{100 * abs(estimate):.1f} purchases of {what} in 100 within {raw['horizon']}{grade}"
    return f"You {did(treatment)}: that {verb} {figure}"


def did(behavior: Behavior) -> str:
    """Return what the user did, in words: ``view:phones`` -> "looked at phones"."""
    if behavior.kind == "any":
        target = "anything"
    elif behavior.kind == "item":
        target = f"item {behavior.target}"
    else:
        target = behavior.target
    return _VERBS[behavior.action].format(target)


_SHARES = f"""
    CREATE OR REPLACE TABLE effect_shares AS
    WITH reached AS (
        SELECT DISTINCT outcome_kind, outcome, i.item, i.purchases, i.on_sale
        FROM effects o JOIN items i
        ON (outcome_kind = 'category' AND (i.path = outcome OR starts_with(i.path, outcome || '/')))
        OR (outcome_kind = 'item' AND i.{c.ITEM} = outcome)
    ), shared AS (
        SELECT *, purchases / nullif(sum(purchases) OVER (PARTITION BY outcome_kind, outcome), 0) AS share FROM reached
    )
    SELECT outcome_kind, outcome, item, share,
           row_number() OVER (PARTITION BY outcome_kind, outcome ORDER BY share DESC, item) AS place,
           place <= {_PER_CATEGORY} AS is_candidate
    FROM shared WHERE on_sale AND share > 0
"""


def moved_sql(terms: Terms) -> str:
    """SQL of ``moved``: the strongest effect on each outcome that each user's events before the log's end set going."""
    return _MOVED.format(now=terms.end_ms)


_MOVED = f"""
    CREATE OR REPLACE TEMP TABLE moved AS
    WITH recent AS (
        SELECT DISTINCT u, e.action, path, item, query, campaign, arm, t FROM ev e
        WHERE t >= {{now}} - (SELECT coalesce(max(window_ms), 0) FROM effects)
    ), done AS (
        SELECT u, effect FROM recent r JOIN effects f
        ON f.action = r.action AND f.kind = 'any' AND t >= {{now}} - window_ms
        UNION
        SELECT u, effect FROM recent r
        JOIN (SELECT effect, f.action, p.path, window_ms FROM effects f
              JOIN (SELECT DISTINCT path FROM recent WHERE path IS NOT NULL) p
              ON f.kind = 'category' AND (p.path = f.target OR starts_with(p.path, f.target || '/'))) f
        ON f.action = r.action AND f.path = r.path AND t >= {{now}} - window_ms
        UNION
        SELECT u, effect FROM recent r
        JOIN (SELECT effect, f.action, i.item, window_ms FROM effects f JOIN items i
              ON (f.kind = 'item' AND f.target = i.{c.ITEM}) OR (f.kind = 'brand' AND f.target = i.{c.BRAND})) f
        ON f.action = r.action AND f.item = r.item AND t >= {{now}} - window_ms
        UNION
        SELECT u, effect FROM recent r JOIN effects f
        ON f.kind = 'query' AND f.action = r.action AND f.target = r.query AND t >= {{now}} - window_ms
        UNION
        SELECT u, effect FROM recent r JOIN effects f
        ON f.kind = 'campaign' AND f.action = r.action AND f.target = r.campaign AND t >= {{now}} - window_ms
        AND (f.arm = '' OR f.arm = r.arm)
    )
    SELECT u, effect, outcome_kind, outcome, adds, adds_half, said FROM done JOIN effects USING (effect)
    QUALIFY row_number() OVER (PARTITION BY u, outcome_kind, outcome ORDER BY abs(adds) DESC, effect) = 1
"""
