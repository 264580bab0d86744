"""Features of a moment from the events strictly before it: windowed and decayed counts, recency, money, clock.

Recency, frequency and monetary features of classical customer models are the special case of the longest window. A
count up to a moment is a difference of two rows of one running sum, so that every window of every behavior costs one
gather; DuckDB's window functions do the same work in ``benchmarks/counts.py``.
"""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from whybuy import columns as c
from whybuy.config import duration_ms, duration_text
from whybuy.events.moments import BehaviorIndex, Moments, prefix_counts
from whybuy.events.sequences import Ints, Sequences, Vocabulary

Floats = npt.NDArray[np.float32]

ACTION_WINDOWS = tuple(duration_ms(w) for w in ("30m", "1d", "3d", "7d", "30d"))
LONGEST_WINDOW_MS = duration_ms("31d")
_EXPOSURE_WINDOWS = tuple(duration_ms(w) for w in ("1d", "7d", "30d"))
_NEVER_HOURS = 24.0 * 60
_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_PRICED = ("view", "cart", "purchase")


@dataclass(frozen=True)
class Features:
    """Columns of history.

    Attributes
    ----------
    values : (n_moments, d) float32
    names : (d,) what each column is
    groups : (d,) "activity", "behavior", "exposure", "clock" or "attribute": covariate groups for sensitivity
    """

    values: Floats
    names: list[str]
    groups: list[str]


@dataclass(frozen=True)
class FeatureSpec:
    """Which features are computed.

    Attributes
    ----------
    actions : codes of the actions the log has: each is counted in ``ACTION_WINDOWS``
    index : behaviors that get decayed counts of their own
    half_lives : of those, milliseconds
    """

    actions: tuple[int, ...]
    index: BehaviorIndex
    half_lives: tuple[int, ...]


def history_features(sequences: Sequences, moments: Moments, spec: FeatureSpec) -> Features:
    """Return the features of every moment.

    Notes
    -----
    Counts and sums enter as log(1 + n). An action never seen has a recency of 60 days.
    """
    values: list[Floats] = []
    names: list[str] = []
    groups: list[str] = []

    def add(block: Floats, block_names: list[str], group: str) -> None:
        values.append(block)
        names.extend(block_names)
        groups.extend([group] * len(block_names))

    add(*_action_counts(sequences, moments, spec.actions), "activity")
    add(*_recency(sequences, moments, spec.actions), "activity")
    add(*_money(sequences, moments), "activity")
    add(*_exposures(sequences, moments, spec.index.vocabulary), "exposure")
    add(*_clock(moments), "clock")
    add(*_attributes(sequences, moments, spec.index.vocabulary), "attribute")
    add(*_decayed(sequences, moments, spec), "behavior")
    return Features(np.concatenate(values, axis=1), names, groups)


def windowed_counts(prefix: npt.NDArray[np.int32], moments: Moments, window_ms: int) -> npt.NDArray[np.int32]:
    """Return (n_moments, n_behaviors) counts of the events in [ts - window, ts), the moment itself left out."""
    return prefix[moments.first] - prefix[moments.since(window_ms)]


def decayed_counts(
    hits: npt.NDArray[np.uint8], offsets: Ints, ts_ms: Ints, moments: Moments, half_life_ms: int
) -> npt.NDArray[np.float32]:
    """Return (n_moments, n_behaviors): sum over earlier events of 2^-(age / half-life), the moment itself left out.

    What people remember fades; a window forgets all at once. One compiled pass, because a running sum that decays
    cannot be written as a difference of two rows.
    """
    asked = np.stack([moments.user, moments.first, moments.ts_ms], axis=1)
    return _decay(hits, np.asarray(offsets), np.asarray(ts_ms), asked, 1.0 / half_life_ms)


@numba.njit(cache=True)
def _decay(hits, offsets, ts, asked, rate):  # type: ignore[no-untyped-def] # pragma: no cover
    n_behaviors = hits.shape[1]
    out = np.zeros((len(asked), n_behaviors), np.float32)
    moment = 0
    for u in range(len(offsets) - 1):
        state = np.zeros(n_behaviors)
        at = ts[offsets[u]] if offsets[u] < offsets[u + 1] else 0
        for i in range(offsets[u], offsets[u + 1] + 1):
            while moment < len(asked) and asked[moment, 0] == u and asked[moment, 1] == i:
                faded = 2.0 ** (-(asked[moment, 2] - at) * rate)
                for b in range(n_behaviors):
                    out[moment, b] = state[b] * faded
                moment += 1
            if i == offsets[u + 1]:
                break
            if ts[i] > at:
                state *= 2.0 ** (-(ts[i] - at) * rate)
                at = ts[i]
            for b in range(n_behaviors):
                state[b] += hits[i, b]
    return out


def _decayed(sequences: Sequences, moments: Moments, spec: FeatureSpec) -> tuple[Floats, list[str]]:
    hits = spec.index.hits(sequences)
    blocks = [
        np.log1p(decayed_counts(hits, sequences.offsets, sequences.ts_ms, moments, half_life))
        for half_life in spec.half_lives
    ]
    names = [f"{b} in half-life {duration_text(h)}" for h in spec.half_lives for b in spec.index.behaviors]
    return np.concatenate([np.empty((len(moments), 0), np.float32), *blocks], axis=1), names


