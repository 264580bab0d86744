"""What policies would have earned, against what they earn in the world itself."""

import pytest

from tests.recommend.backtest.showcases import case
from whybuy.worlds.showcase import SHOWCASES, Size

pytestmark = pytest.mark.slow

SIZE = Size(n_users=1_000, n_rounds=12)
SEEDS = (100, 101, 102)


@pytest.mark.parametrize("world", SHOWCASES)
def test_intervals_hold_the_truth_of_whole_slates(world, tmp_path):
    held, logged_misses = [], []
    for seed in SEEDS:
        one = case(world, seed, SIZE, tmp_path / f"{seed}")
        logged = one.found.comparison["as logged"].value
        for policy, power in (("popular", 1.0), ("random", 0.0)):
            truth = one.true_value(one.popular(), n_draws=4, power=power) / 1_000
            value = one.found.comparison[policy].value
            held.append(value.low <= truth <= value.high)
            logged_misses.append(not logged.low <= truth <= logged.high)
    # Six intervals of 95%: fewer than four hold in .2% of proofs.
    assert sum(held) >= 4
    assert sum(logged_misses) >= 3
