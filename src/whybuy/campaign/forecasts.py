"""What the behavior model foretells of people at a moment, before whatever happens at it.

Everybody is judged by the twin that was not trained on them, from the events strictly before, so that neither what a
campaign did to a person nor the person's own outcome is in their forecast.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.behavior.landmarks import heads_at
from whybuy.behavior.twins import TwinModels
from whybuy.causal.trials import of_horizon
from whybuy.engine import give_back_memory
from whybuy.events.features import LONGEST_WINDOW_MS, history_features
from whybuy.events.moments import Moments
from whybuy.events.sequences import Sequences, SequenceStore
from whybuy.progress import Report, quiet

Floats = npt.NDArray[np.float32]

_WHAT = "what the model foretells of everybody"
_N_OUTCOMES = 12
_BLOCK_EVENTS = 65_536


@dataclass(frozen=True)
class Forecaster:
    """The twins of a log, asked about people at moments."""

    twins: TwinModels
    store: SequenceStore

    @property
    def names(self) -> list[str]:
        """What is foretold: whether each outcome happens within the horizon, the commonest outcomes first."""
        heads = self.twins.heads
        return [f"forecast of {heads.index.behaviors[a]}" for a in heads.outcomes[:_N_OUTCOMES]]

    def at(self, rows: pd.DataFrame, horizon_ms: int, *, report: Report = quiet) -> Floats:
        """Return (n, n_outcomes) logits for people at moments, the ``rows`` (``user_id``, ``ts_ms``), in their order.

        Where nothing happened before there is nothing to foretell from: such rows have the others' mean, and the
        counts beside it say why. No columns where nobody has a forecast.
        """
        return _filled(self.known(rows, horizon_ms, report=report))

    def known(self, rows: pd.DataFrame, horizon_ms: int, *, report: Report = quiet) -> Floats:
        """Return the logits of :meth:`at`, NaN where there is nothing to foretell from."""
        out = np.full((len(rows), len(self.names)), np.nan, np.float32)
        by_user = pd.Series(np.arange(len(rows)), index=rows[c.USER].astype(str).to_numpy())
        times = rows[c.TIME_MS].to_numpy(np.int64)
        n_shards = len(self.store.shards)
        report("forecasts", 0, n_shards, _WHAT)
        for done, shard in enumerate(self.store.shards):
            people, n_seen = Sequences.open(shard), 0
            for block in people.blocks(_BLOCK_EVENTS):
                self._fill(out, block, by_user, times, horizon_ms)
                n_seen += block.n_users
                report("forecasts", done + n_seen / people.n_users, n_shards, _WHAT)
            give_back_memory()
        return out

    def _fill(
        self, out: Floats, block: Sequences, by_user: pd.Series, times: npt.NDArray[np.int64], horizon_ms: int
    ) -> None:
        """Write the forecasts of the rows whose users are in ``block``."""
        block = block.users(np.isin(block.user_ids.astype(str), by_user.index.to_numpy(str)))
        places = pd.Series(np.arange(block.n_users), index=block.user_ids.astype(str), name="user")
        here = by_user.rename("row").to_frame().join(places, how="inner")
        if here.empty:
            return
        here["ts"] = times[here["row"].to_numpy()]
        here = here.sort_values(["user", "ts"], kind="stable")
        user, at_ms = here["user"].to_numpy(np.int64), here["ts"].to_numpy(np.int64)
        at = Moments.at(block, user, at_ms, reach_ms=max(horizon_ms, LONGEST_WINDOW_MS))
        heads = self.twins.heads
        logits = heads_at(self.twins, block, at, history_features(block, at, heads.spec).values)
        anywhere = of_horizon(logits, heads, horizon_ms)[:, heads.n_behaviors + len(heads.outcomes) :]
        out[here["row"].to_numpy()] = anywhere[:, : out.shape[1]]


def _filled(out: Floats) -> Floats:
    known = np.isfinite(out).all(axis=1)
    if not known.any():
        return out[:, :0]
    return np.where(np.isfinite(out), out, out[known].mean(axis=0, dtype=float)).astype(np.float32)


class Remembering:
    """A forecaster that goes through the log once: who will be asked about later is foretold with the first question.

    A person's events are read by the Transformer whole, however many moments are asked about, so that one passage over
    two lists of moments costs half of two.

    Parameters
    ----------
    later : people at moments (``user_id``, ``ts_ms``) that will be asked about
    """

    def __init__(self, forecaster: Forecaster, later: pd.DataFrame) -> None:
        self._forecaster = forecaster
        self._later = later
        self._rows = _keys(later.iloc[:0], 0)
        self._logits = np.empty((0, len(forecaster.names)), np.float32)

    @property
    def names(self) -> list[str]:
        """As the forecaster's."""
        return self._forecaster.names

    def at(self, rows: pd.DataFrame, horizon_ms: int, *, report: Report = quiet) -> Floats:
        """Return the same as the forecaster's ``at``."""
        keys = _keys(rows, horizon_ms)
        if not keys.isin(self._rows).all():
            self._learn(rows, horizon_ms, report)
        return _filled(self._logits[self._rows.get_indexer(keys)])

    def _learn(self, rows: pd.DataFrame, horizon_ms: int, report: Report) -> None:
        both = pd.concat([rows[[c.USER, c.TIME_MS]], self._later], ignore_index=True)
        keys = _keys(both, horizon_ms)
        new = ~keys.isin(self._rows) & ~keys.duplicated()
        found = self._forecaster.known(both[new].reset_index(drop=True), horizon_ms, report=report)
        self._rows = self._rows.append(keys[new])
        self._logits = np.concatenate([self._logits, found])


def _keys(rows: pd.DataFrame, horizon_ms: int) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays(
        [rows[c.USER].astype(str), rows[c.TIME_MS].astype("int64"), np.full(len(rows), horizon_ms, np.int64)]
    )
