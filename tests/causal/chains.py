"""Simulated chains b -> c -> a whose direct effect is known, judged with their true nuisances.

A logged taste x moves all three, so that plain differences mislead. Per user: b now, then c, then a::

    P(b | x) = .2 + .2 x      P(c | x, b) = .1 + .1 x + alpha b      P(a | x, b, c) = .05 + .1 x + beta c + direct b
"""

import numpy as np

from whybuy.causal.checks import PairData
from whybuy.causal.confirm import clustered_ato
from whybuy.causal.effects import Effect, Estimate, Naive
from whybuy.causal.verdict import Grounds, judge_confirmed
from whybuy.config import CausalConfig
from whybuy.events.behaviors import is_funnel, parse_behavior

NAMES = ("search:boots", "view:bags", "purchase:shoes")
ALPHA, BETA = 0.3, 0.2


def chain(seed: int, *, beta: float = BETA, direct: float = 0.0, n: int = 200_000) -> list[Effect]:
    """Return the three confirmed effects of b on c, c on a and b on a."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, n)
    e_b = 0.2 + 0.2 * x
    b = (rng.random(n) < e_b).astype(float)
    e_c = 0.1 + 0.1 * x + ALPHA * b
    c = (rng.random(n) < e_c).astype(float)
    before_c = 0.05 + 0.1 * x + direct * b
    a = (rng.random(n) < before_c + beta * c).astype(float)
    m_c = 0.1 + 0.1 * x + ALPHA * e_b
    m_a = 0.05 + 0.1 * x + direct * e_b + beta * m_c
    return [
        confirmed(NAMES[0], NAMES[1], PairData(b, c, e_b, m_c, np.arange(n))),
        confirmed(NAMES[1], NAMES[2], PairData(c, a, e_c, before_c + beta * e_c, np.arange(n))),
        confirmed(NAMES[0], NAMES[2], PairData(b, a, e_b, m_a, np.arange(n))),
    ]


def confirmed(treatment: str, outcome: str, data: PairData) -> Effect:
    """Judge one pair by the rule, every check passed."""
    estimate, std_error, _ = clustered_ato(data)
    counts = {"treated": data.T.sum(), "outcome": data.Y.sum(), "joint": data.T @ data.Y}
    found = Naive.of_counts(n=len(data.T), **{name: int(n) for name, n in counts.items()})
    return judged(treatment, outcome, Estimate.of("ato", estimate, std_error), naive=found)


def judged(treatment: str, outcome: str, estimate: Estimate, *, naive=None, failed=()) -> Effect:
    """Return a confirmed effect with the verdict that the rule gives it."""
    nothing = Naive.of_counts(n=0, treated=0, outcome=0, joint=0)
    effect = Effect(
        treatment=treatment,
        outcome=outcome,
        horizon="7d",
        design="step",
        n_trials=1000,
        n_treated=300,
        n_users=1000,
        method="confirmed",
        naive=naive or nothing,
        effect=estimate,
        funnel=is_funnel(parse_behavior(treatment), parse_behavior(outcome)),
    )
    return judge_confirmed(effect, Grounds(300, 100, 100, 500.0), list(failed), CausalConfig())
