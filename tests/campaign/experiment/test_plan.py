import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower, TTestIndPower

from tests.campaign.experiment.people import draw
from whybuy.campaign.experiment.power import Comparison, Outcome, power_of, smallest_effect, units_needed
from whybuy.errors import ArraysError
from whybuy.estimators import Wanted, adjusted_difference, plan_experiment

EVEN = Comparison(0.5, 0.5)
GAUSS = Outcome(0.4, 0.04, "shift")


@pytest.mark.parametrize("n", [40, 200, 2000])
def test_power_equals_statsmodels(n):
    ours = power_of(EVEN, GAUSS, n, 0.04)
    if n < 500:
        assert ours == pytest.approx(TTestIndPower().power(0.2, n / 2, 0.05), abs=1e-6)
    else:
        assert ours == pytest.approx(NormalIndPower().power(0.2, n / 2, 0.05), abs=1e-4)


def test_size_equals_statsmodels():
    peer = NormalIndPower().solve_power(0.1, power=0.8, alpha=0.05, ratio=1)
    assert units_needed(EVEN, GAUSS, 0.02, power=0.8) == pytest.approx(2 * peer, abs=3)


def test_size_and_smallest_effect_are_inverse():
    for outcome in (GAUSS, Outcome(0.1, 0.09, "share"), Outcome(5.0, 100.0, "factor")):
        n = units_needed(EVEN, outcome, 0.05 * outcome.mean, power=0.9, left=0.7)
        assert smallest_effect(EVEN, outcome, n, power=0.9, left=0.7) == pytest.approx(0.05 * outcome.mean, rel=1e-3)


def test_more_people_less_noise_and_one_look_see_more():
    n = 1000
    assert power_of(EVEN, GAUSS, 2 * n, 0.03) > power_of(EVEN, GAUSS, n, 0.03)
    assert power_of(EVEN, GAUSS, n, 0.03, left=0.5) > power_of(EVEN, GAUSS, n, 0.03)
    assert power_of(Comparison(0.5, 0.5, peek=True), GAUSS, n, 0.03) < power_of(EVEN, GAUSS, n, 0.03)
    assert power_of(Comparison(0.1, 0.9), GAUSS, n, 0.03) < power_of(EVEN, GAUSS, n, 0.03)
    assert power_of(EVEN, GAUSS, n, -0.03) == power_of(EVEN, GAUSS, n, 0.03)


def test_planned_power_is_realized():
    """The plan reads its figures off people without treatment; new people are treated and analyzed."""
    before = draw(100, n=4000)
    plan = plan_experiment(before.Y, Wanted(effect=0.08, simulations=300), covariates=before.Z)
    seen = 0
    for seed in range(200, 500):
        p = draw(seed, n=plan.n_units, effect=0.08)
        seen += adjusted_difference(p.Y, p.T, covariates=p.Z).adjusted.p_value < 0.05
    error = np.sqrt(0.8 * 0.2 / 300)
    assert abs(seen / 300 - 0.8) < 3 * error
    counted = plan.power_simulated
    assert abs(counted.power - 0.8) < 3 * counted.error
    assert plan.n_needed < plan.n_needed_plain


def test_a_plan_without_covariates_needs_more_than_it_says_with():
    """The twin that must miss: the size that covariates allow is too small for the plain difference."""
    before = draw(101, n=4000, kind="amount")
    Z = np.column_stack([before.Y + np.random.default_rng(0).normal(size=4000), before.Z])
    plan = plan_experiment(before.Y, Wanted(effect=0.3, simulations=100), covariates=Z)
    counted = Outcome(plan.baseline, plan.std_dev**2, "factor")
    assert power_of(EVEN, counted, plan.n_units, 0.3) < 0.7


@pytest.mark.parametrize("n_groups", [0, 60])
def test_with_no_effect_the_simulation_sees_one_in_5_percent(n_groups):
    before = draw(102, n=3000, n_groups=n_groups)
    clusters = before.group if n_groups else None
    plan = plan_experiment(before.Y, Wanted(simulations=400), covariates=before.Z[:, :1], clusters=clusters)
    null = plan.simulated[0]
    assert null.effect == 0
    assert abs(null.power - 0.05) < 3 * null.error
    assert abs(plan.power_simulated.power - 0.8) < 3 * plan.power_simulated.error + 0.02


def test_groups_cost_more_than_people():
    before = draw(103, n=6000, n_groups=60)
    plan = plan_experiment(before.Y, Wanted(simulations=100), clusters=before.group)
    assert plan.design_effect > 2
    assert "Assigned in groups" in plan.summary()
    assert plan.smallest > plan_experiment(before.Y, Wanted(simulations=100)).smallest


def test_several_arms_and_peeking_need_more():
    y = draw(104, n=3000).Y
    two = plan_experiment(y, Wanted(effect=0.05, simulations=100)).n_units
    three = plan_experiment(y, Wanted(shares=(0.4, 0.3, 0.3), effect=0.05, simulations=100)).n_units
    peek = plan_experiment(y, Wanted(effect=0.05, peek=True, simulations=100))
    assert two < three
    assert two < peek.n_units
    assert "hold at every look" in peek.summary()


def test_days_and_words():
    y = draw(105, n=3000).Y
    arriving = np.arange(1, 31) * 200
    plan = plan_experiment(y, Wanted(effect=0.05, simulations=100), arriving=arriving)
    assert 200 * (plan.days_needed - 7) < plan.n_units <= 200 * plan.days_needed
    assert plan.decision().startswith(f"Run it with {plan.n_units:,} units (there by day {plan.days_needed})")
    assert plan.days_frame().smallest.is_monotonic_decreasing
    small = plan_experiment(y, Wanted(effect=0.02, simulations=100), arriving=arriving)
    assert small.decision().startswith("Not as it is")
    assert len(plan.plot().data) == 5
    assert plan.to_json()["decision"] == plan.decision()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"shares": (0.5, 0.4)}, "sum to 0.9.*Correct them"),
        ({"shares": (1.0,)}, "1 arm was named"),
        ({"power": 0.3}, r"A power of 0.3"),
        ({"effect": 0.0}, "An effect of 0"),
        ({"simulations": 5}, "at least 100"),
        ({"effect": 0.9}, r"would make it 1\.\d+.*a share between 0 and 1"),
        ({"n_units": 20}, "20 units leave 10.0 in the smallest arm"),
        ({"shares": (0.999, 0.001)}, "leave 3.0 in the smallest arm"),
    ],
)
def test_what_cannot_be_planned(wanted, message):
    with pytest.raises(ArraysError, match=f"(?s){message}"):
        plan_experiment(draw(106, n=3000).Y, Wanted(**wanted))


def test_outcomes_that_cannot_be_planned_for():
    with pytest.raises(ArraysError, match=r"same for all 50 units.*commoner outcome"):
        plan_experiment(np.zeros(50), Wanted())
    with pytest.raises(ArraysError, match="missing or not finite"):
        plan_experiment(np.r_[np.nan, np.arange(50.0)], Wanted())
    p = draw(107, n=3000, n_groups=40)
    with pytest.raises(ArraysError, match=r"There are 40 units, and an effect of 0.01 needs .*Run it longer"):
        plan_experiment(p.Y, Wanted(effect=0.01), clusters=p.group)
