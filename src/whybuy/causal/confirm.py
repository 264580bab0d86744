"""Confirmation: the pairs that matter, again, with flexible nuisances and every check.

Behaviors are picked, not pairs: the nuisance of a behavior serves all its questions, so every pair among the picked
treatments and outcomes is confirmed at B + A fits. Same estimand and score as the scan; the interval ``selected_*`` is
adjusted for the picking (false coverage rate).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from whybuy.causal import average
from whybuy.causal import checks as check
from whybuy.causal.checks.trial_checks import TrialChecks, with_controls
from whybuy.causal.clusters import clustered_ratio
from whybuy.causal.effects import Effect, Estimate, Naive
from whybuy.causal.grounds import Grounds
from whybuy.causal.learners import OUTCOME, PROPENSITY, BoostingPlan, CrossFitter, Floats
from whybuy.causal.neighbors import Neighbors
from whybuy.causal.residuals import Float64, Ints
from whybuy.causal.rlearner import modifiers, r_learner
from whybuy.causal.scan import meaning, read_effects, write_effects
from whybuy.causal.study import Study
from whybuy.causal.together import Together
from whybuy.causal.trials import Columns, TrialSource
from whybuy.causal.verdict import judge_confirmed, q_values
from whybuy.config import CausalConfig, Config
from whybuy.errors import QuestionError
from whybuy.events.behaviors import Behavior, is_funnel, parse_behavior
from whybuy.progress import Report, quiet

_MAX_LOGITS = 120
_CLIP_E = (1e-3, 1 - 1e-3)


@dataclass(frozen=True)
class TrialTable:
    """The trials of a sample of users in memory; every array has n rows.

    Attributes
    ----------
    X : (n, d) float32 covariates
    user : ascending index of the user; fold : its subfold
    is_behavior, outcome : by behavior, 0 or 1
    start_e, start_m, start_any : by behavior, the model's own logits; absent where it has no head
    ts_ms : time of the decision
    past, recent : by behavior, its events in ``past_ms`` and in ``recent_ms`` before the decision, at most 255
    measured : (n, n_measures) what the source measured of every trial
    same_as : behaviors that happen at the same decisions as another one and no other, and which
    excess : by behavior, see :meth:`whybuy.causal.neighbors.Neighbors.excess`
    """

    X: npt.NDArray[np.float32]
    columns: Columns
    user: Ints
    fold: Ints
    is_behavior: dict[Behavior, npt.NDArray[np.uint8]]
    outcome: dict[Behavior, npt.NDArray[np.uint8]]
    start_e: dict[Behavior, npt.NDArray[np.float32]]
    start_m: dict[Behavior, npt.NDArray[np.float32]]
    start_any: dict[Behavior, npt.NDArray[np.float32]]
    ts_ms: Ints
    past: dict[Behavior, npt.NDArray[np.uint8]]
    recent: dict[Behavior, npt.NDArray[np.uint8]]
    past_ms: int
    recent_ms: int
    measured: Float64 = field(default_factory=lambda: np.empty((0, 0)))
    same_as: dict[Behavior, str] = field(default_factory=dict)
    excess: dict[Behavior, npt.NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of trials."""
        return len(self.X)

    @cached_property
    def logged(self) -> npt.NDArray[np.float32]:
        """(n, d_logged) the covariates computed from the log alone."""
        return np.ascontiguousarray(self.X[:, self.columns.logged])

    def tau(self, pair: tuple[Behavior, Behavior], keep: npt.NDArray[np.bool_], data: check.PairData) -> Float64:
        """Return the out-of-fold effects of the trials ``keep`` of a pair, which ``data`` is of."""
        Z = modifiers(self.X, self.columns, pair, data, keep)
        return r_learner(Z, data.RT, data.RY, self.fold[keep])


@dataclass(frozen=True)
class Nuisance:
    """Out-of-fold nuisances of the picked behaviors and outcomes; (n, ...) each.

    ``m`` is fitted among decisions that are not the outcome, ``m_any`` among all.
    """

    e: dict[Behavior, Float64]
    m: dict[Behavior, Float64]
    m_any: dict[Behavior, Float64]


