"""Which items are weighed for a user: a few hundred of the catalog, from what the user did and from what sells by
itself.

=============  ====================================================================================================
own            the items last touched, whose lift in the user's state is known best, and what is bought again
followers      items taken after one of the last items by others
categories     the first of the last touched categories, or of those that were shown last where nothing was touched
effects        the most bought of the categories that confirmed effects of the user's recent behaviors reach
popular        the items with the most buyers
best           the first of the catalog for someone unknown; as many as are asked for, so that K can always be filled
=============  ====================================================================================================

The order "for someone unknown" (``place``) is by lift in the state "none", then by buyers, people who touched it, and
newness. Impressions were assigned to whoever came, so the best of the catalog are weighed for everybody. Looks were
chosen: a lift by view speaks of people who came to that category by themselves, so there the best of the catalog are
only weighed for users whose own sources give fewer than K.
"""

import duckdb

from whybuy import columns as c
from whybuy.errors import ConfigError
from whybuy.recommend.catalog import PRIOR_PEOPLE
from whybuy.recommend.store import quoted, sql_in
from whybuy.recommend.terms import CART_ACTIONS, HAD_ACTIONS, TOUCH_ACTIONS, VIEW_ACTIONS, Terms

OWN_ITEMS = 40
FOLLOWED_ITEMS = 8
CATEGORIES = 3
PER_CATEGORY = 30
MOVES = 3
POPULAR_ITEMS = 20
BEST_ITEMS = 50


def load_places(con: duckdb.DuckDBPyConnection, terms: Terms) -> None:
    """Make ``places`` (item, worth, place, place_in_cat, place_bought) of the items on sale.

    Reads ``items`` and ``lifts``. ``worth`` is what one purchase counts, null where that is not known.

    Raises
    ------
    ConfigError
        Purchases count by their money, and no item on sale has a price (and a margin).
    """
    con.execute(
        f"""
        CREATE OR REPLACE TABLE places AS
        WITH known AS (
            SELECT i.item, cat, lift, {worth_sql(terms)} AS worth, buyers, touchers, first_t FROM items i
            LEFT JOIN (SELECT item, lift FROM lifts WHERE state = 0) USING (item) WHERE on_sale
        ), placed AS (
            SELECT item, cat, worth, buyers, row_number() OVER (
                ORDER BY lift * worth DESC NULLS LAST, lift DESC NULLS LAST,
                         buyers DESC, touchers DESC, first_t DESC NULLS LAST, item
            ) AS place FROM known
        )
        SELECT item, worth, place, row_number() OVER (PARTITION BY cat ORDER BY place) AS place_in_cat,
               row_number() OVER (ORDER BY buyers DESC, place) AS place_bought
        FROM placed ORDER BY item
        """
    )
    n_on_sale, n_known = con.execute("SELECT count(*), count(worth) FROM places").fetchall()[0]
    if n_on_sale and not n_known:
        raise ConfigError.of(
            found=f'[recommend] by = "{terms.by}", and none of {n_on_sale:,} items on sale has '
            + ("a price" if terms.by == "revenue" else "a price and a margin"),
            needed="what a purchase of an item is worth",
            do="Map price in [items] or [[events]]"
            + ("" if terms.by == "revenue" else " and fill [recommend.margins]"),
        )


def worth_sql(terms: Terms) -> str:
    """Return what one purchase of a row of ``items`` counts: itself, its price, or what is kept of that.

    The margin of the nearest category on the path counts, "*" where none is named.
    """
    if terms.by == "purchases":
        return "1.0::DOUBLE"
    price = f"CASE WHEN {c.PRICE} > 0 THEN CAST({c.PRICE} AS DOUBLE) END"
    if terms.by == "revenue":
        return price
    nearest_first = sorted((path for path in terms.margins if path != "*"), key=len, reverse=True)
    cases = "".join(
        f"WHEN path = {quoted(path)} OR starts_with(path, {quoted(path + '/')}) THEN {terms.margins[path]!r} "
        for path in nearest_first
    )
    default = f"{terms.margins['*']!r}" if "*" in terms.margins else "NULL"
    return f"{price} * {f'CASE {cases}ELSE {default} END' if cases else default}::DOUBLE"


