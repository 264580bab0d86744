"""From candidates to the K rows of a user: lift in the user's state, what recent behaviors add, the order, and why.

The order: items with a lift, by lift times what a purchase counts (one, its price, or what is kept of it); then items
without one (never shown), by what is known: what a confirmed effect adds, what others took after the user's last items
or what they buy again, recently touched categories, and the place in the catalog
(buyers, people who touched it, newness). Items bought within the last horizon, and items reviewed or rated, come after
everything else, where the catalog has nothing else to fill K, unless people buy the item repeatedly. Items not on sale
never come.

The first K of that order are the answer, each with ``propensity`` 1, unless the config asks for exploration or a cap
(``explored``).
"""

import duckdb

from whybuy import columns as c
from whybuy.recommend.candidates import load_candidates
from whybuy.recommend.catalog import REPEAT_BUYERS, REPEAT_SHARE
from whybuy.recommend.explored import explores, load_drawn
from whybuy.recommend.personal.asked import Asker
from whybuy.recommend.reasons import ranked_by, reason
from whybuy.recommend.store import quoted
from whybuy.recommend.terms import Terms
from whybuy.recommend.wording import sql_of

RANK = "rank"
LIFT = "lift"
LIFT_LOW = "lift_low"
LIFT_HIGH = "lift_high"
P_BUY = "p_buy"
BASIS = "basis"
RANKED_BY = "ranked_by"
ANSWER_REASON = c.REASON


def load_ranked(con: duckdb.DuckDBPyConnection, terms: Terms, asker: Asker, *, people: tuple[int, int], k: int) -> None:
    """Make ``ranked``: up to ``k`` rows of every user from ``people[0]`` to before ``people[1]``, with their
    reasons.
    """
    load_candidates(con, terms, people=people, k=k)
    asker.load_more_candidates(con, people)
    asker.load_lifts(con)
    # A lift measured from impressions stays as measured; p_buy and the order of items without a lift take the addition.
    in_lift = "adds" if terms.basis == "view" else "0"
    half = "adds_half" if terms.basis == "view" else "0"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE weighed AS
        WITH added AS (
            SELECT u, item, adds * share AS adds, adds_half * share AS adds_half, said, share, s.place AS share_place
            FROM candidates JOIN effect_shares s USING (item) JOIN moved m USING (u, outcome_kind, outcome)
            QUALIFY row_number() OVER (PARTITION BY u, item ORDER BY abs(m.adds * share) DESC, outcome) = 1
        ), joined AS (
            SELECT k.u, k.item, strength, followed, near, worth, place, coalesce(t.state, 0) AS state,
                   coalesce(just_bought, false) AND NOT (
                       buyers >= {REPEAT_BUYERS} AND repeat_buyers >= {REPEAT_SHARE} * buyers
                   ) AS last,
                   coalesce(a.adds, 0) AS adds, coalesce(a.adds_half, 0) AS adds_half, said, share, share_place
            FROM candidates k JOIN places p ON p.item = k.item JOIN items i ON i.item = k.item
            LEFT JOIN touched t ON t.u = k.u AND t.item = k.item
            LEFT JOIN added a ON a.u = k.u AND a.item = k.item
        )
        SELECT j.*, coalesce(o.lift, l.lift + {in_lift}) AS lift,
               l.lift + {in_lift} - sqrt((l.lift - l.lift_low) ** 2 + {half} ** 2) AS lift_low,
               l.lift + {in_lift} + sqrt((l.lift_high - l.lift) ** 2 + {half} ** 2) AS lift_high,
               coalesce(
                   o.p_buy, CASE WHEN l.p_buy IS NOT NULL THEN least(greatest(l.p_buy + adds, 0), 1) END
               ) AS p_buy, l.n_users, l.own, o.alone
        FROM joined j LEFT JOIN lifts l ON l.item = j.item AND l.state = j.state
        LEFT JOIN personal o ON o.u = j.u AND o.item = j.item
        """
    )
    con.execute(
        """
        CREATE OR REPLACE TEMP TABLE line AS
        SELECT *, row_number() OVER (
            PARTITION BY u ORDER BY last, lift * worth DESC NULLS LAST, lift DESC NULLS LAST, adds DESC, strength DESC,
                                    near DESC, place
        ) AS in_line FROM weighed
        """
    )
    if explores(terms):
        load_drawn(con, terms, k=k)
        con.execute("CREATE OR REPLACE TEMP TABLE chosen AS SELECT * FROM line JOIN drawn USING (u, item)")
    else:
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE chosen AS
                SELECT *, in_line AS rank, 1.0::DOUBLE AS propensity FROM line WHERE in_line <= {k}"""
        )
    asker.load_intervals(con)
    con.execute(
        """CREATE OR REPLACE TEMP TABLE chosen AS
           SELECT c.* REPLACE (coalesce(low, lift_low) AS lift_low, coalesce(high, lift_high) AS lift_high)
           FROM chosen c LEFT JOIN intervals USING (u, item)"""
    )
    words = {"basis": quoted(terms.basis), "ranked_by": sql_of(ranked_by(terms)), "reason": sql_of(reason(terms))}
    con.execute(f"CREATE OR REPLACE TEMP TABLE ranked AS {_WORDED.format(**words)}")


_WORDED = f"""
    WITH told AS (
        SELECT r.*, people.{c.USER}, i.{c.ITEM}, i.pool, i.buyers, i.touchers, x.shown, x.not_shown,
               trim(coalesce(f.{c.TITLE}, f.{c.ITEM})) AS followed_name,
               r.followed = r.item AS again, is_known
        FROM chosen r JOIN people USING (u) JOIN items i ON i.item = r.item LEFT JOIN items f ON f.item = r.followed
        LEFT JOIN exposed x ON x.item = r.item
        LEFT JOIN (SELECT DISTINCT u, true AS is_known FROM ev) seen ON seen.u = r.u
    )
    SELECT u, {c.USER}, CAST(rank AS INTEGER) AS {RANK}, {c.ITEM}, {LIFT}, {LIFT_LOW}, {LIFT_HIGH}, {P_BUY},
           {{basis}} AS {BASIS}, {{ranked_by}} AS {RANKED_BY}, rtrim({{reason}}) AS {ANSWER_REASON}, {c.PROPENSITY}
    FROM told ORDER BY u, rank
"""
ANSWER_COLUMNS = (
    c.USER, RANK, c.ITEM, LIFT, LIFT_LOW, LIFT_HIGH, P_BUY, BASIS, RANKED_BY, ANSWER_REASON, c.PROPENSITY,
)  # fmt: skip
"""The columns of the output file, in order."""
