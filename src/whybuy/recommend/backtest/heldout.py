"""Rankings against what people went on to buy, for logs that cannot say what showing something would have earned.

The log is cut at one time. Everything before it teaches, as ``whybuy recommend --all`` learns on a whole log, and each
ranking says to everybody known by then what it would say at that moment; what they bought after it is compared. That
is prediction: an item that sells by itself is a hit, whether or not anybody should be shown it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np

from whybuy import columns as c
from whybuy.config import Config, duration_ms
from whybuy.errors import QuestionError
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet
from whybuy.recommend.backtest.evaluation import time_text
from whybuy.recommend.backtest.foretold import Cut, HeldOut, Scores
from whybuy.recommend.backtest.judge import BY_P_BUY
from whybuy.recommend.backtest.learn import cut_before, number_items
from whybuy.recommend.backtest.lists import RANKINGS, rank_people
from whybuy.recommend.backtest.measures import Catalog, averages, differences
from whybuy.recommend.backtest.run import Lack
from whybuy.recommend.batch import load_learned
from whybuy.recommend.personal.asked import Asker, learn_from_log
from whybuy.recommend.store import connection, load_events, parquet_list
from whybuy.recommend.terms import Terms, terms_of

TAUGHT = 0.8
"""At least this share of the purchases, the first in time, comes before the cut."""
FEWEST_USERS = 30
MOST_USERS = 10_000


def hold_out(
    log: EventLog,
    config: Config,
    *,
    lack: Lack,
    scratch_in: Path | None = None,
    seed: int = 7,
    report: Report = quiet,
) -> HeldOut:
    """Return how well rankings foretell what people went on to buy.

    Parameters
    ----------
    lack : why policies cannot be judged on this log
    scratch_in : where the earlier part of the log is written for a while; the system's place where None
    seed : of the sample of users, the random ranking and the resamples of users

    Raises
    ------
    QuestionError
        Fewer than 30 users with an event before the cut bought an item after it.

    Notes
    -----
    After the cut lies the last fifth of the purchases, but no more than one horizon, the longest of the config's: what
    is foretold at one moment grows stale. Without times the cut is a position, and the last fifth is taken whole.
    """
    rng, k = np.random.default_rng(seed), config.recommend.k
    with connection(scratch_in) as (con, scratch):
        terms = terms_of(con, log, config)
        number_items(con, log)
        span = _span(con, log, config, lack)
        cut = _load_taken(con, log, span, lack, seed=seed, report=report)
        earlier = cut_before(con, log, span.before_ms, scratch=scratch, report=report)
        terms = load_learned(con, earlier, replace(terms, end_ms=span.before_ms), scratch=scratch, report=report)
        learn_from_log(con, earlier, terms, scratch, scratch, report)
        lists = rank_people(con, earlier, Asker.of(scratch, terms), terms, k=k, rng=rng, report=report)
        catalog = Catalog.of(con, earlier)
    refused = {} if terms.why_no_lift is None else {BY_P_BUY: terms.why_no_lift}
    values = {name: catalog.values(lists, name) for name in RANKINGS if name not in refused}
    return HeldOut(
        scores=tuple(
            Scores(ranking=name, averages=averages(own, rng), coverage=catalog.coverage(lists, name))
            for name, own in values.items()
        ),
        differences=tuple(differences(values, rng)),
        refused=refused,
        cut=cut,
        k=k,
        lack=str(lack.error()),
        notes=_notes(terms, cut),
    )


@dataclass(frozen=True)
class _Span:
    """From when purchases are judged, and the last of them; ``text`` writes one of the two."""

    before_ms: int
    last_ms: int
    text: Callable[[int], str]


def _span(con: duckdb.DuckDBPyConnection, log: EventLog, config: Config, lack: Lack) -> _Span:
    last_fifth, last = con.execute(
        f"""
        SELECT quantile_disc({c.TIME_MS}, {TAUGHT}), max({c.TIME_MS}) FROM read_parquet({parquet_list(log.shards)})
        WHERE {c.ACTION} = 'purchase' AND {c.ITEM} IS NOT NULL
        """
    ).fetchall()[0]
    if last is None:
        raise _refusal(lack, "it has no purchases of items")
    if not log.quality.has_times:
        return _Span(int(last_fifth), int(last), "position {:,}".format)
    horizon_ms = max(map(duration_ms, (config.recommend.horizon, *config.horizons)))
    return _Span(max(int(last_fifth), int(last) - horizon_ms), int(last), time_text)


def _refusal(lack: Lack, found: str) -> QuestionError:
    return QuestionError.of(
        found=f"{lack.found}; and {found}",
        needed=f"{lack.needed}; or, to compare rankings with what people went on to buy, at least {FEWEST_USERS} who "
        "did something before a time and bought an item after it",
        do=f"{lack.do}; or bring a longer log",
    )


def _load_taken(
    con: duckdb.DuckDBPyConnection, log: EventLog, span: _Span, lack: Lack, *, seed: int, report: Report
) -> Cut:
    """Make ``taken`` (shard, user_id, item, again) of what is bought after the cut by users who are judged."""
    con.execute(f"CREATE TABLE taken (shard INTEGER, {c.USER} VARCHAR, item INTEGER, again BOOLEAN, is_known BOOLEAN)")
    for shard, path in enumerate(log.shards):
        load_events(con, [path])
        con.execute(_TAKEN.format(shard=shard, before=span.before_ms))
        report("evaluate: what was bought later", shard + 1, len(log.shards))
    users = f"count(DISTINCT {c.USER})"
    n_buyers, n_unknown = con.execute(
        f"SELECT {users} FILTER (is_known), {users} FILTER (NOT is_known) FROM taken"
    ).fetchall()[0]
    if n_buyers < FEWEST_USERS:
        at = span.text(span.before_ms)
        raise _refusal(lack, f"{n_buyers} of its users did something before {at} and bought an item after it")
    in_million = min(1_000_000, 1_000_000 * MOST_USERS // n_buyers)
    con.execute(f"DELETE FROM taken WHERE NOT is_known OR hash({c.USER}, {seed}) % 1000000 >= {in_million}")
    n_users, n_taken, n_again = con.execute(f"SELECT {users}, count(*), count(*) FILTER (again) FROM taken").fetchall()[
        0
    ]
    return Cut(
        at=span.text(span.before_ms),
        until=span.text(span.last_ms),
        n_users=n_users,
        n_buyers=n_buyers,
        n_taken=n_taken,
        n_again=n_again,
        n_unknown=n_unknown,
    )


_TAKEN = f"""
    INSERT INTO taken
    SELECT {{shard}}, {c.USER}, item, bool_or(t < {{before}}), any_value(is_known)
    FROM ev JOIN people USING (u) JOIN (SELECT u, bool_or(t < {{before}}) AS is_known FROM ev GROUP BY u) USING (u)
    WHERE action = 'purchase' AND item IS NOT NULL GROUP BY {c.USER}, item HAVING bool_or(t >= {{before}})
