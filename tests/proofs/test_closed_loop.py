"""Ranking by lift in closed loops: purchases added above the logging policy and above ranking by P(buy | shown).

Settings were chosen on seeds 0-9. The summary is printed whatever it says. Here the first five of the twenty seeds are
run, a quarter of an hour; all of them, whose figures stand in the docs, by ``python -m tests.proofs.closed_loop``.
"""

import sys

import pytest

from tests.proofs.closed_loop import SEEDS, measured
from whybuy.recommend.closed_loop import ALL_KNOWING, BY_LIFT, BY_P_BUY, LOGGING, ClosedLoop
from whybuy.worlds.showcase import SHOWCASES

N_SEEDS = 5
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def loop() -> ClosedLoop:
    """Parallel worlds of five seeds."""
    return measured(SEEDS[:N_SEEDS])


def test_the_summary(loop, capsys):
    with capsys.disabled():
        sys.stdout.write(f"\n\n{loop.summary()}\n\n{loop.coverage().round(4)}\n")
    assert loop.rounds["seed"].nunique() == N_SEEDS


@pytest.mark.parametrize("world", SHOWCASES)
@pytest.mark.parametrize("measure", ["purchases", "margin"])
@pytest.mark.parametrize("against", [LOGGING, BY_P_BUY])
def test_lift_adds_to_what_users_buy_in_all(loop, world, measure, against):
    assert loop.added(world, BY_LIFT, against=against, measure=measure)["low"].iloc[-1] > 0


@pytest.mark.parametrize("world", SHOWCASES)
def test_regret_grows_more_slowly_than_that_of_p_buy(loop, world):
    mine, rival = (loop.added(world, ALL_KNOWING, against=name)["estimate"] for name in (BY_LIFT, BY_P_BUY))
    assert mine.iloc[-1] < rival.iloc[-1]


@pytest.mark.parametrize("world", SHOWCASES)
def test_what_the_log_alone_tells_holds_the_truth(loop, world):
    """Of five intervals of 95% fewer than three hold in .1% of proofs; the fifteen of weeks share users and worlds."""
    found = loop.coverage().query("world == @world and estimator == 'snips'").set_index("time")["coverage"]
    assert found["all periods"] >= 3 / N_SEEDS
    assert found["one period"] >= 0.7
