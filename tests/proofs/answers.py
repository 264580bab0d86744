"""One drawn shop, answered by everybody: by what co-occurs, by the scan, by whybuy, and by an all-knowing oracle.

The oracle is the same estimator on the same log, given the world's own probabilities of the next event. Its expected
outcome, of which no world has a formula, is fitted on those probabilities beside all covariates; with the true
propensity the estimate is right whatever stands there.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from whybuy import columns as c
from whybuy.causal.checks import failures
from whybuy.causal.clusters import clustered_ratio
from whybuy.causal.confirm import TrialTable, gather, restricted
from whybuy.causal.effects import Effect
from whybuy.causal.learners import OUTCOME, CrossFitter
from whybuy.causal.scan import read_effects
from whybuy.causal.trials import TrialSource
from whybuy.config import load_config
from whybuy.events.behaviors import Behavior, parse_behavior
from whybuy.pipeline import Pipeline
from whybuy.workspace import Workspace
from whybuy.worlds.registry import World
from whybuy.worlds.shop import Shop
from whybuy.worlds.truth import TrueEffect

Float64 = npt.NDArray[np.float64]
Pair = tuple[Behavior, Behavior]


@dataclass(frozen=True)
class PairAnswer:
    """What everybody says of one pair in one drawn shop; effects are differences of chances, ``failed`` is words."""

    world: str
    seed: int
    treatment: str
    outcome: str
    kind: str
    n_treated: int
    truth: float
    truth_error: float
    naive: float
    linear: float
    oracle: float
    oracle_error: float
    scan: float
    scan_error: float
    estimate: float | None
    std_error: float | None
    q_value: float | None
    verdict: str
    failed: str


def answers(world: World, seed: int, folder: Path) -> pd.DataFrame:
    """Draw the shop, let `whybuy` read, train, scan and confirm, ask the oracle; return one row per pair."""
    shop = world.draw(seed, with_propensity=True)
    pipeline = Pipeline(load_config(world.write(shop, folder)), Workspace(folder / "workspace"))
    pipeline.run("confirm")
    found = {(e.treatment, e.outcome): e for e in pipeline.effects()}
    scanned = {(e.treatment, e.outcome): e for e in read_effects(pipeline.study.heads / "effects.json")}
    truths = {(parse_behavior(t.treatment), parse_behavior(t.outcome)): t for t in world.truth()}
    study = pipeline.study
    source = study.trials(study.twins(), study.config.horizons[0])
    judges = Judges.of(source, list(truths), shop, world)
    rows = []
    for pair, truth in truths.items():
        both = tuple(effects[str(pair[0]), str(pair[1])] for effects in (found, scanned))
        assert both[0].method == "confirmed", f"{pair} was not confirmed: {both[0].reasons}"
        rows.append(asdict(_row((world.name, seed), truth, both, judges, pair)))
    return pd.DataFrame(rows)


def _row(
    drawn: tuple[str, int],
    truth: TrueEffect,
    effects: tuple[Effect, Effect],
    judges: "Judges",
    pair: Pair,
) -> PairAnswer:
    effect, scanned = effects
    oracle, oracle_error = judges.oracle(pair)
    return PairAnswer(
        world=drawn[0],
        seed=drawn[1],
        treatment=truth.treatment,
        outcome=truth.outcome,
        kind=truth.kind,
        n_treated=effect.n_treated,
        truth=truth.truth,
        truth_error=truth.std_error,
        naive=effect.naive.difference,
        linear=judges.linear(pair),
        oracle=oracle,
        oracle_error=oracle_error,
        scan=scanned.effect.estimate,
        scan_error=scanned.effect.std_error,
        estimate=effect.effect.estimate,
        std_error=effect.effect.std_error,
        q_value=effect.effect.q_value,
        verdict=effect.verdict,
        failed="; ".join(failures(effect)),
    )


@dataclass(frozen=True)
class Judges:
    """The oracle and the linear adjustment over the trials of one log.

    Attributes
    ----------
    P : (n_trials, n_cells) the world's chance of every cell at the trial's decision
    m, m_any : (n_trials,) by outcome, the oracle's expected outcome among decisions that are not it, and among all
    expected_treatment, expected_outcome : what a linear model of the windowed counts expects, out of fold
    """

    table: TrialTable
    P: Float64
    world: World
    m: dict[Behavior, Float64]
    m_any: dict[Behavior, Float64]
    expected_treatment: dict[Behavior, Float64]
    expected_outcome: dict[Behavior, Float64]

    @classmethod
    def of(cls, source: TrialSource, pairs: list[Pair], shop: Shop, world: World) -> "Judges":
        """Gather the trials and what the world knows about them."""
        behaviors = list(dict.fromkeys(b for pair in pairs for b in pair))
        outcomes = list(dict.fromkeys(a for _, a in pairs))
        table = gather(source, behaviors, outcomes)
        P = KnownChances.of(shop).at(*_decisions(source))
        knowing = CrossFitter(
            np.concatenate([table.X, np.log(np.maximum(P, 1e-6)).astype(np.float32)], axis=1),
            table.fold,
        )
        apart = list(dict.fromkeys(a for b, a in pairs if b != a))
        again = list(dict.fromkeys(a for b, a in pairs if b == a))
        plan = replace(OUTCOME, rounds=80)
        m = {
            a: knowing.predict(
                table.outcome[a],
                plan,
                head=table.start_m.get(a),
                use=table.is_behavior[a] == 0,
            )
            for a in apart
        }
        m_any = {a: knowing.predict(table.outcome[a], plan, head=table.start_any.get(a)) for a in again}
        counts = windowed_counts(table)
        expected_treatment = {b: out_of_fold(counts, table, table.is_behavior[b]) for b in behaviors}
        expected_outcome = {a: out_of_fold(counts, table, table.outcome[a]) for a in outcomes}
        return cls(table, P, world, m, m_any, expected_treatment, expected_outcome)

    def oracle(self, pair: Pair) -> tuple[float, float]:
        """Return the estimate with the true propensities, and its standard error."""
        b, a = pair
        e = true_propensity(self.P, pair, self.world)
        return self._estimate(pair, e, self.m[a] if b != a else self.m_any[a])

    def linear(self, pair: Pair) -> float:
        """Return the estimate of a linear adjustment for windowed counts."""
        return self._estimate(pair, self.expected_treatment[pair[0]], self.expected_outcome[pair[1]])[0]

    def _estimate(self, pair: Pair, e: Float64, m: Float64) -> tuple[float, float]:
        b, a = pair
        keep = self.table.is_behavior[a] == 0 if b != a else np.ones(len(self.table), bool)
        T, Y = (
            self.table.is_behavior[b].astype(float),
            self.table.outcome[a].astype(float),
        )
        data = restricted(self.table, keep, T, Y, e, m)
        found = clustered_ratio(data.RT * data.RY, data.RT**2, data.user)
        return float(found.value), float(found.std_error)


def windowed_counts(table: TrialTable) -> Float64:
    """Return (n, d) the plain counts of actions in windows, the clock and the attributes, standardized."""
    plain = [group in ("activity", "exposure", "clock", "attribute") for group in table.columns.groups]
    scaled: Float64 = StandardScaler().fit_transform(table.X[:, plain].astype(float))
    return scaled


def out_of_fold(X: Float64, table: TrialTable, y: npt.NDArray[np.uint8]) -> Float64:
    """Return (n,) what a ridge regression on other users' rows expects."""
    out = np.empty(len(y))
    for k in np.unique(table.fold):
        rows = table.fold == k
        out[rows] = Ridge(1.0).fit(X[~rows], y[~rows]).predict(X[rows])
    return out