def confirm_log(study: Study, folder: Path, *, report: Report = quiet) -> list[Effect]:
    """Confirm the picked pairs of every horizon and write all effects of the family to ``folder``."""
    effects = read_effects(study.heads / "effects.json")
    confirmed: dict[tuple[str, str, str], Effect] = {}
    for horizon in study.config.horizons:
        n_events = study.log.quality.rows_kept
        pairs = pick_pairs([e for e in effects if e.horizon == horizon], n_events, study.config.causal)
        if pairs:
            source = study.trials(study.twins(), horizon)
            for effect in confirm_pairs(pairs, source, horizon, study, report=report):
                confirmed[effect.treatment, effect.outcome, horizon] = effect
    scanned = {(e.treatment, e.outcome, e.horizon): e for e in effects}
    merged = [_with_scan(confirmed[key], effect) if key in confirmed else effect for key, effect in scanned.items()]
    merged = selection_adjusted(merged, study.config.causal)
    write_effects(merged, folder / "effects.json")
    return merged


def pick_pairs(effects: list[Effect], n_events: int, config: CausalConfig) -> list[tuple[Behavior, Behavior]]:
    """Return the pairs to confirm: the config's, then those among the behaviors of the clearest scanned pairs.

    Funnel pairs come last: they are kept out of headlines.
    """
    computed = {(e.treatment, e.outcome): e for e in effects if e.effect.estimate is not None}
    wanted = [(str(parse_behavior(b)), str(parse_behavior(a))) for b, a in config.confirm or []]
    limit = config.confirm_behaviors or _affordable(n_events)
    treatments = list(dict.fromkeys(b for b, a in wanted if (b, a) in computed))
    outcomes = list(dict.fromkeys(a for b, a in wanted if (b, a) in computed))
    ranked = sorted(
        (e for e in computed.values() if e.verdict in ("suggestive", "strong")),
        key=lambda e: (e.funnel, -abs((e.effect.estimate or 0) / (e.effect.std_error or 1))),
    )
    for effect in ranked:
        added_b = [] if effect.treatment in treatments else [effect.treatment]
        added_a = [] if effect.outcome in outcomes else [effect.outcome]
        if len(set(treatments) | set(outcomes) | set(added_b) | set(added_a)) <= limit:
            treatments += added_b
            outcomes += added_a
    pairs = [(b, a) for b in treatments for a in outcomes if (b, a) in computed]
    return [(parse_behavior(b), parse_behavior(a)) for b, a in pairs]


def _affordable(n_events: int) -> int:
    """How many behaviors get a flexible nuisance in a default run on 2 cores."""
    return 14 if n_events <= 400_000 else 10 if n_events <= 1_000_000 else 8


def confirm_pairs(
    pairs: list[tuple[Behavior, Behavior]],
    source: TrialSource,
    horizon: str,
    study: Study,
    *,
    report: Report = quiet,
) -> list[Effect]:
    """Return the confirmed effects of ``pairs``, all among the modeled behaviors."""
    config, log = study.config, study.log
    treatments = list(dict.fromkeys(b for b, _ in pairs))
    outcomes = list(dict.fromkeys(a for _, a in pairs))
    share = min(1.0, config.causal.max_trials / max(1, log.quality.n_moments))
    source, controls = with_controls(replace(source, position_below=share), config.causal)
    table = gather(source, [*treatments, *outcomes], outcomes, controls=controls, report=report)
    nuisance = fit_nuisance(table, pairs, seed=config.seed, report=report)
    judge = PairJudge(table, horizon, config)
    found = []
    for done, pair in enumerate(pairs):
        found.append(judge(pair, *pair_data(table, nuisance, pair)))
        report("confirm", done + 1, len(pairs))
    return found


