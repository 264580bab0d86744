"""The trials of the calendar design: one row per user and start, with what was known before each of its periods.

Eligible: somebody with an event of their own in the active time before the first landmark and, where a washout is asked
for, without the behavior in it. Nobody is left out for what they do later. Covariates are counted strictly before each
landmark; the behavior model is asked at the landmark, too (:func:`whybuy.behavior.landmarks.heads_at`).

Whoever does anything in a period is likelier to do the behavior in it and to buy afterwards. Recency, counts and the
model's answers at the landmark take much of that away, not all: why people come this week is in no event before it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from whybuy import columns as c
from whybuy.behavior.folds import folds_of_users
from whybuy.behavior.landmarks import heads_at
from whybuy.behavior.targets import Bytes
from whybuy.behavior.twins import TwinModels
from whybuy.causal.calendar.grid import Grid
from whybuy.causal.confirm import useful_columns
from whybuy.causal.study import Study
from whybuy.causal.trials import Columns, model_columns, of_horizon
from whybuy.config import duration_ms, duration_text
from whybuy.engine import give_back_memory
from whybuy.errors import QuestionError
from whybuy.events.behaviors import Behavior
from whybuy.events.features import history_features, windowed_counts
from whybuy.events.moments import Moments, prefix_counts
from whybuy.events.sequences import Bools, Ints, Sequences, hits_in
from whybuy.progress import Report, quiet

Floats = npt.NDArray[np.float32]

_BLOCK_EVENTS = 65_536
_OWN_WINDOWS = tuple(duration_ms(w) for w in ("7d", "30d"))
_DAY_MS = 86_400_000
_EXPOSURES = [c.ACTIONS.index("impression"), c.ACTIONS.index("campaign")]


@dataclass(frozen=True)
class LandmarkTable:
    """Rows of (user, start) and K periods in memory.

    Attributes
    ----------
    X : K times (n, d) covariates right before every period, the model's heads among them
    columns : what the columns of X are
    user : (n,) ascending index of the user; fold : its subfold
    ts_ms : (n,) the first landmark
    done : (n, K) 1 where the treatment happens in the period
    came : (n, K) whether the user does anything in the period
    during, outcome : by behavior (n,), 1 where it happens in the first period, and within the horizon after the last
    past, recent : by behavior (n,), its events in the lookback before the first landmark, and in a seventh of it
    start_e, start_m : (n,) the model's logits of treatment and outcome at the first landmark; None without a head
    """

    X: list[Floats]
    columns: Columns
    user: Ints
    fold: Ints
    ts_ms: Ints
    done: Bytes
    came: Bools
    during: dict[Behavior, Bytes]
    outcome: dict[Behavior, Bytes]
    past: dict[Behavior, Bytes]
    recent: dict[Behavior, Bytes]
    start_e: Floats | None
    start_m: Floats | None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.user)

    @property
    def n_users(self) -> int:
        """The number of users."""
        return int(self.user[-1]) + 1 if len(self.user) else 0


@dataclass(frozen=True)
class Asked:
    """What is looked for at every landmark.

    Attributes
    ----------
    behaviors : the treatment, the outcome, and further outcomes that are controls
    users : only these are drawn; all where None
    share : of users that are drawn
    """

    behaviors: tuple[Behavior, ...]
    users: frozenset[str] | None
    share: float

    @property
    def pair(self) -> list[Behavior]:
        """Treatment and outcome."""
        return list(self.behaviors[:2])


def draw(asked: Asked, grid: Grid, study: Study, *, report: Report = quiet) -> LandmarkTable:
    """Bring all rows of a question into memory, shard by shard.

    Raises
    ------
    QuestionError
        Nobody is eligible.
    """
    twins, parts, n_users = study.twins(), [], 0
    columns = Columns([], [])
    for done, (shard, log_shard) in enumerate(zip(study.store.shards, study.store.log_shards, strict=True)):
        sequences, first = Sequences.open(shard), 0
        hits = np.stack([hits_in(sequences, log_shard, b, study.store.vocabulary) for b in asked.behaviors], axis=1)
        for block in sequences.blocks(_BLOCK_EVENTS):
            block_hits = hits[first : first + block.n_events].astype(np.uint8)
            first += block.n_events
            drawer = BlockRows(block, block_hits, asked, grid, twins)
            if len(drawer.row_user) == 0:
                continue
            columns, part = drawer.rows()
            part["user"] = part["user"] + n_users
            n_users = int(part["user"][-1]) + 1
            parts.append(part)
        give_back_memory()
        report("landmarks", done + 1, len(study.store.shards))
    if not parts:
        raise QuestionError.of(
            found="Nobody is eligible at any landmark",
            needed="users with an event in the time `active` before a landmark, and none of the behavior in `washout`",
            do="Lengthen `active` or shorten `washout` in [calendar] of whybuy.toml, or ask for more users",
        )
    return _table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, columns, asked, twins)


class BlockRows:
    """The rows of a block of users; ``hits`` is (n_events, n_behaviors)."""

    def __init__(self, block: Sequences, hits: Bytes, asked: Asked, grid: Grid, twins: TwinModels) -> None:
        self.block, self.asked, self.grid, self.twins = block, asked, grid, twins
        self.users = np.flatnonzero(_drawn(block, asked))
        own = ~np.isin(block.action, _EXPOSURES)
        self.prefix = prefix_counts(np.column_stack([hits, own.astype(np.uint8)]))
        self.n_times = len(grid.times)
        self.at = self._moments(0)
        self.row_user, self.row_time = self._eligible()

    def _moments(self, later_ms: int) -> Moments:
        """Return every landmark of every user, ``later_ms`` later."""
        times = self.grid.times + later_ms
        user = np.repeat(self.users, len(times))
        return Moments.at(self.block, user, np.tile(times, len(self.users)), reach_ms=self.grid.reach_ms)

    def _by_time(self, values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return values.reshape(len(self.users), self.n_times, -1)

    def _eligible(self) -> tuple[Ints, Ints]:
        """Return the rows: places of their user among the block's, and of their first landmark among the times."""
        if len(self.users) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        K = self.grid.n_periods
        starts = np.arange(self.grid.n_starts) * K
        active = self._by_time(windowed_counts(self.prefix, self.at, self.grid.active_ms))[:, starts, -1] > 0
        if self.grid.washout_ms:
            active &= self._by_time(windowed_counts(self.prefix, self.at, self.grid.washout_ms))[:, starts, 0] == 0
        user, start = np.nonzero(active)
        return user, starts[start]

    def rows(self) -> tuple[Columns, dict[str, npt.NDArray[Any]]]:
        """Return what the columns are, and the arrays of :class:`LandmarkTable`, users numbered within the block."""
        u, t, K = self.row_user, self.row_time, self.grid.n_periods
        until = self._by_time(self.prefix[self.at.first])
        within = until[:, 1:] - until[:, :-1] > 0
        followed = self._by_time(self.prefix[self._moments(self.grid.horizon_ms).first]) - until > 0
        periods = t[:, None] + np.arange(K)
        lookback = self.grid.lookback_ms
        past, recent = (self._by_time(windowed_counts(self.prefix, self.at, w)) for w in (lookback, lookback // 7))
        columns, X, start_e, start_m = self._covariates(u[:, None], periods)
        return columns, {
            "X": X,
            "user": np.unique(u, return_inverse=True)[1],
            "fold": folds_of_users(self.block.user_ids).subfold[self.users[u]],
            "ts_ms": self.grid.times[t],
            "done": within[u[:, None], periods, 0].astype(np.uint8),
            "came": within[u[:, None], periods, -1],
            "during": within[u, t, :-1].astype(np.uint8),
            "outcome": followed[u, t + K, :-1].astype(np.uint8),
            "past": np.minimum(past[u, t, :-1], 255).astype(np.uint8),
            "recent": np.minimum(recent[u, t, :-1], 255).astype(np.uint8),
            "start_e": start_e[:, 0],
            "start_m": start_m[:, 0],
        }

    def _covariates(self, user: Ints, period: Ints) -> tuple[Columns, Floats, Floats, Floats]:
        """Return the columns, (n, K, d) covariates, and (n, K) logits of treatment and outcome, NaN without a head."""
        flat = user * self.n_times + period
        needed, place = np.unique(flat, return_inverse=True)
        at = Moments.at(self.block, self.at.user[needed], self.at.ts_ms[needed], reach_ms=self.grid.reach_ms)
        heads = self.twins.heads
        history = history_features(self.block, at, heads.spec)
        logits = heads_at(self.twins, self.block, at, history.values)
        found = of_horizon(logits, heads, self.grid.horizon_ms)
        own = [np.log1p(windowed_counts(self.prefix[:, :2], at, w), dtype=np.float32) for w in _OWN_WINDOWS]
        own_names = [f"{b} in {duration_text(w)}" for w in _OWN_WINDOWS for b in self.asked.pair]
        day = ((at.ts_ms - self.grid.start_ms) / _DAY_MS).astype(np.float32)[:, None]
        said, names = model_columns(found, heads)
        columns = Columns(
            history.names + own_names + ["days since the log began"] + names,
            history.groups + ["behavior"] * len(own_names) + ["clock"] + ["model"] * len(names),
        )
        keep = useful_columns(columns, self.asked.pair)
        X = np.concatenate([history.values, *own, day, said], axis=1)[:, keep]
        kept = Columns([columns.names[i] for i in keep], [columns.groups[i] for i in keep])
        place = place.reshape(period.shape)
        e_at, m_at = _head_columns(self.asked.pair, self.twins)
        nothing = np.full(len(needed), np.nan, np.float32)
        start_e, start_m = (nothing if i is None else found[:, i] for i in (e_at, m_at))
        return kept, X[place], start_e[place], start_m[place]


def _drawn(block: Sequences, asked: Asked) -> Bools:
    drawn = folds_of_users(block.user_ids).position < asked.share
    if asked.users is not None:
        drawn &= np.isin(block.user_ids.astype(str), sorted(asked.users))
    return drawn


def _head_columns(pair: list[Behavior], twins: TwinModels) -> tuple[int | None, int | None]:
    """Return where the logits of a horizon hold the treatment's propensity and the outcome anywhere."""
    index = list(twins.heads.index.behaviors)
    outcomes = [index[i] for i in twins.heads.outcomes]
    treatment, outcome = pair
    e = index.index(treatment) if treatment in index else None
    m = len(index) + len(outcomes) + outcomes.index(outcome) if outcome in outcomes else None
    return e, m


def _table(parts: dict[str, npt.NDArray[Any]], columns: Columns, asked: Asked, twins: TwinModels) -> LandmarkTable:
    names = list(dict.fromkeys(asked.behaviors))
    places = [asked.behaviors.index(b) for b in names]
    by_behavior: dict[str, Any] = {
        field: {b: parts[field][:, i] for b, i in zip(names, places, strict=True)}
        for field in ("during", "outcome", "past", "recent")
    }
    of_rows: dict[str, Any] = {name: parts[name] for name in ("user", "fold", "ts_ms", "done", "came")}
    e_at, m_at = _head_columns(asked.pair, twins)
    X = parts["X"]
    return LandmarkTable(
        X=[np.ascontiguousarray(X[:, k]) for k in range(X.shape[1])],
        columns=columns,
        **of_rows,
        **by_behavior,
        start_e=None if e_at is None else parts["start_e"],
        start_m=None if m_at is None else parts["start_m"],
    )
