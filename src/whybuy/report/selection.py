"""Which of all questions a report shows: everything is counted, a readable number is drawn.

Funnel pairs (the treatment is a precondition of the outcome) are kept apart from every count and headline. The order of
the list is the verdict's, then the end of the interval nearest to zero: what is certainly large comes before what is
perhaps large.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from whybuy.causal.effects import VERDICTS, Effect
from whybuy.causal.graph import EffectGraph, effect_graph, main_horizon
from whybuy.report.payload import (
    Disagreement,
    EffectsPart,
    Grid,
    Missing,
    NuisanceLoss,
    Pair,
    Truth,
    disagreement,
)
from whybuy.report.wording import shortened

TOP_PER_VERDICT = {"strong": 30, "suggestive": 20, "none": 10, "cannot_tell": 10}
MAX_COMPARED, MAX_FUNNEL, MAX_CLOUD = 24, 12, 1_200
MAX_GRID = (24, 12)
MAX_REASONS, MAX_REASON = 8, 320
MAX_BEHAVIOR = 300

Key = Callable[[Pair], Any]


def effects_part(
    raw_effects: list[dict[str, Any]], truths: Mapping[tuple[str, str], Truth], *, smallest_effect: float
) -> EffectsPart | Missing:
    """Return the counts of all questions and the ones to show.

    Parameters
    ----------
    raw_effects : the contract's JSON objects
    truths : the true effect of some (treatment, outcome), where the shop is simulated
    """
    if not raw_effects:
        return Missing("No question was asked: the log has no behavior that happens often enough.")
    pairs = [_pair(raw, truths, smallest_effect) for raw in raw_effects]
    asked = [p for p in pairs if not p.effect.funnel]
    verdicts: Counter[str] = Counter(p.effect.verdict for p in asked)
    kinds = Counter(p.disagreement for p in asked)
    ranked = sorted(asked, key=_rank)
    compared = _compared(ranked)
    return EffectsPart(
        n_pairs=len(pairs),
        n_funnel=len(pairs) - len(asked),
        n_confirmed=sum(p.effect.method == "confirmed" for p in pairs),
        smallest_effect=smallest_effect,
        horizons=tuple(dict.fromkeys(p.effect.horizon for p in pairs)),
        verdicts={verdict: verdicts[verdict] for verdict in VERDICTS},
        disagreements=dict(kinds),
        top=tuple(p for verdict, n in TOP_PER_VERDICT.items() for p in _of(ranked, verdict)[:n]),
        compared=tuple(sorted(compared, key=_estimate, reverse=True)),
        cloud=tuple(p for p in ranked if _drawable(p))[:MAX_CLOUD],
        funnel=tuple(p for p in sorted(pairs, key=_rank) if p.effect.funnel and _drawable(p))[:MAX_FUNNEL],
        grid=_grid(pairs),
        worst=max((p for p in asked if p.disagreement in _WRONG), key=_wrongness, default=None),
    )


def graph_part(raw_effects: list[dict[str, Any]], *, smallest_effect: float) -> EffectGraph | Missing:
    """Return the graph of the horizon with most confirmed pairs."""
    confirmed = [_pair(raw, {}, smallest_effect).effect for raw in raw_effects if raw["method"] == "confirmed"]
    horizon = main_horizon(confirmed)
    if horizon is None:
        return Missing("No effect was confirmed, and a graph is not drawn from a scan.")
    return effect_graph(confirmed, horizon=horizon, smallest_effect=smallest_effect)


def nuisance_losses(raw_effects: list[dict[str, Any]]) -> tuple[NuisanceLoss, ...]:
    """Return the losses of every treatment and every outcome once, in the order they were asked."""
    found: dict[tuple[str, str], NuisanceLoss] = {}
    for raw in raw_effects:
        losses = raw["checks"].get("nuisance") or {}
        for prefix, role in (("e", "treatment"), ("m", "outcome")):
            values: list[Any] = [losses.get(f"{prefix}_log_loss_{learner}") for learner in ("base", "counts", "model")]
            if None in values or values[0] <= 0 or (role, raw[role]) in found:
                continue
            found[role, raw[role]] = NuisanceLoss(
                behavior=raw[role][:MAX_BEHAVIOR],
                role=role,  # type: ignore[arg-type] # one of the two by construction
                base_rate=values[0],
                counts_alone=values[1],
                with_model=values[2],
            )
    return tuple(found.values())


def _pair(raw: dict[str, Any], truths: Mapping[tuple[str, str], Truth], smallest_effect: float) -> Pair:
    names = {role: raw[role][:MAX_BEHAVIOR] for role in ("treatment", "outcome")}
    words = {
        "reasons": [shortened(reason, MAX_REASON) for reason in raw["reasons"][:MAX_REASONS]],
        "meaning": shortened(raw.get("meaning", ""), 2 * MAX_REASON),
    }
    effect = Effect.from_json({"also": [], **raw, **names, **words})
    truth = truths.get((raw["treatment"], raw["outcome"]))
    return Pair(effect=effect, disagreement=disagreement(effect, smallest_effect=smallest_effect), truth=truth)


_WRONG: dict[Disagreement, int] = {"wrong_sign": 2, "nothing_there": 1}


def _wrongness(pair: Pair) -> tuple[int, float]:
    return _WRONG[pair.disagreement], abs((pair.effect.naive.difference or 0) - (pair.effect.effect.estimate or 0))


def _rank(pair: Pair) -> tuple[int, float, int]:
    """Verdict first, then the end of the interval nearest to zero, then how often the treatment happens."""
    e = pair.effect.effect
    certain = -1.0 if e.ci_low is None or e.ci_high is None else max(e.ci_low, -e.ci_high)
    return VERDICTS.index(pair.effect.verdict), -certain, -pair.effect.n_treated


def _drawable(pair: Pair) -> bool:
    e = pair.effect.effect
    return None not in (pair.effect.naive.difference, e.estimate, e.ci_low, e.ci_high)


def _estimate(pair: Pair) -> float:
    estimate = pair.effect.effect.estimate
    return float("-inf") if estimate is None else estimate


def _of(pairs: Iterable[Pair], verdict: str) -> list[Pair]:
    return [p for p in pairs if p.effect.verdict == verdict]


def _compared(ranked: list[Pair]) -> list[Pair]:
    """Return every pair whose truth is known, filled up with wrong signs, then mirages, then the surest effects."""
    drawable = [p for p in ranked if _drawable(p)]
    chosen = [p for p in drawable if p.truth][: 2 * MAX_COMPARED]
    wrong = sorted((p for p in drawable if p.disagreement in _WRONG), key=_wrongness, reverse=True)
    signs = [p for p in wrong if p.disagreement == "wrong_sign"][:8]
    mirages = [p for p in wrong if p.disagreement == "nothing_there"][:6]
    for pair in (*signs, *mirages, *drawable):
        if len(chosen) >= MAX_COMPARED:
            break
        if all(pair is not other for other in chosen):
            chosen.append(pair)
    return chosen


def _grid(pairs: list[Pair]) -> Grid:
    """Return the treatments and outcomes with most to say at the horizon asked most, in the order of their names."""
    horizon = Counter(p.effect.horizon for p in pairs).most_common(1)[0][0]
    here = {(p.effect.treatment, p.effect.outcome): p for p in pairs if p.effect.horizon == horizon}
    weight = {"strong": 100, "suggestive": 10, "none": 1, "cannot_tell": 0}
    says: dict[int, Counter[str]] = {0: Counter(), 1: Counter()}
    for names, pair in here.items():
        for side in (0, 1):
            # What stands for any target is always shown: it is what a reader looks for first.
            anything = 10**6 if names[side].endswith(":*") else 0
            says[side][names[side]] += weight[pair.effect.verdict] + anything
    kept = [sorted(name for name, _ in says[side].most_common(MAX_GRID[side])) for side in (0, 1)]
    return Grid(
        horizon=horizon,
        treatments=tuple(kept[0]),
        outcomes=tuple(kept[1]),
        cells=tuple(tuple(here.get((b, a)) for a in kept[1]) for b in kept[0]),
        n_treatments=len(says[0]),
        n_outcomes=len(says[1]),
    )