def gather(
    source: TrialSource,
    behaviors: list[Behavior],
    outcomes: list[Behavior],
    *,
    controls: Sequence[Behavior] = (),
    report: Report = quiet,
) -> TrialTable:
    """Bring the trials of a sample of users into memory, with the columns that these behaviors need.

    ``controls`` are further outcomes, for the checks; they get no columns. What came before a decision is counted as
    far back as the horizon reaches ahead, or as every decision has observed history.
    """
    targeted, behaviors = list(dict.fromkeys(behaviors)), list(dict.fromkeys([*behaviors, *controls]))
    outcomes = list(dict.fromkeys([*outcomes, *controls]))
    index, extra = list(source.heads.index.behaviors), list(source.extra)
    names = index + extra
    modeled = [index[i] for i in source.outcomes]
    b_at = [names.index(b) for b in behaviors]
    a_at = [(modeled + extra).index(a) for a in outcomes]
    source = _looking_around(source, tuple(names.index(b) for b in targeted))
    B, A = len(index), len(modeled)
    parts: list[tuple[npt.NDArray[np.generic], ...]] = []
    columns, keep, n_users, together = Columns([], []), np.empty(0, np.int64), 0, Together(names)
    for done, block in enumerate(source.blocks()):
        report("trials", done + 1, done + 1)
        if len(block) == 0:
            continue
        if not columns.names:
            keep = useful_columns(block.columns, targeted)
            columns = Columns([block.columns.names[i] for i in keep], [block.columns.groups[i] for i in keep])
        _, user = np.unique(block.user, return_inverse=True)
        is_behavior = np.concatenate([block.is_behavior, block.extra_behavior], axis=1)
        together.add(is_behavior)
        outcome = np.concatenate([block.outcome, block.extra_outcome], axis=1)[:, a_at]
        what = (block.X[:, keep], user + n_users, block.subfold, is_behavior[:, b_at], outcome, block.logits)
        parts.append((*what, block.ts_ms, block.past[:, b_at], block.recent[:, b_at], block.measured, block.excess))
        n_users += int(user.max()) + 1
    if not parts:
        raise QuestionError.of(
            found="No decision is eligible",
            needed="decisions with lookback before and horizon after them, by the users asked for",
            do="Ask for more users, a shorter --horizon, or shorten `lookback` in whybuy.toml",
        )
    whole = (np.concatenate(p) for p in zip(*parts, strict=True))
    X, user, fold, is_b, outcome, logits, ts_ms, past, recent, measured, excess = whole
    return TrialTable(
        X=X,
        columns=columns,
        user=user,
        fold=fold,
        is_behavior={b: is_b[:, i] for i, b in enumerate(behaviors)},
        outcome={a: outcome[:, i] for i, a in enumerate(outcomes)},
        start_e={b: logits[:, index.index(b)] for b in behaviors if b in index},
        start_m={a: logits[:, B + modeled.index(a)] for a in outcomes if a in modeled},
        start_any={a: logits[:, B + A + modeled.index(a)] for a in outcomes if a in modeled},
        ts_ms=ts_ms,
        past={b: past[:, i] for i, b in enumerate(behaviors)},
        recent={b: recent[:, i] for i, b in enumerate(behaviors)},
        past_ms=source.past_ms,
        recent_ms=source.recent_ms,
        measured=measured,
        same_as=together.same_as(),
        excess={b: excess[:, i] for i, b in enumerate(targeted)},
    )


def _looking_around(source: TrialSource, behaviors: tuple[int, ...]) -> TrialSource:
    """Return the source that also counts what the user and others did before, of the columns ``behaviors``."""
    protocol = source.protocol
    neighbors = Neighbors.of(source.hits(), behaviors, source.store.vocabulary, (protocol.start_ms, protocol.end_ms))
    return replace(source, past_ms=min(protocol.horizon_ms, protocol.lookback_ms), neighbors=neighbors)


def useful_columns(columns: Columns, behaviors: list[Behavior]) -> Ints:
    """Return the columns for the flexible learners: all shared ones, counts that touch a picked target, all logits.

    A probability is its logit to a tree, so the probabilities are left out.
    """
    targets = {str(b).partition(":")[2] for b in behaviors} | {"*"}
    few = sum(name.startswith("logit") for name in columns.names) <= _MAX_LOGITS
    keep = []
    for i, (name, group) in enumerate(zip(columns.names, columns.groups, strict=True)):
        if group == "behavior":
            target = name.partition(" in ")[0].partition(":")[2]
            if target in targets:
                keep.append(i)
        elif group != "model" or (name.startswith("logit") and (few or name.partition(":")[2] in targets)):
            keep.append(i)
    return np.array(keep)


def fit_nuisance(
    table: TrialTable, pairs: list[tuple[Behavior, Behavior]], *, seed: int, report: Report = quiet
) -> Nuisance:
    """Fit e for every behavior and m for every outcome, out of fold."""
    # What the model says comes in through its heads; trees on logged history alone err in another way than they do.
    counts = CrossFitter(table.logged, table.fold, seed=seed)
    every = CrossFitter(table.X, table.fold, seed=seed) if _without_head(table, pairs) else counts
    outcomes = list(dict.fromkeys(a for _, a in pairs))
    # An outcome's own propensity only enters as 1 - e: the head's answer is close enough where it is no treatment.
    own = [a for a in outcomes if a in table.start_e]
    behaviors = list(dict.fromkeys([*(b for b, _ in pairs), *(a for a in outcomes if a not in own)]))
    again = [a for a in outcomes if (a, a) in pairs]
    n_fits, done = len(behaviors) + len(outcomes) + len(again), 0
    e = {a: expit(table.start_e[a].astype(float)) for a in own}
    m, m_any = {}, {}

    def fitted(
        y: npt.NDArray[np.uint8], plan: BoostingPlan, head: Floats | None, use: npt.NDArray[np.bool_] | None = None
    ) -> Float64:
        return (every if head is None else counts).predict(y, plan, head=head, use=use)

    def tick(what: str) -> None:
        nonlocal done
        done += 1
        report("nuisance", done, n_fits, what)

    for b in behaviors:
        e[b] = fitted(table.is_behavior[b], PROPENSITY, table.start_e.get(b))
        tick(f"e {b}")
    for a in outcomes:
        m[a] = fitted(table.outcome[a], OUTCOME, table.start_m.get(a), use=table.is_behavior[a] == 0)
        tick(f"m {a}")
    for a in again:
        m_any[a] = fitted(table.outcome[a], OUTCOME, table.start_any.get(a))
        tick(f"m {a} again")
    return Nuisance(e, m, m_any)


