"""The scan: every behavior on every outcome at once.

Two passes over the trials. The first sums Gram matrices per fold of users; ridge regressions on windowed counts and the
model's heads give every propensity e_b and every expectation m_a, B + A fits for B x A questions. The second forms the
residuals and sums them per user (``residuals.py``). The whole family of q-values is fixed beforehand: every scanned
pair that could be computed is in it, whatever it shows.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import entr, expit

from whybuy.behavior.calibration import BinSums, Reliability, reliabilities
from whybuy.behavior.family import Family, too_rare
from whybuy.behavior.twins import TwinModels, family_in
from whybuy.causal.effects import Effect, Estimate, Naive
from whybuy.causal.grounds import Grounds
from whybuy.causal.losses import CLIP, log_loss_sums
from whybuy.causal.masked import MaskedTrials, PairCounts, masked_pair_sums
from whybuy.causal.residuals import Float64, Ints, PairSums
from whybuy.causal.ridge import FoldSums, fit_folds, with_intercept
from whybuy.causal.study import Study
from whybuy.causal.together import Together
from whybuy.causal.trials import TrialBlock, TrialSource, save_heads
from whybuy.causal.verdict import judge_scan, q_values, refused
from whybuy.config import Config, duration_ms
from whybuy.events.behaviors import Behavior, contains, is_funnel
from whybuy.progress import Report, quiet

N_SUBFOLDS = 3
CALIBRATION = "calibration.json"
"""Reliability of every head on later data, per horizon."""
_LOSSES = ("e_counts", "e_model", "m_counts", "m_model")


@dataclass(frozen=True)
class ScanSums:
    """Everything the second pass adds up; log-losses are (2 kinds of nuisance, with and without the model)."""

    pairs: PairSums
    counts: PairCounts
    diagonal: PairSums
    diagonal_counts: PairCounts
    losses: dict[str, Float64]
    range_e: tuple[Float64, Float64]
    n: int
    bins_e: BinSums
    bins_m: BinSums


def scan_log(study: Study, folder: Path, *, report: Report = quiet) -> list[Effect]:
    """Scan every pair of the family on every horizon; save the heads and ``effects.json`` in ``folder``."""
    family, config = family_in(study.model), study.config
    effects: list[Effect] = []
    curves: dict[str, list[Reliability]] = {}
    possible = study.log.quality.has_times and any(study.protocol(h).is_possible for h in config.horizons)
    if possible:
        twins = study.twins()
        shortest = study.protocol(min(config.horizons, key=duration_ms))
        save_heads(twins, study.store, shortest, folder, report=report)
        for horizon in config.horizons:
            found, curves[horizon] = _scan_horizon(replace(study, heads=folder), twins, family, horizon, report)
            effects += found
        effects = _with_q_values(effects, config)
    else:
        why = (
            "The log has an order of events but no times: no effect within a horizon can be asked of it."
            if not study.log.quality.has_times
            else "The log is shorter than lookback plus horizon: no decision has both history and follow-up."
        )
        effects = [refused(b, a, horizon, why) for horizon in config.horizons for b, a in family.pairs]
    write_effects(effects, folder / "effects.json")
    calibration = {horizon: [curve.to_json() for curve in found] for horizon, found in curves.items()}
    (folder / CALIBRATION).write_text(json.dumps(calibration, allow_nan=False), encoding="utf-8")
    return effects


def write_effects(effects: list[Effect], path: Path) -> None:
    """Write ``{"effects": [...]}``."""
    path.write_text(json.dumps({"effects": [e.to_json() for e in effects]}, allow_nan=False), encoding="utf-8")


def read_effects(path: Path) -> list[Effect]:
    """Read what :func:`write_effects` wrote."""
    return [Effect.from_json(raw) for raw in json.loads(path.read_text(encoding="utf-8"))["effects"]]


def _scan_horizon(
    study: Study, twins: TwinModels, family: Family, horizon: str, report: Report
) -> tuple[list[Effect], list[Reliability]]:
    why = None
    if not study.protocol(horizon).is_possible:
        why = "No decision has both the history and the follow-up that this horizon needs."
    elif not twins.heads.outcomes:
        why = "No outcome happens often enough (50 events by 20 users are needed)."
    if why is not None:
        return [refused(b, a, horizon, why) for b, a in family.pairs], []
    return scan_trials(study.trials(twins, horizon), family, horizon, study.config, report=report)


def scan_trials(
    source: TrialSource, family: Family, horizon: str, config: Config, *, report: Report = quiet
) -> tuple[list[Effect], list[Reliability]]:
    """Return the effects of the family on the trials of one horizon, and the reliability of every head.

    Effects are judged without q-values: those are of all horizons together.
    """
    fits, base = _first_pass(source, report)
    if fits is None:
        why = "No decision of this log has both the history and the follow-up that this horizon needs."
        return [refused(b, a, horizon, why) for b, a in family.pairs], []
    sums = _second_pass(source, fits, report)
    table = _ScanTable(sums, base, source, family, horizon)
    names = [str(b) for b in source.heads.index.behaviors]
    curves = reliabilities(sums.bins_e, names, "e")
    curves += reliabilities(sums.bins_m, [names[a] for a in source.outcomes], "m")
    return [table.effect(pair, config) for pair in family.pairs], curves


@dataclass(frozen=True)
class Nuisances:
    """The nuisances of a block of trials; (n, B) for behaviors, (n, A) for outcomes.

    ``e``, ``m`` (among decisions that are not the outcome) and ``m_any`` (among all) start from the model's heads;
    ``e_counts`` and ``m_counts`` see counts alone.
    """

    e: Float64
    m_any: Float64
    e_counts: Float64
    m: Float64
    m_counts: Float64


@dataclass(frozen=True)
class Fits:
    """Ridge coefficients (n_folds, d + 1, targets) and P(behavior | outcome) inside one moment (B, A).

    Targets: what the heads leave of T, of Y anywhere, T itself from counts; and, among decisions that are not the
    outcome, what the heads leave of Y, and Y itself from counts.
    """

    coefficients: Float64
    shared: Float64

    def predict(self, X: Float64, fold: Ints, heads: "HeadProbabilities") -> Nuisances:
        """Return each row's nuisances by the coefficients that did not see its user."""
        found = np.empty((len(X), self.coefficients.shape[2]))
        for k in np.unique(fold):
            found[fold == k] = X[fold == k] @ self.coefficients[k]
        B, A = self.shared.shape
        e, m_any, e_counts, m, m_counts = np.split(found, np.cumsum([B, A, B, A]), axis=1)
        return Nuisances(np.clip(heads.e + e, CLIP, 1 - CLIP), heads.m_any + m_any, e_counts, heads.m + m, m_counts)


