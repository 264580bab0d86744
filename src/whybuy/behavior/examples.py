"""Everything a model is taught from: the token stream, the moments, their labels, and which window reads which."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from whybuy.behavior.batch import Batch, Labels, Moment, Stream
from whybuy.behavior.packing import Packed, Windows, row_length
from whybuy.behavior.recent import Recent
from whybuy.behavior.targets import Heads, Targets, targets_of
from whybuy.behavior.tokens import Entities, SmallFields, Tokens, hours_of_week
from whybuy.events.features import LONGEST_WINDOW_MS, history_features
from whybuy.events.moments import Moments, ranges
from whybuy.events.sequences import Ints, Sequences

_BLOCK_EVENTS = 65_536
_READ_ROWS = 32
CONTEXT = 256
"""Tokens of a row at most: what one state can look back on."""


@dataclass(frozen=True)
class Codes:
    """How this log's values become embedding rows."""

    fields: SmallFields
    entities: Entities

    def rows(self, field: str, level: npt.NDArray[np.integer]) -> torch.Tensor:
        """Return the rows of levels (0 for none) of one small field."""
        return torch.from_numpy(self.fields.rows(field, level).astype(np.int64))

    def time_rows(self, gap: Ints, ts_ms: Ints) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows of gap bins and of the hours of week: what :meth:`BehaviorModel.now` embeds."""
        return self.rows("gap", gap), self.rows("hour", hours_of_week(ts_ms))


@dataclass(frozen=True)
class PackedUsers:
    """Users as tokens, cut into windows."""

    sequences: Sequences
    moments: Moments
    tokens: Tokens
    windows: Windows
    codes: Codes

    @staticmethod
    def latest(sequences: Sequences, codes: Codes, *, context: int) -> "PackedUsers":
        """Return everyone's latest window: the last ``context`` tokens, or the longest history where that is less."""
        moments = Moments.of(sequences, reach_ms=1)
        longest = int(np.diff(sequences.offsets).max(initial=0))
        return PackedUsers(
            sequences=sequences,
            moments=moments,
            tokens=Tokens.of(sequences, moments, codes.fields, codes.entities),
            windows=Windows.latest(sequences.offsets, min(context, longest + 1)),
            codes=codes,
        )

    def stream(self, packed: Packed) -> Stream:
        """Return the packed tokens."""
        layout = packed.layout(len(self.tokens.entity) - 1)
        ts = self.tokens.ts_ms[layout.token]
        windows = packed.windows.start[packed.chosen]
        origin = np.append(np.asarray(self.sequences.ts_ms)[windows], 0)  # the last is of padding
        return Stream(
            small=torch.from_numpy(self.tokens.small[layout.token].astype(np.int64)),
            entity=torch.from_numpy(self.tokens.entity[layout.token].astype(np.int64)),
            text=torch.from_numpy(self.tokens.text[layout.token].astype(np.int64)),
            place=torch.from_numpy(layout.place),
            seconds=torch.from_numpy((ts - origin[layout.segment]) / 1000),
            segment=torch.from_numpy(layout.segment),
        )