def _without_head(table: TrialTable, pairs: list[tuple[Behavior, Behavior]]) -> bool:
    """Return whether a treatment or outcome has no head of its own: its trees then read those of the others."""
    return any(b not in table.start_e or a not in table.start_m or a not in table.start_e for b, a in pairs)


def pair_data(
    table: TrialTable, nuisance: Nuisance, pair: tuple[Behavior, Behavior]
) -> tuple[npt.NDArray[np.bool_], check.PairData]:
    """Return the mask of a pair's trials and their data."""
    b, a = pair
    T, own, Y = (v.astype(float) for v in (table.is_behavior[b], table.is_behavior[a], table.outcome[a]))
    if b == a:
        keep = np.ones(len(T), bool)
        e, m = nuisance.e[b], nuisance.m_any[a]
    else:
        keep = own == 0
        shared = float((T * own).sum() / max(own.sum(), 1))
        e = (nuisance.e[b] - shared * nuisance.e[a]) / (1 - np.minimum(nuisance.e[a], 0.95))
        m = nuisance.m[a]
    return keep, restricted(table, keep, T, Y, e, m)


def restricted(
    table: TrialTable, keep: npt.NDArray[np.bool_], T: Float64, Y: Float64, e: Float64, m: Float64
) -> check.PairData:
    """Return the data of the trials ``keep``; propensities are kept within [.001, .999]."""
    return check.PairData(T, Y, np.clip(e, *_CLIP_E), m, table.user).rows(keep)


class PairJudge:
    """Judges the pairs of one trial table; what their checks share is computed once."""

    def __init__(self, table: TrialTable, horizon: str, config: Config, *, design: str = "step") -> None:
        logged = np.flatnonzero(table.columns.logged)
        self.table, self.horizon, self.config, self.design = table, horizon, config, design
        self.balance = check.Balance(table.logged, [table.columns.names[i] for i in logged])
        self.strength = check.LoggedStrength(table.logged, _covariate_groups(table.columns, logged))
        self.trial_checks = TrialChecks(table, config)
        self.rng = np.random.default_rng(config.seed)
        self._r2: dict[tuple[str, Behavior], dict[str, float]] = {}

    def _partial_r2(self, kind: str, behavior: Behavior) -> dict[str, float]:
        if (kind, behavior) not in self._r2:
            values = (self.table.is_behavior if kind == "treatment" else self.table.outcome)[behavior]
            self._r2[kind, behavior] = self.strength.partial_r2(values.astype(float))
        return self._r2[kind, behavior]

    def __call__(self, pair: tuple[Behavior, Behavior], keep: npt.NDArray[np.bool_], data: check.PairData) -> Effect:
        """Return the confirmed effect of one pair with its checks and verdict; q-values of a family come later."""
        estimate, se, effective = clustered_ato(data)
        grounds = Grounds.of(data.T, data.Y, data.user, effective)
        grounds = grounds.compared(len(data.T), float((data.RT**2).sum()), same_as=self.table.same_as.get(pair[0]))
        effect = self._described(pair, data, Estimate.of("ato", estimate, se))
        if grounds.missing() or effect.effect.estimate is None:
            effect = replace(effect, checks={"overlap": check.overlap(data)} if len(data.T) else {})
            return judge_confirmed(effect, grounds, [], self.config.causal)
        strongest = check.strongest_group(self._partial_r2("treatment", pair[0]), self._partial_r2("outcome", pair[1]))
        effect = replace(
            effect,
            also=(user_weighted_ato(data), *self._averages(pair, keep, data)),
            checks={
                "nuisance": check.nuisance(data),
                "overlap": check.overlap(data),
                "balance": self.balance(data, keep),
                "placebo": check.placebo(data, se, self.rng),
                "sensitivity": check.sensitivity(data, estimate, se, strongest),
                **self.trial_checks(pair, keep, data, estimate),
            },
        )
        return judge_confirmed(effect, grounds, check.failures(effect), self.config.causal)

    def _averages(
        self, pair: tuple[Behavior, Behavior], keep: npt.NDArray[np.bool_], data: check.PairData
    ) -> tuple[Estimate, ...]:
        """Return ATE and ATT, refused where too few decisions could have gone either way."""
        if not average.answerable(data):
            return average.REFUSED
        return average.averages(data, self.table.tau(pair, keep, data))

    def _described(self, pair: tuple[Behavior, Behavior], data: check.PairData, estimate: Estimate) -> Effect:
        b, a = pair
        counts = {"treated": data.T.sum(), "outcome": data.Y.sum(), "joint": (data.T * data.Y).sum()}
        return Effect(
            treatment=str(b),
            outcome=str(a),
            horizon=self.horizon,
            design=self.design,
            n_trials=len(data.T),
            n_treated=int(data.T.sum()),
            n_users=int(data.user.max(initial=-1)) + 1,
            method="confirmed",
            naive=Naive.of_counts(n=len(data.T), **{name: int(n) for name, n in counts.items()}),
            effect=estimate,
            also=(user_weighted_ato(data), *average.REFUSED) if len(data.T) else average.REFUSED,
            funnel=is_funnel(b, a),
            meaning=meaning(b, a, self.horizon),
        )


