"""Looking every day: what fixed intervals do of it, and intervals that hold at all looks together."""

import math

import numpy as np
import pytest

from whybuy.campaign.peeking import NARROWEST_AT, always_valid
from whybuy.causal.effects import Estimate

LOOKS = np.arange(300, 6_001, 100)


def test_it_is_narrowest_where_it_was_meant_to_be():
    widths = {n: always_valid(Estimate.of("ate", 0.1, 1 / math.sqrt(n)), n).ci_high * math.sqrt(n) for n in LOOKS}
    per_error = {n: width - 0.1 * math.sqrt(n) for n, width in widths.items()}
    best = min(per_error.values())
    assert per_error[NARROWEST_AT] == pytest.approx(best, rel=0.002)
    assert best == pytest.approx(3.03, abs=0.02)


def test_its_p_value_is_the_level_at_which_zero_is_left_out():
    effect = Estimate.of("ate", 1.0, 1.0)
    border = always_valid(effect, 3_000).ci_high - 1.0
    at_border = always_valid(Estimate.of("ate", border, 1.0), 3_000)
    assert at_border.ci_low == pytest.approx(0, abs=1e-12)
    assert at_border.p_value == pytest.approx(0.05)


def test_nothing_stays_nothing():
    assert always_valid(Estimate(estimand="ate"), 100) == Estimate(estimand="ate_always_valid")


def false_alarms(seed: int, n_campaigns: int) -> tuple[float, float]:
    """Share of campaigns of no effect in which some look leaves zero out: of fixed and of always-valid intervals."""
    rng = np.random.default_rng(seed)
    treated, outcome = (rng.random((n_campaigns, LOOKS[-1])) < p for p in (0.5, 0.3))
    n1, y1 = np.cumsum(treated, axis=1)[:, LOOKS - 1], np.cumsum(outcome & treated, axis=1)[:, LOOKS - 1]
    n0, y0 = LOOKS - n1, np.cumsum(outcome & ~treated, axis=1)[:, LOOKS - 1]
    p1, p0 = y1 / n1, y0 / n0
    error = np.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)
    factor = np.array([always_valid(Estimate.of("ate", 0.0, 1.0), int(n)).ci_high for n in LOOKS])
    z = np.abs(p1 - p0) / error
    return float((z > 1.96).any(axis=1).mean()), float((z > factor).any(axis=1).mean())


def test_peeking_breaks_fixed_intervals_and_not_these():
    fixed, valid = false_alarms(seed=1, n_campaigns=400)
    assert fixed > 0.2
    assert valid <= 0.05


@pytest.mark.slow
def test_peeking_on_seeds_not_used_before():
    found = np.array([false_alarms(seed, 500) for seed in range(100, 110)])
    assert found[:, 0].mean() > 0.25
    assert found[:, 1].mean() <= 0.05
