"""A copy of the log with marks and donors in it, as sequences that the ordinary code trains on and asks.

A mark is one more line of the moment that it marks: an event of an action that the log does not have, in a category
that only its marker has. So it is a behavior of the grammar like any other, with a head, features and tokens of its
own, and nothing else has to know of it. A donor is one more line of the moment that it joins: a copy of another user's
purchase. Times and moments stay those of the log.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whybuy import columns as c
from whybuy.causal.certificate.arrays import Float64, Walked
from whybuy.causal.certificate.markers import Marker, rules_of
from whybuy.causal.certificate.past import Lessons, is_learner
from whybuy.causal.certificate.walk import gains, walk
from whybuy.causal.clusters import ratio_of_sums
from whybuy.errors import QuestionError
from whybuy.events.behaviors import Behavior
from whybuy.events.log import EventLog
from whybuy.events.quality import Quality
from whybuy.events.sequences import EVENT_FIELDS, Ints, Sequences, SequenceStore
from whybuy.events.text import VECTORS
from whybuy.events.vocabulary import Vocabulary
from whybuy.progress import Report

_ACTIONS = ("click", "redeem", "rating", "return", "review", "remove", "favorite", "search", "cart", "view")
"""What a mark may be an event of: the first that the log does not have; no exposure, no purchase."""
_MOST_REPLAYED = 120_000
"""Moments whose truth is replayed at most, about, whole users at a time."""
_NO_CODE = {"item": -1, "text": -1}


def mark_names(quality: Quality, vocabulary: Vocabulary, n: int) -> list[str]:
    """Return the behaviors that ``n`` markers' marks are.

    Raises
    ------
    QuestionError
        The log has every action already.
    """
    free = [action for action in _ACTIONS if not quality.actions.get(action)]
    if not free:
        raise QuestionError.of(
            found=f"The log has all of the actions {', '.join(_ACTIONS)}",
            needed="one that it does not have, which marks can be events of",
            do="Leave one of them out in [events.actions] of whybuy.toml",
        )
    stem = "mark"
    while any(path.split("/")[0].startswith(stem) for path in vocabulary.categories):
        stem += "-"
    return [str(Behavior(free[0], "category", f"{stem}{k + 1}")) for k in range(n)]


@dataclass(frozen=True)
class Copy:
    """A copy of the log and the truth in it.

    Attributes
    ----------
    store, log : what the ordinary code is given
    n_decisions, n_marked : decisions, which could all be marked, and marks of every marker
    gain, weight : (n_users, n_spiked, n_outcomes) sums of true effects by user, as :func:`~.walk.gains` returns them
    """

    store: SequenceStore
    log: EventLog
    n_decisions: int
    n_marked: Ints
    gain: Float64
    weight: Float64

    def truth(self, marker: int, outcome: int) -> tuple[float, float]:
        """Return the true effect of a marker on an outcome and its Monte Carlo error; 0 where the marks do nothing."""
        if marker >= self.gain.shape[1]:
            return 0.0, 0.0
        N, D = self.gain[:, marker, outcome], self.weight[:, marker, outcome]
        found = ratio_of_sums(N, D, n_clusters=int(np.count_nonzero(D)))
        return found.value, found.std_error


@dataclass(frozen=True)
class Planting:
    """What is planted where.

    Attributes
    ----------
    store, log : the log that is copied
    lessons : of the users that are left out
    number : of the copy, from 1; seed : of its draws
    """

    store: SequenceStore
    log: EventLog
    markers: Sequence[Marker]
    lessons: Lessons
    number: int
    seed: int

    def write(self, folder: Path, *, report: Report) -> Copy:
        """Walk through the log, write its copy into ``folder`` and replay the truth."""
        folder.mkdir(parents=True)
        vocabulary = _with_marks(self.store.vocabulary, [m.name for m in self.markers])
        vocabulary.save(folder)
        if (self.store.folder / VECTORS).is_file():
            shutil.copyfile(self.store.folder / VECTORS, folder / VECTORS)
        lines = _Lines.of(self.markers, vocabulary, self.lessons)
        n_users, parts = sum(s.n_users for s in self.store), []
        for done, (shard, source) in enumerate(zip(self.store.shards, self.store.log_shards, strict=True)):
            sequences = Sequences.open(shard)
            kept = ~is_learner(sequences.user_ids, n_users=n_users, copy=self.number - 1)
            if kept.any():
                parts.append(
                    (folder / shard.name, source, self._part(sequences.users(kept), folder / shard.name, lines))
                )
            report(f"copy {self.number}", done + 1, len(self.store.shards))
        written, sources, done_parts = zip(*parts, strict=True)
        copied = SequenceStore(folder, vocabulary, written, sources)
        n_moments, n_decided, n_kept, n_rows = np.sum([p.sizes for p in done_parts], axis=0).tolist()
        quality = replace(self.log.quality, n_moments=n_moments, n_users=n_kept, rows_kept=n_rows)
        return Copy(
            store=copied,
            log=replace(self.log, quality=quality),
            n_decisions=n_decided,
            n_marked=np.sum([p.n_marked for p in done_parts], axis=0),
            gain=np.concatenate([p.gain for p in done_parts]),
            weight=np.concatenate([p.weight for p in done_parts]),
        )

    def _part(self, sequences: Sequences, folder: Path, lines: "_Lines") -> "_Part":
        """Plant into the users of one shard and write them to ``folder``."""
        asked, rules = self.lessons.questions, rules_of(self.markers, self.lessons)
        moments = asked.moments(sequences)
        past = asked.past(sequences, moments)
        walked = walk(past, rules, seed=self.seed)
        planted = lines.added_to(sequences, walked)
        planted.save(folder)
        share = _MOST_REPLAYED / max(self.log.quality.n_moments, 1)
        replayed = (past.key >> np.uint64(40)).astype(float) / 2.0**24 < share
        trials = asked.protocol.eligible(sequences, moments) & replayed[moments.user]
        spiked = rules.first(sum(not m.is_null for m in self.markers))
        gain, weight = gains(past, spiked, seed=self.seed, afresh=self.seed + 1, asked=trials)
        sizes = (len(moments), int(past.decided.sum()), sequences.n_users, planted.n_events)
        told = (weight > 0).any(axis=(1, 2))
        return _Part(sizes, walked.mark.sum(axis=0, dtype=np.int64), gain[told], weight[told])


@dataclass(frozen=True)
class _Part:
    """What was planted into one shard: moments, decisions, users and events; marks; the truth by user."""

    sizes: tuple[int, int, int, int]
    n_marked: Ints
    gain: Float64
    weight: Float64


@dataclass(frozen=True)
class _Lines:
    """What further lines look like: the action and the categories of marks, and the donors."""

    action: int
    categories: Ints
    donors: dict[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, markers: Sequence[Marker], vocabulary: Vocabulary, lessons: Lessons) -> "_Lines":
        action, _, _ = markers[0].name.partition(":")
        first = len(vocabulary.categories) - len(markers)
        return cls(c.ACTIONS.index(action), first + np.arange(len(markers)), lessons.pool.events)

    def added_to(self, sequences: Sequences, walked: Walked) -> Sequences:
        """Return the sequences with a line more per mark and per donor, each behind the other lines of its moment."""
        starts = np.asarray(sequences.moment_starts)
        marked, which = np.nonzero(walked.mark)
        joined = np.flatnonzero(walked.donor >= 0)
        moment = np.concatenate([np.repeat(np.arange(len(starts) - 1), np.diff(starts)), marked, joined])
        order = np.argsort(moment, kind="stable")
        fields = {}
        for name in EVENT_FIELDS:
            own = np.asarray(getattr(sequences, name))
            marks = np.full(len(marked), _NO_CODE.get(name, 0), own.dtype)
            donors = self.donors[name][walked.donor[joined]]
            if name == "action":
                marks[:] = self.action
            elif name == "category":
                marks[:] = self.categories[which]
            elif name == "ts_ms":
                marks, donors = own[starts[marked]], own[starts[joined]]
            elif name == "session_start":
                donors = np.zeros(len(joined), own.dtype)
            fields[name] = np.concatenate([own, marks, donors])[order]
        new_starts = np.searchsorted(moment[order], np.arange(len(starts)))
        offsets = new_starts[np.searchsorted(starts, np.asarray(sequences.offsets))]
        return replace(sequences, offsets=offsets, moment_starts=new_starts, **fields)


def _with_marks(vocabulary: Vocabulary, names: Sequence[str]) -> Vocabulary:
    """Return the vocabulary with a category per marker behind the others."""
    n = len(names)
    path = np.full((n, vocabulary.category_path.shape[1]), -1, np.int32)
    path[:, 0] = vocabulary.n_category_nodes + np.arange(n)
    price = vocabulary.category_price
    return replace(
        vocabulary,
        categories=[*vocabulary.categories, *(name.partition(":")[2] for name in names)],
        category_path=np.concatenate([vocabulary.category_path, path]),
        # The last entry is that of events without a category.
        category_price=np.insert(price, len(price) - 1, np.full(n, price[-1])) if len(price) else price,
    )