def clustered_ato(data: check.PairData) -> tuple[float, float, float]:
    """Return the ATO, its clustered standard error, and the effective number of users."""
    found = clustered_ratio(data.RT * data.RY, data.RT**2, data.user)
    return found.value, found.std_error, found.effective


def user_weighted_ato(data: check.PairData) -> Estimate:
    """Return the ATO in which every user counts once, however many decisions they make."""
    weight = 1 / np.bincount(data.user)[data.user]
    found = clustered_ratio(weight * data.RT * data.RY, weight * data.RT**2, data.user)
    return Estimate.of("ato_by_user", found.value, found.std_error)


def selection_adjusted(effects: list[Effect], config: CausalConfig) -> list[Effect]:
    """Return the effects with q-values over the whole family, confirmed ones also with FCR-adjusted intervals.

    Source: Benjamini and Yekutieli, False discovery rate-adjusted multiple confidence intervals (JASA, 2005),
    definition 1: of m pairs R are selected, each interval is built at level 1 - R q / m.
    """
    p = np.array([np.nan if e.effect.p_value is None else e.effect.p_value for e in effects])
    bh, by = q_values(p)
    n_family = int((~np.isnan(p)).sum())
    n_selected = sum(e.method == "confirmed" and e.effect.estimate is not None for e in effects)
    z = NormalDist().inv_cdf(1 - 0.025 * n_selected / n_family) if n_selected else 0.0
    return [_judged_again(e, float(q), float(q_by), z, config) for e, q, q_by in zip(effects, bh, by, strict=True)]


def _judged_again(effect: Effect, q: float, q_by: float, z: float, config: CausalConfig) -> Effect:
    e = effect.effect
    if e.estimate is None or e.std_error is None:
        return effect
    held = replace(e, q_value=q, q_value_by=q_by)
    if effect.method == "scan":
        return replace(effect, effect=held)
    half = z * e.std_error
    held = replace(held, selected_low=e.estimate - half, selected_high=e.estimate + half)
    grounds = Grounds(n_treated=effect.n_treated, **effect.checks["grounds"])
    return judge_confirmed(replace(effect, effect=held), grounds, check.failures(effect), config)


def _with_scan(confirmed: Effect, scanned: Effect) -> Effect:
    """Carry over what only the scan knows: the linear nuisances' losses with and without the model."""
    kept = scanned.checks.get("nuisance", {})
    nuisance = {**kept, **confirmed.checks.get("nuisance", {})}
    return replace(confirmed, checks={**confirmed.checks, "nuisance": nuisance})


def _covariate_groups(columns: Columns, logged: Ints) -> dict[str, list[int]]:
    """Return the logged covariates by what they are about: one behavior's counts, the clock, one attribute."""
    groups: dict[str, list[int]] = {}
    for place, i in enumerate(logged.tolist()):
        name, kind = columns.names[i], columns.groups[i]
        about = name.partition(" in ")[0].removeprefix("log hours since ").removeprefix("last event was ")
        if kind in ("clock", "attribute"):
            about = "clock" if kind == "clock" else name.partition(" = ")[0]
        groups.setdefault(about, []).append(place)
    return groups
