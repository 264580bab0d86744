"""Next-item ranking: which item is next, asked over the whole catalog, and how well a ranker answers.

A task hides one event of every user and keeps what lies strictly before its moment: lines of the target's own basket
are as unknown as the target. Targets are things the user did; impressions and campaigns are done to the user and stay
history. Ranks are exact and stable: no sampled negatives, which order rankers differently than the catalog does, and
equal scores are ordered by item code, so that a rerun gives the same figures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.errors import ModelError, QuestionError
from whybuy.events.sequences import EVENT_FIELDS, Bools, Ints, Sequences
from whybuy.progress import Report, quiet

Scores = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

METRICS = ("hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr")
N_RESAMPLES = 1_000

_MAX_SCORES = 16_000_000
"""Scores held at once: 64 MB, beside masks of a byte per score."""

_BLOCK_EVENTS = 65_536
_RESAMPLED_AT_ONCE = 4_000_000
_EXPOSURES = [c.ACTIONS.index("impression"), c.ACTIONS.index("campaign")]


class Ranker(Protocol):
    """Anything that scores the catalog for users."""

    def score(self, history: Sequences, ts_ms: Ints) -> Scores:
        """Return (n_users, n_items) scores, higher is likelier, of the next item after ``history`` at ``ts_ms``.

        ``ts_ms`` (n_users,) is the time of the event asked about. Scores may be -inf, never NaN.
        """


@dataclass(frozen=True)
class RankingTask:
    """One question per user: which item comes next.

    Attributes
    ----------
    history : whole users, their events strictly before the target's moment; every user has at least one
    target : (n_users,) item codes
    target_ts_ms : (n_users,) time of the target
    target_action : (n_users,) index into ``ACTIONS``
    train : what a ranker may be trained on: all users of the log, no target among their events
    """

    history: Sequences
    target: npt.NDArray[np.int32]
    target_ts_ms: Ints
    target_action: npt.NDArray[np.int8]
    train: Sequences

    def users(self, keep: Bools) -> "RankingTask":
        """Return the questions of the users with ``keep`` (n_users,) true; the training data stays whole."""
        return RankingTask(
            self.history.users(keep), self.target[keep], self.target_ts_ms[keep], self.target_action[keep], self.train
        )


def own_items(sequences: Sequences) -> Bools:
    """Return the (n_events,) mask of events with an item that the user did: no impressions, no campaigns."""
    return (np.asarray(sequences.item) >= 0) & ~np.isin(sequences.action, _EXPOSURES)


def last_items(sequences: Sequences) -> npt.NDArray[np.int32]:
    """Return (n_users,) the item of each user's last event that has one, -1 without."""
    event = _last_event(sequences, own_items(sequences))
    found = np.append(np.asarray(sequences.item), np.int32(-1))[event]
    return found.astype(np.int32)


def leave_one_out(sequences: Sequences, *, validation: bool = False) -> RankingTask:
    """Return the task whose target is every user's last item event; with ``validation`` the one before it.

    A user whose target has nothing before its moment is not asked; its events are trained on.

    Raises
    ------
    QuestionError
        No user has an item event with something before it.
    """
    if validation:
        sequences = leave_one_out(sequences).train
    event = _last_event(sequences, own_items(sequences))
    stop = _moment_start(sequences, event)
    asked = (event >= 0) & (stop > np.asarray(sequences.offsets[:-1]))
    train_stop = np.where(asked, stop, np.asarray(sequences.offsets[1:]))
    return _task(sequences, event, asked, _until(sequences, train_stop))


def time_split(sequences: Sequences, *, at_ms: int) -> RankingTask:
    """Return the task whose target is the first item event at or after ``at_ms`` of users known before it.

    History reaches up to the target's moment (a search after the cut is known when the target is asked for); training
    ends at the cut.

    Raises
    ------
    QuestionError
        No user has an event before the cut and an item event after it.
    """
    ts = np.asarray(sequences.ts_ms)
    event = _first_event(sequences, own_items(sequences) & (ts >= at_ms))
    before = np.concatenate([[0], np.cumsum(ts < at_ms)])
    low, high = np.asarray(sequences.offsets[:-1]), np.asarray(sequences.offsets[1:])
    n_before = before[high] - before[low]
    return _task(sequences, event, (event >= 0) & (n_before > 0), _until(sequences, low + n_before))