@dataclass(frozen=True)
class KnownChances:
    """The world's own chances of what the next event is, by user and time.

    Attributes
    ----------
    keys : user and time in milliseconds of every decision of the world, each once
    P : (n_decisions, n_cells)
    """

    keys: pd.MultiIndex
    P: Float64

    @classmethod
    def of(cls, shop: Shop) -> "KnownChances":
        """Return the chances of a shop that was drawn with them; campaigns have none, lines of an order share them."""
        own = np.isfinite(shop.propensity[:, 0])
        times = shop.events[c.TIME].dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
        keys = pd.MultiIndex.from_arrays([shop.events[c.USER].astype(str).to_numpy()[own], times[own]])
        first = ~keys.duplicated()
        return cls(keys[first], shop.propensity[own][first])

    def at(self, users: npt.NDArray[np.object_], ts_ms: npt.NDArray[np.int64]) -> Float64:
        """Return (n, n_cells) the chances at the decisions of ``users`` at ``ts_ms``, all of which must be known."""
        found = self.keys.get_indexer(pd.MultiIndex.from_arrays([users.astype(str), ts_ms]))
        assert (found >= 0).all(), f"{(found < 0).sum()} decisions are no events of the world"
        return self.P[found].astype(float)


def true_propensity(P: Float64, pair: Pair, world: World) -> Float64:
    """Return (n,) the world's chance of the treatment among the trials of a pair, from those of the cells."""
    b, a = (P[:, _cells_of(behavior, world.equations.cells)].sum(axis=1) for behavior in pair)
    return np.clip(b / (1 - a) if pair[0] != pair[1] else b, 1e-6, 1 - 1e-6)


def _cells_of(behavior: Behavior, cells: tuple[str, ...]) -> list[int]:
    action, _, target = str(behavior).partition(":")
    return [
        i for i, cell in enumerate(cells) if cell == str(behavior) or (target == "*" and cell.startswith(f"{action}:"))
    ]


def _decisions(
    source: TrialSource,
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Return user and time of every trial, in the order in which they are gathered."""
    blocks = [(block.user_ids[block.user], block.ts_ms) for block in source.blocks() if len(block)]
    users, times = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return users, times
