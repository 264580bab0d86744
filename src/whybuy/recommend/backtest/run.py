"""From a log to the values of policies: read, split by time, learn on the earlier part, judge on the later."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from whybuy import columns as c
from whybuy.causal.clusters import Ints
from whybuy.config import Config, duration_ms, duration_text
from whybuy.errors import QuestionError
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet
from whybuy.recommend.backtest.evaluation import Evaluation, Span
from whybuy.recommend.backtest.judge import BY_P_BUY, POLICIES, THIS, Judged, judge
from whybuy.recommend.backtest.learn import learn, number_items
from whybuy.recommend.backtest.slates import Reading, Survey, survey
from whybuy.recommend.backtest.softened import TEMPERATURE
from whybuy.recommend.evaluate import LoggedFeedback, PolicyComparison, compare
from whybuy.recommend.store import connection, parquet_list
from whybuy.recommend.terms import rejected_propensities, terms_of

TAUGHT = 0.6
"""The share of slates, the first in time, that everything is learned on."""
_NEEDED = (
    "impressions, each with its propensity: the probability in (0, 1] with which the item was shown in its slot, given "
    "the user and the earlier slots"
)
_NAMED = 3
"""How many items a note names."""


def evaluate_log(
    log: EventLog, config: Config, *, scratch_in: Path | None = None, seed: int = 7, report: Report = quiet
) -> Evaluation:
    """Return what the ranking of ``whybuy recommend`` and simpler ones would have earned on a log, beside what was.

    Parameters
    ----------
    scratch_in : where the earlier part of the log is written for a while; the system's place where None
    seed : of the resamples of users

    Raises
    ------
    QuestionError
        The log has no times, no impressions, no usable propensity, neither purchases nor clicks, or too few slates.

    Notes
    -----
    All rankings are softened alike (:mod:`whybuy.recommend.backtest.softened`), learned on the first 60% of the slates
    in time, and judged on the others by self-normalized weights for slates drawn without replacement.
    """
    reading = _reading(log, config)
    with connection(scratch_in) as (con, scratch):
        terms = terms_of(con, log, config)
        number_items(con, log)
        surveyed = survey(con, log, reading, report)
        from_ms = _cut(surveyed)
        learned = learn(con, log, terms, reading=reading, before_ms=from_ms, scratch=scratch, report=report)
        judged = judge(con, log, learned, surveyed, from_ms=from_ms, report=report)
        notes = _notes(con, log, surveyed, judged)
    refused = {} if learned.why_no_lift is None else dict.fromkeys((THIS, BY_P_BUY), learned.why_no_lift)
    times = surveyed.times
    return Evaluation(
        comparison=_compared(judged, [name for name in POLICIES if name not in refused], seed),
        refused=refused,
        reward=reading.reward,
        horizon=duration_text(reading.horizon_ms),
        temperature=TEMPERATURE,
        taught=_span(times[times < from_ms]),
        judged=_span(times[times >= from_ms]),
        left_out=surveyed.left_out_in_words,
        notes=notes,
    )


@dataclass(frozen=True)
class Lack:
    """Why no policy can be judged on a log: the parts of the message."""

    found: str
    needed: str
    do: str

    def error(self) -> QuestionError:
        """Return the refusal."""
        return QuestionError.of(found=self.found, needed=self.needed, do=self.do)


def why_no_policies(log: EventLog) -> Lack | None:
    """Return what a log lacks for saying what policies would have earned; None where it lacks nothing."""
    n_shown = log.quality.actions.get("impression", 0)
    if not log.quality.has_times:
        return Lack(
            found='The log has an order but no times (time = "order")',
            needed="times are needed to say what was bought within how long after showing",
            do="Use a log with times",
        )
    if not n_shown:
        return Lack(
            found="The log has no impressions, so that nobody knows what was shown and not bought",
            needed=_NEEDED,
            do="Log what is shown as events with the action impression, with slot and propensity, and ask again",
        )
    if not _usable(log)[0]:
        return Lack(
            found=f"None of {n_shown:,} impressions has a propensity in (0, 1]",
            needed=_NEEDED,
            do="Map the column that holds it to propensity in whybuy.toml, or log it from now on",
        )
    return None


def _reading(log: EventLog, config: Config) -> Reading:
    """Return how the log is read; refuse one without times, impressions, propensities or anything to count."""
    lack = why_no_policies(log)
    if lack is not None:
        raise lack.error()
    actions = log.quality.actions
    if not actions.get("purchase") and not actions.get("click"):
        raise QuestionError.of(
            found="The log has neither purchases nor clicks",
            needed="one of them, to say what came of showing something",
            do="Add the source that holds them as a further [[events]]",
        )
    return Reading(
        reward="purchase" if actions.get("purchase") else "click",
        horizon_ms=duration_ms(config.recommend.horizon),
        lookback_ms=duration_ms(config.lookback),
        end_ms=log.quality.end_ms,
        first_slot=_usable(log)[1],
    )


def _usable(log: EventLog) -> tuple[int, int | None]:
    """Return how many impressions have a usable propensity, and the number of the first slot."""
    with connection() as (con, _):
        usable, first_slot = con.execute(
            f"""
            SELECT count(*) FILTER ({c.PROPENSITY} > 0 AND {c.PROPENSITY} <= 1), min({c.SLOT})
            FROM read_parquet({parquet_list(log.shards)}) WHERE {c.ACTION} = 'impression'
            """
        ).fetchall()[0]
    return int(usable), None if first_slot is None else int(first_slot)


def _cut(surveyed: Survey) -> int:
    """Return the time from which slates are judged."""
    times = surveyed.times
    from_ms = int(np.quantile(times, TAUGHT, method="higher")) if len(times) else 0
    if not (times < from_ms).any():
        why = "; ".join(f"{n:,} impressions {words}" for words, n in surveyed.left_out_in_words.items())
        n_slates = f"{len(times):,} slates, all of one time," if len(times) else "No slate"
        raise QuestionError.of(
            found=f"{n_slates} can be judged{f' ({why})' if why else ''}",
            needed="slates at several times, of which the earlier ones teach and the later ones judge",
            do="Log what is missing there, or bring a longer log" if why else "Bring a longer log",
        )
    return from_ms


def _compared(judged: Judged, policies: list[str], seed: int) -> PolicyComparison:
    feedback = LoggedFeedback.of(judged.item, judged.reward, judged.propensity, users=judged.user)
    return compare(feedback, {name: judged.policies[name] for name in policies}, estimator="snips", seed=seed)


def _span(times: Ints) -> Span:
    return Span(first_ms=int(times.min()), last_ms=int(times.max()), n_slates=len(times))


def _notes(con: duckdb.DuckDBPyConnection, log: EventLog, surveyed: Survey, judged: Judged) -> tuple[str, ...]:
    """Return what has to be known beside the numbers, in words."""
    reading = surveyed.reading
    horizon = duration_text(reading.horizon_ms)
    notes = [
        "Judged are policies that explore: a slot is drawn among the items that are left with weights "
        f"1 / rank^(1 / {TEMPERATURE:g}). What a ranking without exploration would earn, a log seldom tells.",
        f"Everything was learned on the first {TAUGHT:.0%} of the slates in time, lifts as in `whybuy recommend` but "
        "without the effects of behaviors, which were confirmed on the whole log.",
        "A value is that of one item shown, wherever in the slate and whatever beside it: what items take from each "
        "other, and later visits, are not in it.",
        f"A {reading.reward} counts even if it would have come without showing: this says what policies earn, not what "
        "they add, which rankings by lift are for.",
    ]
    if reading.reward == "click":
        notes.append(
            f"The log has no purchases: a click within {horizon} of showing counts, and clicks stand in the place of "
            "purchases in what is learned. `whybuy recommend` counts purchases, and has no lift on this log."
        )
    notes += [f"{note}." for note in rejected_propensities(log)]
    if judged.n_before:
        notes.append(
            f"{judged.n_before:,} items shown had a {reading.reward} within {horizon} before and none after: "
            "that is no reward."
        )
    if judged.n_later:
        notes.append(
            f"{judged.n_later:,} items were logged alone in a slot after the first: their propensity is taken as given "
            "what stood before, whatever that was."
        )
    if len(surveyed.always):
        notes.append(
            f"In every slate: {_names(con, surveyed.always)}. What showing them adds cannot be told; rankings by lift "
            "have them last."
        )
    return tuple(notes)


def _names(con: duckdb.DuckDBPyConnection, items: Ints) -> str:
    query = f"SELECT {c.ITEM} FROM items WHERE item IN (SELECT unnest($items)) ORDER BY item LIMIT {_NAMED}"
    names = [name for (name,) in con.execute(query, {"items": items.tolist()}).fetchall()]
    more = len(items) - len(names)
    noun = "item" if len(items) == 1 else "items"
    return f"{len(items):,} {noun} ({', '.join(names)}{f' and {more:,} more' if more else ''})"