@dataclass(frozen=True)
class HeadProbabilities:
    """The model's own answers for a block of trials."""

    e: Float64
    m: Float64
    m_any: Float64

    @classmethod
    def of(cls, block: TrialBlock) -> "HeadProbabilities":
        """Split the block's logits into probabilities."""
        B, A = block.is_behavior.shape[1], block.outcome.shape[1]
        p = expit(block.logits.astype(float))
        return cls(p[:, :B], p[:, B : B + A], p[:, B + A :])


@dataclass(frozen=True)
class BaseRates:
    """Base rates of behaviors among decisions and of outcomes among their trials, and which behaviors are one."""

    e: Float64
    m: Float64
    same_as: dict[Behavior, str]


def _first_pass(source: TrialSource, report: Report) -> tuple[Fits | None, BaseRates]:
    B, A = source.heads.n_behaviors, len(source.outcomes)
    sums: FoldSums | None = None
    together, n, rates_m = Together(source.heads.index.behaviors), 0, np.zeros((2, A))
    logged, d = np.empty(0, np.int64), 0
    for block in _with_progress(source, "scan: fit", report):
        X, heads = with_intercept(block.X), HeadProbabilities.of(block)
        T, Y = block.is_behavior.astype(float), block.outcome.astype(float)
        own = block.is_behavior[:, source.outcomes]
        if sums is None:
            logged, d = np.flatnonzero(block.columns.logged), block.X.shape[1]
            sums = FoldSums.zeros(N_SUBFOLDS, d, 2 * B + A, A, 2 * A)
        sums.add(X, np.concatenate([T - heads.e, Y - heads.m_any, T, Y - heads.m, Y], axis=1), block.subfold, own)
        together.add(block.is_behavior)
        rates_m += np.stack([((1 - own) * Y).sum(0), (1 - own).sum(0)])
        n += len(block)
    if sums is None:
        return None, BaseRates(np.empty(0), np.empty(0), {})
    every = np.arange(d)
    columns = [every] * (B + A) + [logged] * B + [every] * A + [logged] * A
    hits = np.diag(together.both)
    shared = together.both[:, source.outcomes] / np.maximum(hits[source.outcomes], 1)
    fits = Fits(fit_folds(sums, columns), shared)
    return fits, BaseRates(hits / n, rates_m[0] / np.maximum(rates_m[1], 1), together.same_as())