"""


def _notes(terms: Terms, cut: Cut) -> tuple[str, ...]:
    """Return what has to be known beside the numbers, in words."""
    notes = [
        "A ranking by lift leaves out on purpose what sells by itself: it may add more and foretell less.",
        f"Everything was learned on the events before {cut.at}, as `whybuy recommend --all` learns on a whole log, but "
        "without the effects of behaviors, which were confirmed on the whole log. All items count as on sale.",
        f"Each ranking is what it would have said at {cut.at} to users who bought an item from then to {cut.until}; "
        f"what they did in between it does not know. {cut.n_again:,} of {cut.n_taken:,} items bought had been bought "
        "by the same user before.",
        "By P(buy), co-purchase and last seen order the items that `whybuy recommend` weighs for a user, without what "
        "was bought just now; places left over go to the items with the most buyers.",
    ]
    if terms.why_no_lift is not None:
        notes.append(f"This policy ranks without lifts: {terms.why_no_lift}.")
    elif terms.basis == "view":
        notes.append("This policy ranks by lifts in which looking at an item stands in for being shown it.")
    if cut.n_users < cut.n_buyers:
        notes.append(f"The {cut.n_users:,} users were drawn from {cut.n_buyers:,}.")
    if cut.n_unknown:
        notes.append(f"Left out: {cut.n_unknown:,} users who bought an item and had no event before.")
    return (*notes, *(f"{note[0].upper()}{note[1:]}." for note in terms.notes))