def evaluate(
    ranker: Ranker, task: RankingTask, *, name: str = "", hide_seen: bool = False, report: Report = quiet
) -> "RankingResult":
    """Return the rank of every target, scored block by block of users.

    Parameters
    ----------
    hide_seen : items of the user's own history are no candidates; a target among them counts as missed

    Raises
    ------
    ModelError
        The scores are NaN, or have another shape than users by items.
    """
    n = len(task.target)
    rank = np.empty(n, np.int64)
    n_items = _check(ranker.score(_one(task.history, 0), task.target_ts_ms[:1]), 1, task.target[:1]).shape[1]
    done = 0
    for history in _user_blocks(task.history, max(1, _MAX_SCORES // n_items)):
        block = slice(done, done + history.n_users)
        target = task.target[block]
        scores = _check(ranker.score(history, task.target_ts_ms[block]), history.n_users, target)
        rank[block] = _ranks_hidden(scores, target, history) if hide_seen else ranks(scores, target)
        done += history.n_users
        report("rank", done, n, name)
    return RankingResult(name or type(ranker).__name__, task.history.user_ids, task.target, rank, n_items)


def ranks(scores: Scores, target: npt.NDArray[np.int32]) -> Ints:
    """Return (n,) ranks from 0: items with a higher score, and items with an equal one and a lower code."""
    own = scores[np.arange(len(target)), target][:, None]
    higher = (scores > own).sum(axis=1)
    before = (scores == own) & (np.arange(scores.shape[1]) < target[:, None])
    return higher + before.sum(axis=1)


@dataclass(frozen=True)
class Difference:
    """How much better one ranker is than another on the same targets, with a 95% interval over users.

    Attributes
    ----------
    estimate, low, high : difference of the means of ``metric``, first minus second
    """

    first: str
    second: str
    metric: str
    estimate: float
    low: float
    high: float
    n_users: int

    def summary(self) -> str:
        """Return the comparison in one sentence."""
        word = "better than" if self.low > 0 else "worse than" if self.high < 0 else "not told apart from"
        return (
            f"{self.first} is {word} {self.second} by {self.metric}: {self.estimate:+.4f} "
            f"[{self.low:+.4f}, {self.high:+.4f}], {self.n_users:,} users."
        )


@dataclass(frozen=True)
class RankingResult:
    """The rank that a ranker gave to every user's target.

    Attributes
    ----------
    name : of the ranker
    user_ids : (n_users,) text
    target : (n_users,) item codes
    rank : (n_users,) from 0; ``n_items`` where the target was hidden
    n_items : size of the catalog
    """

    name: str
    user_ids: npt.NDArray[np.object_]
    target: npt.NDArray[np.int32]
    rank: Ints
    n_items: int

    def values(self, metric: str) -> Doubles:
        """Return (n_users,) values of "hr@K", "ndcg@K" (with one relevant item) or "mrr"; averages are the metric."""
        kind, _, k = metric.partition("@")
        found = self.rank < self.n_items
        if kind == "mrr" and not k:
            return np.where(found, 1.0 / (self.rank + 1), 0.0)
        if kind not in ("hr", "ndcg") or not k.isdigit() or int(k) < 1:
            raise QuestionError.of(
                found=f"The metric {metric!r} is not known",
                needed="hr@K, ndcg@K or mrr",
                do="Write for example ndcg@10",
            )
        inside = found & (self.rank < int(k))
        return inside.astype(float) if kind == "hr" else np.where(inside, 1.0 / np.log2(self.rank + 2), 0.0)

    def mean(self, metric: str) -> float:
        """Return the metric over all users."""
        return float(self.values(metric).mean())

    def interval(self, metric: str, *, seed: int = 0) -> tuple[float, float]:
        """Return the 95% interval of the mean: bootstrap over users."""
        return bootstrap_interval(self.values(metric), seed=seed)

    def minus(self, other: "RankingResult", metric: str = "ndcg@10", *, seed: int = 0) -> Difference:
        """Return the difference to ``other`` with its paired interval: users are drawn once for both.

        Raises
        ------
        QuestionError
            The two were not asked the same questions.
        """
        same = np.array_equal(self.user_ids, other.user_ids) and np.array_equal(self.target, other.target)
        if not same or self.n_items != other.n_items:
            raise QuestionError.of(
                found=f"{self.name} and {other.name} were asked different questions",
                needed="the same users, targets and catalog",
                do="Evaluate both on one task",
            )
        gap = self.values(metric) - other.values(metric)
        low, high = bootstrap_interval(gap, seed=seed)
        return Difference(self.name, other.name, metric, float(gap.mean()), low, high, len(gap))

    def to_frame(self, metrics: Sequence[str] = METRICS) -> pd.DataFrame:
        """Return one row per metric: ranker, metric, estimate, ci_low, ci_high, n_users, n_items."""
        rows = [
            (self.name, metric, self.mean(metric), *self.interval(metric), len(self.rank), self.n_items)
            for metric in metrics
        ]
        names = ["ranker", "metric", "estimate", "ci_low", "ci_high", "n_users", "n_items"]
        return pd.DataFrame(rows, columns=names)

    def summary(self) -> str:
        """Return the usual two figures in one sentence."""
        hr, ndcg = (f"{self.mean(m):.4f} [{low:.4f}, {high:.4f}]" for m, (low, high) in self._headline())
        return (
            f"{self.name}: the next item is among the first 10 of {self.n_items:,} with HR@10 {hr}, NDCG@10 {ndcg} "
            f"({len(self.rank):,} users, 95% intervals over users)."
        )

    def _headline(self) -> list[tuple[str, tuple[float, float]]]:
        return [(metric, self.interval(metric)) for metric in ("hr@10", "ndcg@10")]


def bootstrap_interval(
    totals: Doubles, counts: Doubles | None = None, *, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> tuple[float, float]:
    """Return the 95% interval of a mean over rows of users, when the users are drawn again with replacement.

    Parameters
    ----------
    totals : (n_users,) sum of the quantity over each user's rows
    counts : (n_users,) number of rows of each user; one where absent
    """
    rng = np.random.default_rng(seed)
    n = len(totals)
    weights = np.ones(n) if counts is None else np.asarray(counts, float)
    at_once = max(1, _RESAMPLED_AT_ONCE // n)
    means = []
    for low in range(0, n_resamples, at_once):
        drawn = rng.integers(0, n, (min(at_once, n_resamples - low), n))
        means.append(totals[drawn].sum(axis=1) / weights[drawn].sum(axis=1))
    found = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(found[0]), float(found[1])


def _last_event(sequences: Sequences, wanted: Bools) -> Ints:
    """Return (n_users,) the last wanted event of each user, -1 without."""
    at = np.maximum.accumulate(np.where(wanted, np.arange(len(wanted)), -1))
    last = at[np.asarray(sequences.offsets[1:]) - 1]
    return np.where(last >= np.asarray(sequences.offsets[:-1]), last, -1)


def _first_event(sequences: Sequences, wanted: Bools) -> Ints:
    """Return (n_users,) the first wanted event of each user, -1 without."""
    n = len(wanted)
    at = np.minimum.accumulate(np.where(wanted, np.arange(n), n)[::-1])[::-1]
    first = at[np.asarray(sequences.offsets[:-1])]
    return np.where(first < np.asarray(sequences.offsets[1:]), first, -1)


def _moment_start(sequences: Sequences, event: Ints) -> Ints:
    """Return the first event of each event's moment."""
    starts = np.asarray(sequences.moment_starts)
    return starts[np.searchsorted(starts, np.maximum(event, 0), side="right") - 1]


def _task(sequences: Sequences, event: Ints, asked: Bools, train: Sequences) -> RankingTask:
    if not asked.any():
        raise QuestionError.of(
            found=f"None of {sequences.n_users:,} users has an item event with an event before its moment",
            needed="a user with something to predict and something to predict it from",
            do="Use a log with item_id and several events per user, or another cut",
        )
    target = event[asked]
    stop = np.where(asked, _moment_start(sequences, event), np.asarray(sequences.offsets[:-1]))
    return RankingTask(
        history=_until(sequences, stop),
        target=np.asarray(sequences.item)[target].astype(np.int32),
        target_ts_ms=np.asarray(sequences.ts_ms)[target],
        target_action=np.asarray(sequences.action)[target].astype(np.int8),
        train=train,
    )


def _until(sequences: Sequences, stop: Ints) -> Sequences:
    """Return every user's events before ``stop`` (n_users,), a start of a moment; users without any are left out."""
    lengths = stop - np.asarray(sequences.offsets[:-1])
    users = lengths > 0
    events = np.arange(sequences.n_events) < stop[sequences.event_user]
    new_index = np.concatenate([[0], np.cumsum(events)])
    starts = np.asarray(sequences.moment_starts[:-1])
    return Sequences(
        user_ids=sequences.user_ids[users],
        offsets=np.concatenate([[0], np.cumsum(lengths[users])]),
        moment_starts=np.append(new_index[starts[events[starts]]], events.sum()),
        attributes=np.asarray(sequences.attributes)[users],
        **{name: np.asarray(getattr(sequences, name))[events] for name in EVENT_FIELDS},
    )


def _one(sequences: Sequences, user: int) -> Sequences:
    first = next(sequences.blocks(_BLOCK_EVENTS))
    return first.users(np.arange(first.n_users) == user)


def _user_blocks(sequences: Sequences, max_users: int) -> Iterator[Sequences]:
    """Yield ranges of at most ``max_users`` whole users."""
    for part in sequences.blocks(_BLOCK_EVENTS):
        place = np.arange(part.n_users)
        for low in range(0, part.n_users, max_users):
            yield part.users((place >= low) & (place < low + max_users))


def _check(scores: Scores, n_users: int, target: npt.NDArray[np.int32]) -> Scores:
    shape = np.shape(scores)
    if len(shape) != 2 or shape[0] != n_users or shape[1] <= int(target.max()):
        raise ModelError.of(
            found=f"The ranker gave scores of shape {shape} for {n_users} users and item code {int(target.max())}",
            needed="one row per user and one column per item of the catalog",
            do="Train it with the vocabulary of this log",
        )
    if np.isnan(scores).any():
        raise ModelError.of(
            found="The ranker gave scores that are not a number",
            needed="A score of every item is needed",
            do="Train it again; a lower learning rate keeps a loss from diverging",
        )
    return scores


def _ranks_hidden(scores: Scores, target: npt.NDArray[np.int32], history: Sequences) -> Ints:
    """Return the ranks among the items that are not in the user's own history."""
    own = own_items(history)
    user, item = history.event_user[own], np.asarray(history.item)[own]
    hidden = np.array(scores)
    hidden[user, item] = -np.inf
    missed = np.zeros(scores.shape, bool)
    missed[user, item] = True
    was_seen = missed[np.arange(len(target)), target]
    return np.where(was_seen, scores.shape[1], ranks(hidden, target))