def _second_pass(source: TrialSource, fits: Fits, report: Report) -> ScanSums:
    B, A = source.heads.n_behaviors, len(source.outcomes)
    pairs, counts = PairSums.zeros(B, A), PairCounts.zeros(B, A)
    diagonal, diagonal_counts = PairSums.zeros(A, 1), PairCounts.zeros(A, 1)
    losses = {name: np.zeros(A if name.startswith("m_") else B) for name in _LOSSES}
    n_trials = np.zeros(A)
    bins_e, bins_m = BinSums.zeros(N_SUBFOLDS, B), BinSums.zeros(N_SUBFOLDS, A)
    low, high, n = np.full(B, np.inf), np.full(B, -np.inf), 0
    for block in _with_progress(source, "scan: pairs", report):
        T, Y = block.is_behavior.astype(float), block.outcome.astype(float)
        own = T[:, source.outcomes]
        heads = HeadProbabilities.of(block)
        nuisance = fits.predict(with_intercept(block.X), block.subfold, heads)
        E = nuisance.e
        shared = _off_diagonal(fits.shared, source)
        trials = MaskedTrials(T, E, own, E[:, source.outcomes], Y - nuisance.m, Y, shared, block.user)
        s, k = masked_pair_sums(trials)
        pairs, counts = pairs + s, counts + k
        s, k = _diagonal(T, E, Y, nuisance.m_any, block.user, source.outcomes)
        diagonal, diagonal_counts = diagonal + s, diagonal_counts + k
        losses["e_model"] += log_loss_sums(T, E)
        losses["e_counts"] += log_loss_sums(T, nuisance.e_counts)
        losses["m_model"] += log_loss_sums(Y, nuisance.m, 1 - own)
        losses["m_counts"] += log_loss_sums(Y, nuisance.m_counts, 1 - own)
        n_trials += (1 - own).sum(0)
        late = block.is_late[:, None]
        bins_e += BinSums.of(heads.e, T, np.broadcast_to(late, T.shape), block.subfold, N_SUBFOLDS)
        bins_m += BinSums.of(heads.m, Y, late & (own == 0), block.subfold, N_SUBFOLDS)
        low, high, n = np.minimum(low, E.min(0)), np.maximum(high, E.max(0)), n + len(block)
    per = {"e": np.full(B, float(n)), "m": np.maximum(n_trials, 1)}
    losses = {name: total / per[name[0]] for name, total in losses.items()}
    return ScanSums(pairs, counts, diagonal, diagonal_counts, losses, (low, high), n, bins_e, bins_m)


def _with_progress(source: TrialSource, task: str, report: Report) -> Iterator[TrialBlock]:
    for done, block in enumerate(source.blocks()):
        if len(block):
            yield block
        report(task, done + 1, max(done + 1, len(source.store.shards)))


def _off_diagonal(shared: Float64, source: TrialSource) -> Float64:
    """Drop the diagonal, which is asked without leaving decisions out."""
    shared = shared.copy()
    shared[source.outcomes, np.arange(len(source.outcomes))] = 0
    return shared


def _diagonal(
    T: Float64, E: Float64, Y: Float64, m: Float64, user: Ints, outcomes: list[int]
) -> tuple[PairSums, PairCounts]:
    """Return the sums of a on a (a further one): nothing is left out, and treated decisions are those of a."""
    sums, counts = PairSums.zeros(len(outcomes), 1), PairCounts.zeros(len(outcomes), 1)
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    RT, RY, t = T[:, outcomes] - E[:, outcomes], Y - m, T[:, outcomes]
    per_user = [np.add.reduceat(v, starts, axis=0)[:, :, None] for v in (RT * RY, RT**2, t * Y, (1 - t) * Y)]
    sums = PairSums.of_users(per_user[0], per_user[1], len(starts))
    shape = (len(outcomes), 1)
    counts = PairCounts(
        trials=np.full(shape, float(len(T))),
        treated=t.sum(0)[:, None],
        outcomes=Y.sum(0)[:, None],
        joint=(t * Y).sum(0)[:, None],
        treated_outcome_users=(per_user[2] > 0).sum(0).astype(float),
        control_outcome_users=(per_user[3] > 0).sum(0).astype(float),
    )
    return sums, counts


