"""Two hundred draws of one world, answered with nuisances that were learned once, on other users.

Users of a world are drawn independently, so that disjoint groups of new users are independent draws; one large shop
holds them all. The model and the trees are taught by the first users alone, as on a log of the usual size; every group
then gets its own estimates. What is left of coverage below 95% is the nuisances' error on a log of this size, seen
without the noise of learning them anew; all groups together show it to a tenth of one group's standard error.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from tests.proofs.answers import KnownChances, Pair, true_propensity
from whybuy.behavior.folds import folds_of_users
from whybuy.causal.checks import PairData
from whybuy.causal.clusters import Ratio, ratio_of_sums
from whybuy.causal.confirm import Nuisance, TrialTable, gather, pair_data
from whybuy.causal.grounds import Grounds
from whybuy.causal.learners import OUTCOME, PROPENSITY, CrossFitter, FrozenLearner
from whybuy.causal.trials import TrialBlock, TrialSource, save_heads
from whybuy.config import load_config
from whybuy.events.behaviors import Behavior, parse_behavior
from whybuy.events.sequences import Sequences
from whybuy.pipeline import Pipeline
from whybuy.workspace import Workspace
from whybuy.worlds.registry import World
from whybuy.worlds.shop import Shop
from whybuy.worlds.truth import TrueEffect as Truth

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

N_DRAWS = 200
_BLOCKS = 8


def draws(world: World, seed: int, folder: Path, *, users_per_draw: int) -> pd.DataFrame:
    """Return one row per pair and draw: the truth, our estimate and the oracle's, with their errors."""
    n_taught = world.equations.n_users
    n_users = n_taught + N_DRAWS * users_per_draw
    shop = world.draw(seed, n_users=n_users, with_propensity=True)
    config = load_config(world.write(shop, folder))
    # The model is taught by users whose hash lies below a share: as many as an ordinary log of this world has.
    limit = {"max_events": int(n_taught / n_users * len(shop.events))}
    config = config.model_copy(update={"behavior": config.behavior.model_copy(update=limit)})
    pipeline = Pipeline(config, Workspace(folder / "workspace"))
    pipeline.run("model")
    share = json.loads((pipeline.folder("model") / "training.json").read_text())["share_of_users"]
    study = replace(pipeline.study, heads=folder)
    twins, protocol = study.twins(), study.protocol(config.horizons[0])
    save_heads(twins, study.store, protocol, folder)
    source = replace(
        study.trials(twins, config.horizons[0]),
        past_ms=min(protocol.horizon_ms, protocol.lookback_ms),
    )
    truths = {(parse_behavior(t.treatment), parse_behavior(t.outcome)): t for t in world.truth()}
    learners = Learners.of(gather(replace(source, position_below=share), *asked(truths)), list(truths))
    sums: dict[Pair, list[pd.DataFrame]] = {pair: [] for pair in truths}
    for table, draw, P in _new_users(source, share, truths, shop):
        nuisance = learners.nuisance(table)
        for pair in truths:
            keep, data = pair_data(table, nuisance, pair)
            sums[pair].append(_per_user(data, _oracle(data, keep, pair, P, world), draw[keep]))
    return pd.DataFrame(
        [row for pair, truth in truths.items() for row in _estimates(world.name, seed, truth, pd.concat(sums[pair]))]
    )


def asked(pairs: dict[Pair, Truth]) -> tuple[list[Behavior], list[Behavior]]:
    """Return the behaviors and the outcomes of the pairs."""
    return list(dict.fromkeys(b for pair in pairs for b in pair)), list(dict.fromkeys(a for _, a in pairs))


@dataclass(frozen=True)
class Learners:
    """What `confirm` fits, taught once: by behavior, by outcome among decisions that are not it, and among all."""

    e: dict[Behavior, FrozenLearner]
    m: dict[Behavior, FrozenLearner]
    m_any: dict[Behavior, FrozenLearner]

    @classmethod
    def of(cls, table: TrialTable, pairs: list[Pair]) -> "Learners":
        """Teach the learners of the pairs' treatments and outcomes."""
        fitter = CrossFitter(table.logged, table.fold)
        treatments, outcomes = (list(dict.fromkeys(p[i] for p in pairs)) for i in (0, 1))
        T, Y = table.is_behavior, table.outcome
        return cls(
            e={b: fitter.frozen(T[b], PROPENSITY, head=table.start_e[b]) for b in treatments},
            m={a: fitter.frozen(Y[a], OUTCOME, head=table.start_m[a], use=T[a] == 0) for a in outcomes},
            m_any={a: fitter.frozen(Y[a], OUTCOME, head=table.start_any[a]) for a in outcomes if (a, a) in pairs},
        )

    def nuisance(self, table: TrialTable) -> Nuisance:
        """Return what they expect at the trials of users who taught none of them."""
        X = table.logged
        outcomes_alone = {a: expit(table.start_e[a].astype(float)) for a in self.m if a not in self.e}
        return Nuisance(
            e=outcomes_alone | {b: learner.predict(X, table.start_e[b]) for b, learner in self.e.items()},
            m={a: learner.predict(X, table.start_m[a]) for a, learner in self.m.items()},
            m_any={a: learner.predict(X, table.start_any[a]) for a, learner in self.m_any.items()},
        )