@dataclass(frozen=True)
class Examples(PackedUsers):
    """Users to learn from or to read.

    Attributes
    ----------
    wide : (n_moments, n_wide) features of history, in half precision: they are the largest thing in memory
    """

    targets: Targets
    heads: Heads
    wide: npt.NDArray[np.float16]
    recent: Recent

    @classmethod
    def of(
        cls, sequences: Sequences, heads: Heads, codes: Codes, *, context: int = CONTEXT, length: int | None = None
    ) -> "Examples":
        """Prepare ``sequences``.

        Parameters
        ----------
        context : tokens of a row at most
        length : tokens of a row; chosen by the users' histories where None
        """
        moments = Moments.of(sequences, reach_ms=_reach_ms(heads))
        targets, wide = _labels_and_history(sequences, len(moments), heads)
        return cls(
            sequences=sequences,
            moments=moments,
            tokens=Tokens.of(sequences, moments, codes.fields, codes.entities),
            windows=Windows.of(sequences.offsets, length or row_length(np.diff(sequences.offsets), context)),
            codes=codes,
            targets=targets,
            heads=heads,
            wide=wide,
            recent=Recent.before(sequences, moments),
        )

    def split_in_time(self, share: float = 0.1) -> tuple["Examples", "Examples"]:
        """Return the same users twice: taught before a cut, and asked from it on.

        The cut leaves the last ``share`` of decisions behind it. What would have to be followed up beyond the cut
        teaches nothing before it, so the earlier part knows nothing of the later one.
        """
        ts, targets, heads = self.moments.ts_ms, self.targets, self.heads
        cut_ms = int(np.quantile(ts[targets.decided], 1 - share)) if targets.decided.any() else 0
        before = replace(
            targets,
            decided=targets.decided & (ts < cut_ms),
            followed=targets.followed & (ts[:, None] + np.array(heads.horizons_ms, np.int64) < cut_ms),
            forecast_followed=targets.forecast_followed
            & (ts[:, None] + np.array(heads.forecasts_ms, np.int64) < cut_ms),
        )
        since = replace(targets, decided=targets.decided & (ts >= cut_ms))
        return replace(self, targets=before), replace(self, targets=since)

    def by_length(self, windows: Ints) -> Iterator[Packed]:
        """Yield batches to read, windows of like length together."""
        order = windows[np.argsort(self.windows.tokens[windows], kind="stable")]
        return self.windows.batches(order, rows=_READ_ROWS)

    def batch(self, packed: Packed, *, decided: bool = False) -> tuple[Batch, Ints]:
        """Return the tensors of a batch and the moments it reads; ``decided`` keeps decisions only."""
        where = packed.readings(self.moments)
        keep = self.targets.decided[where.moment] if decided else np.ones(len(where.moment), bool)
        moment = where.moment[keep]
        at = Moment(
            before=torch.from_numpy(where.before[keep]),
            after=torch.from_numpy(where.after[keep]),
            gap=self.codes.rows("gap", self.tokens.moment_gap[moment]),
            hour=self.codes.rows("hour", self.tokens.moment_hour[moment]),
            wide=torch.from_numpy(self.wide[moment].astype(np.float32)),
            recent_item=torch.from_numpy(self.recent.item[moment].astype(np.int64)),
            recent_category=torch.from_numpy(self.recent.category[moment].astype(np.int64)),
        )
        return Batch(self.stream(packed), at, self._labels(moment)), moment

    def _labels(self, moment: Ints) -> Labels:
        targets, heads, sequences = self.targets, self.heads, self.sequences
        n_out = len(heads.outcomes)
        behavior = targets.behavior[moment].astype(np.float32)
        own = np.tile(behavior[:, list(heads.outcomes)], (1, len(heads.horizons_ms)))
        first, n = self.moments.first[moment], (self.moments.end - self.moments.first)[moment]
        event_moment, event = ranges(n, first)
        gap = self.tokens.moment_gap[moment]
        entities = self.codes.entities
        item, category = np.asarray(sequences.item)[event], np.asarray(sequences.category)[event]

        def tensor(values: npt.NDArray[Any], dtype: Any = np.float32) -> torch.Tensor:
            return torch.from_numpy(np.asarray(values, dtype))

        return Labels(
            behavior=tensor(behavior),
            outcome=tensor(targets.outcome[moment]),
            in_trial=tensor(1 - own),
            followed=tensor(np.repeat(targets.followed[moment], n_out, axis=1)),
            count=tensor(targets.count[moment]),
            counted=tensor(np.repeat(targets.forecast_followed[moment], n_out, axis=1)),
            spend=tensor(targets.spend[moment]),
            spent=tensor(targets.forecast_followed[moment]),
            gap_bin=tensor(np.where(gap > 0, gap, -1), np.int64),
            event_moment=tensor(event_moment, np.int64),
            event_weight=tensor(1 / n[event_moment]),
            action=tensor(np.asarray(sequences.action)[event], np.int64),
            category=tensor(np.where(category >= 0, category, entities.n_categories), np.int64),
            item=tensor(np.where(item >= 0, item, entities.n_items), np.int64),
        )


def _reach_ms(heads: Heads) -> int:
    return max([*heads.horizons_ms, *heads.forecasts_ms, LONGEST_WINDOW_MS])


def _labels_and_history(sequences: Sequences, n_moments: int, heads: Heads) -> tuple[Targets, npt.NDArray[np.float16]]:
    """Return labels and features of all moments, filled in block by block of users.

    What lies between, the running sums of every behavior, is several times as large as what is kept.
    """
    kept: list[npt.NDArray[Any]] = []
    at = 0
    for block in sequences.blocks(_BLOCK_EVENTS):
        moments = Moments.of(block, reach_ms=_reach_ms(heads))
        labels = targets_of(block, moments, heads)
        wide = np.empty((len(moments), 0), np.float16)
        if heads.n_behaviors:  # a model of the next event alone reads no counts
            wide = history_features(block, moments, heads.spec).values.astype(np.float16)
        parts = (*(getattr(labels, field.name) for field in fields(Targets)), wide)
        kept = kept or [np.empty((n_moments, *part.shape[1:]), part.dtype) for part in parts]
        for whole, part in zip(kept, parts, strict=True):
            whole[at : at + len(moments)] = part
        at += len(moments)
    *labels_of_all, wide_of_all = kept
    return Targets(*labels_of_all), wide_of_all
