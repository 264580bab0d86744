"""The same inputs of the Open Bandit sample give obp's numbers."""

import warnings
from typing import Any

import numpy as np
import pytest
from benchmarks.inputs.open_bandit import OpenBandit, in_every_row, open_bandit, shown, uniform
from benchmarks.inputs.peers_of_ope import peers

from tests.conftest import DATA
from whybuy.recommend.evaluate import ESTIMATORS, LoggedFeedback, Target

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from obp import ope

pytestmark = pytest.mark.real_data

LIMIT = 5.0
LOGS = [("random", "men"), ("random", "women"), ("bts", "men"), ("bts", "women")]
OF_ITEMS = peers(LIMIT)


def other_policy(of: str, campaign: str) -> np.ndarray:
    """The policy that did not write the log: (n_actions, n_slots)."""
    return uniform(campaign) if of == "bts" else shown(open_bandit(DATA, "bts", campaign), campaign)


def predicted(raw: OpenBandit, n_actions: int) -> np.ndarray:
    """Some reward model: what it says does not matter here, as long as both are told the same."""
    return np.random.default_rng(0).uniform(0, 0.02, (len(raw.action), n_actions, 3))


@pytest.fixture(params=LOGS, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[OpenBandit, Target, dict[str, Any]]:
    """A log, the target of the other policy, and both as obp takes them."""
    raw, policy = open_bandit(DATA, *request.param), other_policy(*request.param)
    rewards, probabilities = predicted(raw, len(policy)), np.array(in_every_row(policy, len(raw.action)))
    log = LoggedFeedback.of(raw.action, raw.reward, raw.propensity, slots=raw.slot, predicted=rewards)
    theirs = {
        "reward": raw.reward,
        "action": raw.action,
        "position": raw.slot,
        "pscore": raw.propensity,
        "action_dist": probabilities,
        "estimated_rewards_by_reg_model": rewards,
    }
    return raw, Target.of(log, probabilities), theirs


@pytest.mark.parametrize("name", OF_ITEMS)
def test_values_per_item_are_those_of_obp(case, name):
    _, target, theirs = case
    ours = ESTIMATORS[name].rounds(target, LIMIT).estimate
    assert ours == pytest.approx(OF_ITEMS[name].estimate_policy_value(**theirs), abs=1e-9)


def test_clipping_is_that_of_obp_with_propensities_no_smaller(case):
    """obp 0.4.1 clips nothing; a propensity of at least pi / limit says the same."""
    raw, target, theirs = case
    theirs["pscore"] = np.maximum(raw.propensity, target.logged / LIMIT)
    ours = ESTIMATORS["clipped"].rounds(target, LIMIT).estimate
    assert ours == pytest.approx(OF_ITEMS["ips"].estimate_policy_value(**theirs), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "peer", "suffix"),
    [
        ("standard", ope.SlateStandardIPS(len_list=3), ""),
        ("independent", ope.SlateIndependentIPS(len_list=3), "_item_position"),
        ("cascade", ope.SlateRewardInteractionIPS(len_list=3), "_cascade"),
    ],
)
@pytest.mark.parametrize("of", LOGS, ids="-".join)
def test_values_per_slate_are_those_of_obp(of, name, peer, suffix):
    """The first, second ... item shown in each slot make up a slate; obp is given the products, ours makes them."""
    raw, policy = open_bandit(DATA, *of), other_policy(*of)
    columns = [np.flatnonzero(raw.slot == k) for k in range(3)]
    slates = np.stack([rows[: min(map(len, columns))] for rows in columns], axis=1)
    rows, p = slates.ravel(), raw.propensity[slates]
    pi = policy[raw.action[slates], raw.slot[slates]]
    products = {
        "standard": lambda w: np.repeat(w.prod(axis=1), 3),
        "independent": np.ravel,
        "cascade": lambda w: w.cumprod(axis=1).ravel(),
    }[name]
    ids = np.repeat(np.arange(len(slates)), 3)
    log = LoggedFeedback.of(raw.action[rows], raw.reward[rows], p.ravel(), slates=ids, slots=raw.slot[rows])
    theirs = peer.estimate_policy_value(
        slate_id=ids,
        reward=raw.reward[rows],
        position=raw.slot[rows],
        **{f"pscore{suffix}": products(p), f"evaluation_policy_pscore{suffix}": products(pi)},
    )
    ours = ESTIMATORS[name].rounds(Target.of(log, pi.ravel()), LIMIT).estimate
    assert ours == pytest.approx(theirs, rel=1e-9)