@dataclass(frozen=True)
class _Held(TrialSource):
    """Trials that were drawn already."""

    held: tuple[TrialBlock, ...] = ()

    def blocks(self) -> Iterator[TrialBlock]:
        """Yield them."""
        yield from self.held

    def hits(self) -> Iterator[tuple[Sequences, npt.NDArray[np.uint8]]]:
        """Yield nothing: what others did is for the checks, and plays no part in an estimate."""
        yield from ()


def _new_users(
    source: TrialSource, share: float, truths: dict[Pair, Truth], shop: Shop
) -> Iterator[tuple[TrialTable, Ints, Float64]]:
    """Yield the trials of new users, some blocks at a time: the table, each trial's draw, and the world's chances."""
    known = KnownChances.of(shop)
    n_behaviors = len(asked(truths)[0])
    blocks = (block for part in source.blocks() if len(block := _of_new_users(part, share, n_behaviors)))
    while told := tuple(islice(blocks, _BLOCKS)):
        held = _Held(
            source.store,
            source.heads,
            source.judged,
            source.protocol,
            past_ms=source.past_ms,
            held=told,
        )
        users = np.concatenate([block.user_ids[block.user] for block in told])
        table = gather(held, *asked(truths))
        draw = np.floor((folds_of_users(users).position - share) / (1 - share) * N_DRAWS).astype(np.int64)
        yield table, draw, known.at(users, table.ts_ms)


def _of_new_users(block: TrialBlock, share: float, n_behaviors: int) -> TrialBlock:
    """Return the trials of users who taught nothing; what others did of the behaviors is left unknown."""
    new = (folds_of_users(block.user_ids).position >= share)[block.user]
    of_trials = (
        "user",
        "is_behavior",
        "outcome",
        "X",
        "logits",
        "extra_behavior",
        "extra_outcome",
    )
    rows = {name: getattr(block, name)[new] for name in (*of_trials, "is_late", "ts_ms", "past", "recent", "measured")}
    nobody = np.full((int(new.sum()), n_behaviors), np.nan, np.float32)
    return replace(block, **rows, excess=nobody)


def _oracle(data: PairData, keep: npt.NDArray[np.bool_], pair: Pair, P: Float64, world: World) -> PairData:
    """Return the trials ``keep`` of a pair with the world's own propensity in the place of ours."""
    return replace(data, e=true_propensity(P[keep], pair, world))


def _per_user(ours: PairData, oracle: PairData, draw: Ints) -> pd.DataFrame:
    """Return one row per user: their draw, treated decisions, numerators and denominators."""
    _, first = np.unique(ours.user, return_index=True)
    sums = {"treated": ours.T, "treated outcomes": ours.T * ours.Y, "control outcomes": (1 - ours.T) * ours.Y}
    for name, data in (("ours", ours), ("oracle", oracle)):
        sums |= {f"N {name}": data.RT * data.RY, f"D {name}": data.RT**2}
    per_user = {name: np.bincount(ours.user, value) for name, value in sums.items()}
    return pd.DataFrame({"draw": draw[first], **per_user})


def _estimates(world: str, seed: int, truth: Truth, users: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield the answers of every draw, and of all together as draw -1; no numbers where there are no grounds."""
    for draw, of_draw in [(-1, users), *users.groupby("draw")]:
        ours, oracle = (
            ratio_of_sums(of_draw[f"N {name}"].to_numpy(), of_draw[f"D {name}"].to_numpy(), n_clusters=len(of_draw))
            for name in ("ours", "oracle")
        )
        with_outcomes = (int((of_draw[f"{arm} outcomes"] > 0).sum()) for arm in ("treated", "control"))
        n_treated = int(of_draw.treated.sum())
        if Grounds(n_treated, *with_outcomes, ours.effective).missing():
            ours = oracle = Ratio(float("nan"), np.full(1, np.nan), 0.0)
        yield {
            "world": world,
            "seed": seed,
            "draw": draw,
            "treatment": truth.treatment,
            "outcome": truth.outcome,
            "kind": truth.kind,
            "n_treated": n_treated,
            "truth": truth.truth,
            "truth_error": truth.std_error,
            "estimate": ours.value,
            "std_error": ours.std_error,
            "oracle": oracle.value,
            "oracle_error": oracle.std_error,
        }
