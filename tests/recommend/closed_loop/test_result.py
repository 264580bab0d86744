"""Seeds put together, by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from whybuy.errors import PolicyError
from whybuy.recommend.closed_loop import ALL_KNOWING, BY_LIFT, BY_P_BUY, LOGGING, POLICIES, POPULAR, ClosedLoop

PER_DAY = {LOGGING: 1.0, POPULAR: 1.0, BY_P_BUY: 1.5, BY_LIFT: 2.0, ALL_KNOWING: 3.0}
EXTRA = {0: 0.0, 1: 0.2, 2: 0.4}  # per day, of ranking by lift, by seed


def rounds(n_days=8, seeds=(0, 1, 2)):
    rows = [
        {"world": "toy", "seed": seed, "policy": name, "day": day, "purchases": amount}
        for name, per_day in PER_DAY.items()
        for seed in seeds
        for amount in [per_day + seed + EXTRA[seed] * (name == BY_LIFT)]
        for day in range(1, n_days + 1)
    ]
    return pd.DataFrame(rows).assign(revenue=lambda x: 10 * x["purchases"], margin=lambda x: 2 * x["purchases"])


def told(n=3):
    rows = [
        {"world": "toy", "seed": seed, "period": period, "estimator": "snips", "truth": 0.1, "mean_weight": 1.0}
        for seed in range(n)
        for period in (0, 1)
    ]
    table = pd.DataFrame(rows).assign(estimate=0.12, std_error=0.01)
    return table.assign(low=[0.09, 0.11, 0.09, 0.09, 0.09, 0.09][: 2 * n], high=0.15)


@pytest.fixture
def loop():
    return ClosedLoop(rounds=rounds(), one_step=told())


def test_added_is_paired_by_seed_and_cumulative(loop):
    found = loop.added("toy", BY_LIFT)
    assert found["estimate"].to_numpy() == pytest.approx(1.2 * np.arange(1, 9))
    half = t.ppf(0.975, 2) * 0.2 / np.sqrt(3)
    assert found["high"].iloc[2] == pytest.approx(3 * (1.2 + half))
    assert loop.added("toy", BY_P_BUY)["low"].to_numpy() == pytest.approx(0.5 * np.arange(1, 9))
    regret = loop.added("toy", ALL_KNOWING, against=BY_LIFT, measure="margin")
    assert regret["estimate"].iloc[-1] == pytest.approx(2 * 8 * 0.8)


def test_weeks_add_up_to_the_whole(loop):
    table = loop.to_frame().query("policy == @BY_LIFT and against == @LOGGING and measure == 'purchases'")
    assert table.set_index("week")["estimate"].to_dict() == pytest.approx({0: 9.6, 1: 8.4, 2: 1.2})
    assert (table["seeds_ahead"] == 1).all()


def test_regret_of_every_policy_stands_in_the_frame(loop):
    table = loop.to_frame().query("policy == @ALL_KNOWING and week == 0 and measure == 'purchases'")
    assert set(table["against"]) == set(POLICIES)


def test_coverage_counts_the_truths_held(loop):
    found = loop.coverage().set_index("time")
    assert found.loc["one period", "coverage"] == pytest.approx(2 / 3)
    assert found.loc["all periods", "coverage"] == 1
    assert found["bias"].to_numpy() == pytest.approx(0.02)


def test_the_summary_says_who_added_what(loop):
    lines = loop.summary().splitlines()
    assert lines[0].startswith("toy: by lift brought +960.0 [+562.5, +1357.5] purchases per 100 users in 8 days")
    assert "more than by P(buy | shown)" in lines[2]
    assert "one step, ignores carry-over" in lines[-1]


def test_json_keeps_everything(loop):
    again = ClosedLoop.from_json(loop.to_json())
    pd.testing.assert_frame_equal(again.rounds, loop.rounds)
    pd.testing.assert_frame_equal(again.one_step, loop.one_step)


def test_the_figure_draws_four_policies_and_what_knowing_all_brings(loop):
    figure = loop.plot()
    lines = {trace.name: trace for trace in figure.data if trace.name}
    assert set(lines) == {"logging policy, going on", POPULAR, BY_P_BUY, BY_LIFT, ALL_KNOWING}
    assert lines[BY_LIFT].y[-1] == pytest.approx(960)
    assert lines[BY_LIFT].y[0] == 0


@pytest.mark.parametrize(
    "keep", ["seed == 0", "not (seed == 1 and policy == @BY_LIFT)", "not (seed == 1 and day == 8)"]
)
def test_a_seed_that_lacks_something_is_refused(keep):
    with pytest.raises(PolicyError, match="Run the seeds that are missing"):
        ClosedLoop(rounds=rounds().query(keep), one_step=told())


def test_an_unknown_policy_is_refused(loop):
    with pytest.raises(PolicyError, match="No policy 'nobody'"):
        loop.added("toy", "nobody")