@dataclass(frozen=True)
class _ScanTable:
    """The sums of one horizon, read out pair by pair."""

    sums: ScanSums
    base: BaseRates
    source: TrialSource
    family: Family
    horizon: str

    @cached_property
    def _columns(self) -> tuple[dict[Behavior, int], dict[Behavior, int]]:
        """Where every treatment and every outcome stands in the sums."""
        behaviors = self.source.heads.index.behaviors
        outcomes = {behaviors[i]: a for a, i in enumerate(self.source.outcomes)}
        return {b: i for i, b in enumerate(behaviors)}, outcomes

    def effect(self, pair: tuple[Behavior, Behavior], config: Config) -> Effect:
        """Return the scanned effect of one pair."""
        treatment, outcome = pair
        treatments, outcomes = self._columns
        for behavior, known in ((treatment, treatments), (outcome, outcomes)):
            if behavior not in known:
                n_events, n_users = self.family.n_events[behavior], self.family.n_users[behavior]
                why = too_rare(behavior, n_events, n_users) or f"{behavior} is not modeled."
                return refused(treatment, outcome, self.horizon, why)
        if contains(outcome, treatment) and treatment != outcome:
            return refused(treatment, outcome, self.horizon, f"Every {treatment} is itself a {outcome}.")
        b, a = treatments[treatment], outcomes[outcome]
        if treatment == outcome:
            return self._computed(pair, (b, a), (self.sums.diagonal, self.sums.diagonal_counts, (a, 0)), config)
        return self._computed(pair, (b, a), (self.sums.pairs, self.sums.counts, (b, a)), config)

    def _computed(
        self,
        pair: tuple[Behavior, Behavior],
        columns: tuple[int, int],
        where: tuple[PairSums, PairCounts, tuple[int, int]],
        config: Config,
    ) -> Effect:
        pairs, counts, at = where
        n, treated = int(counts.trials[at]), int(counts.treated[at])
        grounds = Grounds(
            n_treated=treated,
            treated_outcome_users=int(counts.treated_outcome_users[at]),
            control_outcome_users=int(counts.control_outcome_users[at]),
            # Not a number where nothing varies: no user carries any information.
            effective_users=float(np.nan_to_num(pairs.effective_users[at])),
        ).compared(n, float(pairs.D[at]), same_as=self.base.same_as.get(pair[0]))
        effect = Effect(
            treatment=str(pair[0]),
            outcome=str(pair[1]),
            horizon=self.horizon,
            design="step",
            n_trials=n,
            n_treated=treated,
            n_users=int(pairs.users[at]),
            method="scan",
            naive=Naive.of_counts(n=n, treated=treated, outcome=int(counts.outcomes[at]), joint=int(counts.joint[at])),
            effect=Estimate.of("ato", float(pairs.estimate[at]), float(pairs.std_error[at])),
            checks=self._checks(*columns, grounds.effective_users),
            funnel=is_funnel(*pair),
            meaning=meaning(*pair, self.horizon),
        )
        return judge_scan(effect, grounds, config.causal)

    def _checks(self, b: int, a: int, effective_users: float) -> dict[str, dict[str, float]]:
        rates = {"e": float(self.base.e[b]), "m": float(self.base.m[a])}
        nuisance = {}
        for kind, column in (("e", b), ("m", a)):
            nuisance[f"{kind}_base_rate"] = rates[kind]
            nuisance[f"{kind}_log_loss_base"] = _entropy(rates[kind])
            nuisance[f"{kind}_log_loss_counts"] = float(self.sums.losses[f"{kind}_counts"][column])
            nuisance[f"{kind}_log_loss_model"] = float(self.sums.losses[f"{kind}_model"][column])
        low, high = self.sums.range_e
        overlap = {"ess": effective_users, "min_e": float(low[b]), "max_e": float(high[b])}
        return {"nuisance": nuisance, "overlap": overlap}


def _entropy(p: float) -> float:
    """Return the log-loss of always predicting the base rate, nats."""
    return float(entr(p) + entr(1 - p))


def meaning(treatment: Behavior, outcome: Behavior, horizon: str) -> str:
    """Return what the contrast means, in words."""
    further = "a further " if treatment == outcome else ""
    return (
        f"{treatment} now instead of this user's usual alternatives, everything after as it goes: "
        f"change in the chance of {further}{outcome} within {horizon}"
    )


def _with_q_values(effects: list[Effect], config: Config) -> list[Effect]:
    """Give every computed effect its q-values over the whole family, and judge again with them."""
    p = np.array([e.effect.p_value if e.effect.p_value is not None else np.nan for e in effects])
    bh, by = q_values(p)
    found = []
    for effect, q, q_by in zip(effects, bh, by, strict=True):
        if np.isnan(q):
            found.append(effect)
            continue
        estimate = replace(effect.effect, q_value=float(q), q_value_by=float(q_by))
        found.append(judge_scan(replace(effect, effect=estimate), None, config.causal))
    return found
