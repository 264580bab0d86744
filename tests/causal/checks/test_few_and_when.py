"""Checks of who and when: halves in time, season, influence of few users. Each fails in a world made for it."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tests.causal.checks.simulated import World, trials, whole
from whybuy.causal.checks import PairData, halves, influence, is_weekend, season
from whybuy.causal.checks.halves import halves_failures
from whybuy.causal.checks.influence import influence_failures
from whybuy.causal.checks.season import season_failures

DAY = 86_400_000
EACH = 30
SMALL = 0.005
DAY_OF = np.tile(np.arange(EACH), 400)
"""The k-th decision of every user is on day k, a Monday first."""


def test_an_effect_that_holds_still_passes_both():
    data, _ = trials(20, World())
    found = halves(data, DAY_OF * DAY, smallest_effect=SMALL)
    assert found["passed"]
    assert found["first"]["ci_low"] < 0.08 < found["first"]["ci_high"]
    assert halves_failures(found) == []
    assert season(data, DAY_OF % 7 >= 5, estimate=0.08, span_ms=29 * DAY)["passed"]


def test_an_effect_that_grows_fails_halves():
    data, _ = trials(20, World(effect=np.where(DAY_OF < 15, 0.02, 0.14)))
    found = halves(data, DAY_OF * DAY, smallest_effect=SMALL)
    assert found["passed"] is False
    assert found["first"]["ci_low"] < 0.02 < found["first"]["ci_high"]
    assert found["second"]["ci_low"] < 0.14 < found["second"]["ci_high"]
    assert halves_failures(found)[0].startswith("Halves in time: +")


def test_halves_raise_a_false_alarm_in_one_of_a_hundred():
    days, alarms = np.tile(np.arange(16), 120) * DAY, 0
    for seed in range(300):
        data, _ = trials(2_000 + seed, World(), n_users=120, each=16)
        alarms += halves(data, days, smallest_effect=0.0)["passed"] is False
    assert alarms <= 9


def test_a_half_without_grounds_is_not_judged():
    data, _ = trials(20, World())
    late = PairData(np.where(DAY_OF < 15, 0.0, data.T), data.Y, data.e, data.m, data.user)
    found = halves(late, DAY_OF * DAY, smallest_effect=SMALL)
    assert found["passed"] is None
    assert found["first"]["why"] == "No decision of a trial is this behavior and not the outcome itself."
    assert halves_failures(found) == []


def test_a_sign_that_turns_on_weekends_fails_season():
    weekend = DAY_OF % 7 >= 5
    data, _ = trials(21, World(effect=np.where(weekend, -0.1, 0.1)))
    found = season(data, weekend, estimate=whole(data).estimate, span_ms=29 * DAY)
    assert found["passed"] is False
    (words,) = season_failures(found)
    assert "on weekdays, -" in words
    weaker, _ = trials(21, World(effect=np.where(weekend, 0.03, 0.1)))
    assert season(weaker, weekend, estimate=0.08, span_ms=29 * DAY)["passed"]


def test_season_needs_two_weeks():
    data, _ = trials(21, World())
    found = season(data, DAY_OF % 7 >= 5, estimate=0.08, span_ms=13 * DAY)
    assert found["passed"] is None
    assert "less than two weeks" in found["why"]
    assert season_failures(found) == []


def test_the_weekend_is_where_the_shop_is():
    friday_night = int(datetime(2024, 3, 15, 23, 30, tzinfo=UTC).timestamp() * 1000)
    times = np.array([friday_night, friday_night + DAY, friday_night + 3 * DAY])
    assert is_weekend(times, ZoneInfo("UTC")).tolist() == [False, True, False]
    assert is_weekend(times, ZoneInfo("Europe/Berlin")).tolist() == [True, True, False]


def with_bots(effect_of_bots: float, effect_of_people: float) -> PairData:
    """Return 600 people with 10 decisions and 7 bots with 300 each, a quarter of all."""
    people, _ = trials(30, World(effect=effect_of_people), n_users=600, each=10)
    bots, _ = trials(31, World(effect=effect_of_bots), n_users=7, each=300)
    parts = [(getattr(people, f), getattr(bots, f)) for f in ("T", "Y", "e", "m")]
    return PairData(*(np.concatenate(p) for p in parts), np.concatenate([people.user, bots.user + 600]))


def test_an_effect_of_bots_alone_fails_influence():
    data = with_bots(0.6, -0.1)
    found = influence(data, estimate=whole(data).estimate, smallest_effect=SMALL)
    assert whole(data).estimate > 0.05
    assert found["ci_high"] < 0
    assert not found["passed"]
    assert found["n_left_out"] == 7  # one hundredth of 607 users, rounded up
    assert found["largest_share"] == pytest.approx(300 / 8_100, abs=0.01)
    assert "without the 7 most active users, who carry 2" in influence_failures(found)[0]


def test_an_effect_that_is_gone_without_bots_fails_influence():
    data = with_bots(0.6, 0.0)
    found = influence(data, estimate=whole(data).estimate, smallest_effect=0.06)
    assert -0.06 < found["ci_low"] < found["ci_high"] < 0.06
    assert not found["passed"]


def test_active_users_with_the_effect_of_all_pass():
    data = with_bots(0.1, 0.1)
    found = influence(data, estimate=whole(data).estimate, smallest_effect=SMALL)
    assert found["passed"]
    assert found["ci_low"] < 0.1 < found["ci_high"]


def test_a_behavior_of_bots_alone_fails_influence():
    data = with_bots(0.5, 0.0)
    alone = PairData(np.where(data.user < 600, 0.0, data.T), data.Y, data.e, data.m, data.user)
    found = influence(alone, estimate=0.3, smallest_effect=SMALL)
    assert not found["passed"]
    assert "nothing is left to tell it from" in influence_failures(found)[0]
