"""Activity: an effect that is only that people came is found out, one that is real is borne out."""

import numpy as np
import pytest

from tests.cli.conftest import effect
from whybuy.causal.checks.activity import activity, activity_failures
from whybuy.causal.checks.pair import PairData, effect_among
from whybuy.causal.grounds import Grounds
from whybuy.causal.verdict import judge_confirmed
from whybuy.config import CausalConfig


def people(effect_of_doing: float, seed: int = 0, n: int = 20_000) -> tuple[PairData, PairData]:
    """Half come, whatever is logged; of those 4 in 10 do it. Whoever comes has the outcome at .2 instead of .1."""
    rng = np.random.default_rng(seed)
    came = rng.random(n) < 0.5
    T = (came & (rng.random(n) < 0.4)).astype(float)
    Y = (rng.random(n) < 0.1 + 0.1 * came + effect_of_doing * T).astype(float)
    user = np.arange(n) // 4
    whole = PairData(T, Y, np.full(n, 0.2), np.full(n, 0.15 + 0.2 * effect_of_doing), user)
    there = PairData(T, Y, np.full(n, 0.4), np.full(n, 0.2 + 0.4 * effect_of_doing), user).rows(came)
    return whole, there


def judged(effect_of_doing):
    whole, there = people(effect_of_doing)
    every = effect_among(whole, np.ones(len(whole.T), bool))
    ends = (every.estimate - 1.96 * every.std_error, every.estimate + 1.96 * every.std_error)
    return ends, activity(effect_among(there, np.ones(len(there.T), bool)), whole=ends, share_of_controls=0.375)


def test_coming_alone_looks_like_an_effect_and_is_found_out():
    ends, found = judged(0.0)
    assert ends[0] > 0.04
    assert found["passed"] is False
    assert abs(found["estimate"]) < 0.02
    assert activity_failures(found)[0].startswith("Activity: among those who came")


def test_a_real_effect_is_borne_out():
    ends, found = judged(0.08)
    assert ends[0] > 0.1
    assert found["passed"] is True
    assert found["estimate"] == pytest.approx(0.08, abs=0.025)
    assert activity_failures(found) == []


def test_where_nothing_is_seen_there_is_nothing_to_bear_out():
    _, there = people(0.0)
    found = activity(effect_among(there, np.ones(len(there.T), bool)), whole=(-0.01, 0.01), share_of_controls=0.4)
    assert found["passed"] is None
    assert activity_failures(found) == []


def test_a_failed_check_leaves_no_answer():
    told = effect("view:a", "purchase:a", 0.05, design="calendar")
    grounds = Grounds(100, 30, 60, 120.0)
    assert judge_confirmed(told, grounds, [], CausalConfig()).verdict == "strong"
    assert judge_confirmed(told, grounds, activity_failures(judged(0.0)[1]), CausalConfig()).verdict == "cannot_tell"