def _action_hits(sequences: Sequences, actions: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return (np.asarray(sequences.action)[:, None] == np.asarray(actions)).astype(np.uint8)


def _action_counts(sequences: Sequences, moments: Moments, actions: tuple[int, ...]) -> tuple[Floats, list[str]]:
    prefix = prefix_counts(_action_hits(sequences, actions))
    blocks = [np.log1p(windowed_counts(prefix, moments, w), dtype=np.float32) for w in ACTION_WINDOWS]
    names = [f"{action}:* in {duration_text(w)}" for w in ACTION_WINDOWS for action in _names(actions)]
    return np.concatenate(blocks, axis=1), names


def _names(actions: tuple[int, ...]) -> list[str]:
    return [c.ACTIONS[action] for action in actions]


def _recency(sequences: Sequences, moments: Moments, actions: tuple[int, ...]) -> tuple[Floats, list[str]]:
    """Return log hours since the last event of each action and of any, and whether the last event was it."""
    before = moments.first - 1
    start = np.asarray(sequences.offsets)[moments.user]
    kinds = np.concatenate([_action_hits(sequences, actions), np.ones((sequences.n_events, 1), np.uint8)], axis=1)
    at = np.where(kinds.astype(bool), np.arange(sequences.n_events)[:, None], -1)
    last = np.maximum.accumulate(at, axis=0) if len(at) else at
    has = before >= start
    last = np.where(has[:, None], last[before], -1)
    known = last >= start[:, None]
    gap = (moments.ts_ms[:, None] - np.asarray(sequences.ts_ms)[last]) / _HOUR_MS
    hours = np.where(known, np.minimum(gap, _NEVER_HOURS), _NEVER_HOURS)
    is_last = (last[:, :-1] == before[:, None]) & known[:, :-1]
    labels = [*(f"{action}:*" for action in _names(actions)), "any event"]
    names = [f"log hours since {label}" for label in labels] + [f"last event was {label}" for label in labels[:-1]]
    return np.concatenate([np.log1p(hours), is_last], axis=1).astype(np.float32), names


def _money(sequences: Sequences, moments: Moments) -> tuple[Floats, list[str]]:
    """Return what was spent in 30 days, and the mean price band of what was priced in 7 days and whether any was."""
    band = np.asarray(sequences.price_band)
    priced = (band > 0) & np.isin(sequences.action, [c.ACTIONS.index(a) for a in _PRICED])
    prefix = np.zeros((sequences.n_events + 1, 3))
    per_event = np.stack([np.where(priced, band, 0), priced, sequences.spend], axis=1)
    np.cumsum(per_event, axis=0, out=prefix[1:])
    total, count, _ = (prefix[moments.first] - prefix[moments.since(7 * _DAY_MS)]).T
    mean = np.divide(total, count, out=np.zeros(len(moments)), where=count > 0)
    spent = (prefix[moments.first] - prefix[moments.since(30 * _DAY_MS)])[:, 2]
    # A difference of running sums can fall below zero by rounding.
    columns = [np.log1p(np.maximum(spent, 0)), mean, count > 0]
    names = ["log spend in 30d", "mean price band in 7d", "any price in 7d"]
    return np.stack(columns, axis=1).astype(np.float32), names


def _exposures(sequences: Sequences, moments: Moments, vocabulary: Vocabulary) -> tuple[Floats, list[str]]:
    """Return log counts of every campaign arm in three windows: what was sent moves people, and is logged."""
    codes = np.arange(1, len(vocabulary.exposures) + 1)
    prefix = prefix_counts((np.asarray(sequences.exposure)[:, None] == codes).astype(np.uint8))
    blocks = [np.log1p(windowed_counts(prefix, moments, w), dtype=np.float32) for w in _EXPOSURE_WINDOWS]
    names = [f"campaign {name} in {duration_text(w)}" for w in _EXPOSURE_WINDOWS for name in vocabulary.exposures]
    return np.concatenate(blocks, axis=1), names


def clock_waves(ts_ms: Ints) -> npt.NDArray[np.float64]:
    """Return (n, 6) sines and cosines of the day, the half day and the week."""
    day = 2 * np.pi * (ts_ms % _DAY_MS) / _DAY_MS
    week = 2 * np.pi * (ts_ms % (7 * _DAY_MS)) / (7 * _DAY_MS)
    return np.stack([wave(x) for x in (day, 2 * day, week) for wave in (np.sin, np.cos)], axis=1)


def _clock(moments: Moments) -> tuple[Floats, list[str]]:
    names = ["sin day", "cos day", "sin half day", "cos half day", "sin week", "cos week"]
    return clock_waves(moments.ts_ms).astype(np.float32), names


def _attributes(sequences: Sequences, moments: Moments, vocabulary: Vocabulary) -> tuple[Floats, list[str]]:
    blocks = [np.empty((len(moments), 0), np.float32)]
    names: list[str] = []
    for j, (name, levels) in enumerate(vocabulary.attributes.items()):
        codes = np.asarray(sequences.attributes)[moments.user, j]
        blocks.append((codes[:, None] == np.arange(1, len(levels) + 1)).astype(np.float32))
        names.extend(f"{name} = {level}" for level in levels)
    return np.concatenate(blocks, axis=1), names
