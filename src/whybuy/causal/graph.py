"""The graph of one horizon: behaviors, the confirmed effects between them, and what may run through a third behavior.

An arrow goes from a decision to what follows it, so time gives its direction and cycles are no contradiction. It is
the *whole* effect of the treatment within the horizon, whatever it runs through. No arrow means nothing by itself: the
pair may be "none", "cannot tell", or not asked.

**Indirect paths.** For b -> c -> a the stored effects are alpha (b on c), beta (c on a) and tau (b on a). The product
alpha beta is the part of tau that runs through c, and tau - alpha beta the rest, only if

1. both arms are unconfounded given the logged history (beta is: its covariates hold everything before c, b included);
2. beta does not differ between the decisions that b brings about and all others, nor with b itself (no interaction);
3. what c does to a falls into what is left of b's horizon, and b changes whether c happens, not how often.

None can be tested from the stored numbers, so the rest is conservative. The estimates share users and their covariance
is not stored; the delta method's standard error of the product is bounded over every possible correlation,
``|beta| se(alpha) + |alpha| se(beta)``, which also implies the joint significance of both arms. A path is ``indirect``
only where the product is significant in the family of all paths and the whole 95% interval of the direct effect lies
inside plus or minus ``smallest_effect``; else it is a possible path, and says what is missing.

Source: Sobel (Sociological Methodology, 1982) for the delta method; MacKinnon and others (Psychological
Methods, 2002) for joint significance; Glynn (American Journal of Political Science, 2012) for when products mislead;
Imai, Keele and Yamamoto (Statistical Science, 2010) for sequential ignorability.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from whybuy.causal.effects import Effect, Estimate, Verdict
from whybuy.causal.verdict import FATAL, Q_LIMIT, q_values
from whybuy.errors import QuestionError
from whybuy.events.behaviors import contains, parse_behavior

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PathKind = Literal["indirect", "possible"]
FOUND: tuple[Verdict, ...] = ("strong", "suggestive")
_LAYERS = (("search",), ("impression", "click", "view"), ("favorite", "cart", "remove"), ("purchase",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A behavior with its naive rates.

    Attributes
    ----------
    layer : where it stands on the way to a purchase: search 0, view 1, favorite, cart and remove 2, purchase 3, later 4
    p_decision : share of decisions that are it; None where it was no treatment
    p_follows : share of decisions that it follows within the horizon; None where it was no outcome
    """

    behavior: str
    layer: int
    p_decision: float | None
    p_follows: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A confirmed effect that is strong or suggestive: from the decision to what follows it.

    Attributes
    ----------
    effect : outcomes per decision within the horizon
    funnel : the treatment is a stage on the way to the outcome
    """

    treatment: str
    outcome: str
    effect: Estimate
    verdict: Verdict
    funnel: bool

    @property
    def size(self) -> float:
        """The estimate, which every edge has."""
        return self.effect.estimate or 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """An effect that runs, or may run, through a third behavior.

    Attributes
    ----------
    indirect : alpha beta; direct : tau - alpha beta; total : tau. Outcomes per decision within the horizon
    verdict : of the weaker arm
    funnel : an arm is a stage on the way
    missing : what keeps a possible path from being indirect, in words
    """

    treatment: str
    mediator: str
    outcome: str
    kind: PathKind
    indirect: Estimate
    direct: Estimate
    total: Estimate
    verdict: Verdict
    funnel: bool
    missing: tuple[str, ...]

    def summary(self) -> str:
        """Return the path in one sentence."""
        what = "runs through it" if self.kind == "indirect" else "may run through it"
        return (
            f"{self.treatment} -> {self.mediator} -> {self.outcome}: {_in_hundred(self.indirect)} {what}, "
            f"{_in_hundred(self.direct)} beside it. {' '.join(self.missing)}".rstrip()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectGraph:
    """The confirmed effects of one horizon as a graph.

    Attributes
    ----------
    nodes : behaviors with at least one edge, by layer and name
    edges : strong before suggestive, the largest first
    paths : indirect before possible, the largest first
    n_confirmed, n_none, n_untold : confirmed pairs; those with no effect worth acting on; those that cannot be told
    """

    horizon: str
    smallest_effect: float
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    paths: tuple[Path, ...]
    n_confirmed: int
    n_none: int
    n_untold: int

    def to_frame(self) -> pd.DataFrame:
        """Return one row per edge: names and numbers, nothing worded."""
        numbers = ("estimate", "std_error", "ci_low", "ci_high", "q_value")
        rows = [
            {
                "treatment": e.treatment,
                "outcome": e.outcome,
                "horizon": self.horizon,
                **{name: getattr(e.effect, name) for name in numbers},
                "verdict": e.verdict,
                "funnel": e.funnel,
            }
            for e in self.edges
        ]
        return pd.DataFrame(rows, columns=["treatment", "outcome", "horizon", *numbers, "verdict", "funnel"])

    def paths_frame(self) -> pd.DataFrame:
        """Return one row per path: names and numbers, nothing worded."""
        names = ("treatment", "mediator", "outcome", "kind", "verdict", "funnel")
        parts = ("indirect", "direct", "total")
        ends = {"": "estimate", "_low": "ci_low", "_high": "ci_high"}
        rows = [
            {name: getattr(p, name) for name in names}
            | {part + end: getattr(getattr(p, part), field) for part in parts for end, field in ends.items()}
            for p in self.paths
        ]
        return pd.DataFrame(rows, columns=[*names, *(part + end for part in parts for end in ends)])

    def summary(self) -> str:
        """Return what the graph says in a few sentences."""
        n_indirect = sum(p.kind == "indirect" for p in self.paths)
        n_funnel = sum(e.funnel for e in self.edges)
        return (
            f"Of {self.n_confirmed} confirmed pairs within {self.horizon}, {len(self.edges)} have an effect "
            f"({n_funnel} of them are stages on the way), {self.n_none} have none worth acting on and {self.n_untold} "
            f"cannot be told. Paths through a third behavior: {n_indirect} indirect, "
            f"{len(self.paths) - n_indirect} possible."
        )

    def plot(self) -> "Figure":
        """Return a Plotly figure: layers from search to purchase, width by size, color by sign, dots where suggestive.

        The 40 surest edges are drawn.
        """
        from whybuy.causal.drawing import draw

        return draw(self)


def effect_graph(effects: Iterable[Effect], *, horizon: str, smallest_effect: float) -> EffectGraph:
    """Return the graph of the confirmed effects of ``horizon``.

    Parameters
    ----------
    effects : as the confirmation wrote them; other horizons and pairs that were only scanned are left out
    smallest_effect : a direct effect inside plus or minus this many outcomes per decision counts as none

    Raises
    ------
    QuestionError
        No effect of the horizon was confirmed.
    """
    confirmed = {(e.treatment, e.outcome): e for e in effects if e.method == "confirmed" and e.horizon == horizon}
    if not confirmed:
        raise QuestionError.of(
            found=f"No effect within {horizon} was confirmed",
            needed="confirmed effects: a graph is not drawn from a scan",
            do="Run `whybuy run`, or name pairs under `confirm` in [causal] of whybuy.toml",
        )
    edges = [_edge(e) for e in confirmed.values() if e.verdict in FOUND]
    edges.sort(key=lambda e: (FOUND.index(e.verdict), -abs(e.size), e.treatment, e.outcome))
    names = {name for e in edges for name in (e.treatment, e.outcome)}
    nodes = sorted((_node(name, confirmed.values()) for name in names), key=lambda n: (n.layer, n.behavior))
    verdicts = [e.verdict for e in confirmed.values()]
    return EffectGraph(
        horizon=horizon,
        smallest_effect=smallest_effect,
        nodes=tuple(nodes),
        edges=tuple(edges),
        paths=tuple(_paths(confirmed, smallest_effect)),
        n_confirmed=len(confirmed),
        n_none=verdicts.count("none"),
        n_untold=verdicts.count("cannot_tell"),
    )


def main_horizon(effects: Iterable[Effect]) -> str | None:
    """Return the horizon with most confirmed pairs, the first of several; None where none was confirmed."""
    counted = Counter(e.horizon for e in effects if e.method == "confirmed")
    return max(counted, key=lambda horizon: counted[horizon], default=None)


def product(alpha: Estimate, beta: Estimate) -> Estimate:
    """Return alpha beta with the largest standard error that any correlation of the two allows.

    The delta method's variance is beta^2 var(alpha) + alpha^2 var(beta) + 2 alpha beta cov(alpha, beta), at most
    (|beta| se(alpha) + |alpha| se(beta))^2 by Cauchy and Schwarz. Its z is 1 / (1 / z_alpha + 1 / z_beta), below both.

    Source: Sobel (Sociological Methodology, 1982), the first-order variance of an indirect effect.
    """
    a, b = _known(alpha.estimate), _known(beta.estimate)
    se_a, se_b = _known(alpha.std_error), _known(beta.std_error)
    return Estimate.of("indirect", a * b, abs(b) * se_a + abs(a) * se_b)


def rest(total: Estimate, indirect: Estimate) -> Estimate:
    """Return total - indirect with the largest standard error that any correlation of the two allows."""
    estimate = _known(total.estimate) - _known(indirect.estimate)
    return Estimate.of("direct", estimate, _known(total.std_error) + _known(indirect.std_error))


def _edge(effect: Effect) -> Edge:
    return Edge(
        treatment=effect.treatment,
        outcome=effect.outcome,
        effect=effect.effect,
        verdict=effect.verdict,
        funnel=effect.funnel,
    )


def _node(behavior: str, effects: Iterable[Effect]) -> Node:
    """Return the node; its rates are those of the question with most decisions."""
    by_size = sorted(effects, key=lambda e: -e.n_trials)
    as_treatment = next((e.naive.p_treatment for e in by_size if e.treatment == behavior), None)
    as_outcome = next((e.naive.p_outcome for e in by_size if e.outcome == behavior), None)
    action = behavior.partition(":")[0]
    layer = next((i for i, actions in enumerate(_LAYERS) if action in actions), len(_LAYERS))
    return Node(behavior=behavior, layer=layer, p_decision=as_treatment, p_follows=as_outcome)


def _paths(effects: Mapping[tuple[str, str], Effect], smallest_effect: float) -> list[Path]:
    """Return the paths whose arms are both found; q-values are over every product that could be computed."""
    follows: dict[str, list[str]] = {}
    for c, a in effects:
        follows.setdefault(c, []).append(a)
    triples = [(b, c, a) for b, c in effects for a in follows.get(c, ()) if _is_chain(b, c, a)]
    products = [product(effects[b, c].effect, effects[c, a].effect) for b, c, a in triples]
    q, _ = q_values(np.array([_known(x.p_value) for x in products]))
    found = []
    for (b, c, a), indirect, q_value in zip(triples, products, q, strict=True):
        arms = effects[b, c], effects[c, a]
        if all(e.verdict in FOUND for e in arms):
            known = replace(indirect, q_value=float(q_value))
            found.append(_path(arms, known, effects.get((b, a)), smallest_effect))
    return sorted(found, key=lambda x: (x.kind != "indirect", -abs(_known(x.indirect.estimate)), str(x)))


def _is_chain(b: str, c: str, a: str) -> bool:
    """Return whether no event can be two of the three at once: else one step is counted as two."""
    three = [parse_behavior(name) for name in (b, c, a)]
    return not any(contains(x, y) for x, y in permutations(three, 2))


def _path(arms: tuple[Effect, Effect], indirect: Estimate, total: Effect | None, smallest_effect: float) -> Path:
    direct = Estimate(estimand="direct") if total is None else rest(total.effect, indirect)
    missing = []
    if _known(indirect.q_value) >= Q_LIMIT:
        missing.append("The product of the two effects cannot be told from none.")
    if total is None:
        missing.append("The whole effect was not confirmed.")
    elif any(reason.startswith(FATAL) for reason in total.reasons) or direct.estimate is None:
        missing.append("The whole effect has no answer that can be trusted.")
    elif not (-smallest_effect < _known(direct.ci_low) and _known(direct.ci_high) < smallest_effect):
        missing.append(f"The direct effect is not known to lie within {100 * smallest_effect:g} in 100.")
    return Path(
        treatment=arms[0].treatment,
        mediator=arms[0].outcome,
        outcome=arms[1].outcome,
        kind="possible" if missing else "indirect",
        indirect=indirect,
        direct=direct,
        total=Estimate(estimand="total") if total is None else replace(total.effect, estimand="total"),
        verdict=max((e.verdict for e in arms), key=FOUND.index),
        funnel=any(e.funnel for e in arms),
        missing=tuple(missing),
    )


def _known(value: float | None) -> float:
    """Return the number, NaN where there is none."""
    return math.nan if value is None else value


def _in_hundred(estimate: Estimate) -> str:
    """Return ``+1.2 in 100 [+0.8, +1.6]``."""
    if estimate.estimate is None:
        return "an unknown amount"
    ends = f"[{100 * _known(estimate.ci_low):+.2f}, {100 * _known(estimate.ci_high):+.2f}]"
    return f"{100 * estimate.estimate:+.2f} in 100 {ends}"