def load_touched(con: duckdb.DuckDBPyConnection, terms: Terms) -> None:
    """Make ``touched``: per (u, item) with an event, the state now, the last time, and whether it was bought just now.

    Who reviewed or rated an item had it, whenever that was, and counts as having bought it just now.
    "Now" is the end of the log for everybody. Without times "recently" cannot be told, and means ever.
    """
    recent = f"t >= {terms.end_ms - terms.lookback_ms}" if terms.has_times else "true"
    just = f"t >= {terms.end_ms - terms.horizon_ms}" if terms.has_times else "true"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE touched AS
        SELECT u, item, max(t) AS last_t,
               CASE WHEN bool_or(action = 'purchase') THEN 3
                    WHEN bool_or(action IN {sql_in(CART_ACTIONS)} AND {recent}) THEN 2
                    WHEN bool_or(action IN {sql_in(VIEW_ACTIONS)} AND {recent}) THEN 1 ELSE 0 END AS state,
               bool_or(action = 'purchase' AND {just} OR action IN {sql_in(HAD_ACTIONS)}) AS just_bought
        FROM ev WHERE item IS NOT NULL AND action IN {sql_in(TOUCH_ACTIONS)} GROUP BY u, item
        """
    )


def load_candidates(con: duckdb.DuckDBPyConnection, terms: Terms, *, people: tuple[int, int], k: int) -> None:
    """Make ``candidates`` (u, item, strength, followed, near) of the people from ``people[0]`` to before ``people[1]``.

    ``strength`` is the largest share of people who took the item after one of the user's last items, or of its buyers
    who bought it again if the user bought it; ``followed`` is that item (or itself), ``near`` says that it is of a
    recently touched category, or of one shown to a user who touched nothing.
    """
    who = f"u >= {people[0]} AND u < {people[1]}"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE candidates AS
        WITH mine AS (
            SELECT u, item, state, row_number() OVER (PARTITION BY u ORDER BY last_t DESC, item) AS newest, last_t
            FROM touched WHERE {who}
        ), cats AS (
            SELECT u, cat FROM (
                SELECT u, item, last_t FROM mine UNION ALL
                SELECT u, item, max(t) AS last_t FROM ev ANTI JOIN mine USING (u)
                WHERE {who} AND action = 'impression' AND item IS NOT NULL GROUP BY u, item
            ) JOIN items USING (item) WHERE cat > 0 GROUP BY u, cat
            QUALIFY row_number() OVER (PARTITION BY u ORDER BY max(last_t) DESC, count(*) DESC, cat) <= {CATEGORIES}
        ), moves AS (
            SELECT * FROM moved WHERE {who}
            QUALIFY row_number() OVER (PARTITION BY u ORDER BY adds DESC, outcome_kind, outcome) <= {MOVES}
        ), found AS (
            SELECT u, item, CASE WHEN state = 3 THEN repeat_buyers / (buyers + {PRIOR_PEOPLE}) ELSE 0.0 END AS strength,
                   CASE WHEN state = 3 AND repeat_buyers > 0 THEN item END AS followed, false AS near
            FROM mine JOIN items USING (item) WHERE newest <= {OWN_ITEMS}
            UNION ALL
            SELECT u, f.next, strength, f.item, false FROM mine m JOIN followers f USING (item)
            WHERE newest <= {FOLLOWED_ITEMS}
            UNION ALL
            SELECT u, p.item, 0.0, NULL, true FROM cats JOIN items USING (cat) JOIN places p USING (item)
            WHERE place_in_cat <= {PER_CATEGORY}
            UNION ALL
            SELECT u, s.item, 0.0, NULL, false FROM moves JOIN effect_shares s USING (outcome_kind, outcome)
            WHERE is_candidate AND adds > 0
            UNION ALL
            SELECT u, item, 0.0, NULL, false FROM (SELECT u FROM people WHERE {who})
            CROSS JOIN (SELECT item FROM places WHERE place_bought <= {POPULAR_ITEMS})
        )
        SELECT u, item, max(strength) AS strength, arg_max(followed, (strength, -followed)) AS followed,
               bool_or(near) AS near
        FROM found SEMI JOIN places USING (item) GROUP BY u, item
        """
    )
    # Enough of one's own: K items besides those bought just now.
    enough = f"""SELECT u FROM candidates LEFT JOIN touched USING (u, item)
                 GROUP BY u HAVING count(*) FILTER (just_bought IS NOT TRUE) >= {k}"""
    short = f"AND u NOT IN ({enough})" if terms.basis == "view" else ""
    con.execute(
        f"""
        INSERT INTO candidates
        SELECT u, item, 0.0, NULL, false FROM (SELECT u FROM people WHERE {who} {short})
        CROSS JOIN (SELECT item FROM places WHERE place <= {max(k, BEST_ITEMS)})
        ANTI JOIN candidates USING (u, item)
        """
    )
