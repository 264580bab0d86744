"""Who an effect is larger for: the order of groups, their coverage, and the word that differences are noise."""

import numpy as np
import pytest

from tests.causal.people import TRUTHS, draw
from whybuy.causal.checks import PairData
from whybuy.causal.effects import Estimate
from whybuy.causal.heterogeneity import (
    attribute_groups,
    group_effects,
    heterogeneity,
    quantile_groups,
    spread,
)
from whybuy.causal.linear_predictor import Calibration, calibration
from whybuy.causal.rlearner import modifiers, r_learner
from whybuy.causal.trials import Columns
from whybuy.events.behaviors import parse_behavior


@pytest.fixture(scope="module")
def people():
    return draw(100, n_users=2_000)


@pytest.fixture(scope="module")
def found(people):
    tau = r_learner(people.Z, people.data.RT, people.data.RY, people.fold)
    segment = np.where(people.new > 0, "new", "old").astype(object)
    return heterogeneity(people.data, tau, people.fold, {"segment": segment})


def true_effect(people, rows):
    e = people.data.e[rows]
    return float(np.average(people.tau[rows], weights=e * (1 - e)))


def test_the_r_learner_equals_least_squares_where_nothing_is_penalized(monkeypatch):
    people = draw(1, n_users=60)
    monkeypatch.setattr("whybuy.causal.ridge.PENALTIES", (1e-9,))
    RT, RY = people.data.RT, people.data.RY
    tau = r_learner(people.Z, RT, RY, people.fold)
    A = np.column_stack([np.ones(len(RT)), people.Z])
    train, test = people.fold != 0, people.fold == 0
    beta = np.linalg.lstsq((A * RT[:, None])[train], RY[train], rcond=None)[0]
    np.testing.assert_allclose(tau[test], A[test] @ beta, rtol=1e-6)


def test_nobodys_own_outcome_teaches_their_tau():
    people = draw(2, n_users=90)
    RT, RY = people.data.RT, people.data.RY
    first = r_learner(people.Z, RT, RY, people.fold)
    second = r_learner(people.Z, RT, np.where(people.fold == 0, -RY, RY), people.fold)
    np.testing.assert_array_equal(first[people.fold == 0], second[people.fold == 0])
    assert (first[people.fold != 0] != second[people.fold != 0]).all()


def test_tau_is_closer_to_the_truth_than_one_effect_for_all(people, found):
    error = np.sqrt(((found.tau - people.tau) ** 2).mean())
    assert error < 0.5 * people.tau.std()


def test_groups_are_in_order_and_their_intervals_hold_the_truth(people, found):
    effects = [g.effect for g in found.by_tau]
    assert [e.estimate for e in effects] == sorted(e.estimate for e in effects)
    assert effects[0].ci_high < effects[-1].ci_low
    for i, e in enumerate(effects):
        assert abs(e.estimate - true_effect(people, found.group == i)) < 3 * e.std_error
    assert found.spread.ci_low > 0
    high, low = (true_effect(people, found.group == i) for i in (3, 0))
    assert abs(found.spread.estimate - (high - low)) < 3 * found.spread.std_error


def test_groups_by_attribute_are_found_and_the_average_misses_both(people, found):
    new, old = found.by_attribute
    assert (new.group, old.group) == ("new", "old")
    for group, rows in ((new, people.new > 0), (old, people.new == 0)):
        truth = true_effect(people, rows)
        assert abs(group.effect.estimate - truth) < 3 * group.effect.std_error
        assert abs(TRUTHS["ato"] - truth) > 2 * group.effect.std_error


def test_group_intervals_cover():
    hits = []
    for seed in range(200, 300):
        people = draw(seed, n_users=450, each=10)
        tau = r_learner(people.Z, people.data.RT, people.data.RY, people.fold)
        group = quantile_groups(tau, people.fold, 3)
        labels = np.array(["low", "mid", "high"], object)[group]
        effects = {g.group: g.effect for g in group_effects(people.data, labels, by="tau")}
        hits += [
            effects[name].ci_low <= true_effect(people, labels == name) <= effects[name].ci_high
            for name in ("low", "mid", "high")
        ]
    assert 0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5 <= np.mean(hits) <= 0.95 + 3 * (0.95 * 0.05 / 300) ** 0.5


def test_calibration_accepts_a_true_tau_and_rejects_noise(people):
    true = calibration(people.data, people.tau, people.fold)
    assert true.p_differs < 1e-6
    assert true.mean.ci_low < 1 < true.mean.ci_high
    assert true.difference.ci_low < 1 < true.difference.ci_high
    noise = np.random.default_rng(0).permutation(people.tau)
    wrong = calibration(people.data, noise, people.fold)
    assert wrong.p_differs > 0.05
    assert wrong.difference.ci_low < 0 < wrong.difference.ci_high < 1
    assert "cannot be told from noise" in wrong.summary()


def test_where_all_gain_alike_noise_is_called_differences_at_most_once_in_twenty():
    rejected = 0
    for seed in range(300, 400):
        people = draw(seed, n_users=200, each=10, differ=False)
        tau = r_learner(people.Z, people.data.RT, people.data.RY, people.fold)
        rejected += calibration(people.data, tau, people.fold).p_differs < 0.05
    assert rejected <= 12  # 5 expected, three Monte Carlo errors above


def test_a_tau_that_does_not_differ_has_no_calibration(people):
    flat = calibration(people.data, np.full(len(people.x), 0.1), people.fold)
    assert flat.difference.estimate is None
    assert flat.p_differs is None
    assert flat.mean.estimate is not None
    assert flat.summary() == "No differences between decisions were foretold."
    assert quantile_groups(np.zeros(9), np.arange(9) % 3).tolist() == [0] * 9


def test_quantiles_are_of_the_fold():
    tau = np.array([1.0, 2, 3, 4, 10, 20, 30, 40])
    assert quantile_groups(tau, np.repeat([0, 1], 4)).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_thin_group_has_reasons_instead_of_a_number(people):
    labels = np.where(people.data.user < 10, "few", "many").astype(object)
    few, many = group_effects(people.data, labels, by="size")
    assert few.effect.estimate is None
    assert few.reasons[0].startswith("Only 9 users had the outcome after the behavior; 20 are needed.")
    assert many.effect.estimate is not None


def test_the_spread_of_a_group_with_itself_is_not_computed(people):
    everyone = np.ones(len(people.x), bool)
    assert spread(people.data, everyone, everyone).estimate is None


def test_persons_get_the_effect_of_their_group_and_the_label(people, found):
    users = found.of_users()
    assert len(users) == 2_000
    assert set(users["level"]) == {"group"}
    assert users["estimate"].nunique() == len(found.by_tau)
    favored = people.new[np.searchsorted(people.data.user, users["user"])] > 0
    assert users["estimate"][favored].mean() > users["estimate"][~favored].mean() + 0.02


def test_the_result_has_numbers_words_and_a_figure(found):
    frame = found.to_frame()
    assert frame["by"].tolist() == ["foretold effect"] * 4 + ["segment"] * 2
    assert frame["n_trials"].iloc[:4].sum() == frame["n_trials"].iloc[4:].sum() == 40_000
    text = found.summary()
    assert "Effects differ between decisions" in text
    assert text.endswith("These are effects of groups, not of persons.")
    np.testing.assert_allclose(list(found.plot().data[0].y), frame["estimate"])
    assert len(found.calibration.to_frame()) == len(found.calibration.plot().data[0].x) == 2


def test_modifiers_are_about_the_pair():
    names = ["view:a in 1d", "view:ab in 1d", "purchase:b in 1d", "view:* in 1d", "segment = new", "logit e view:a"]
    columns = Columns(names, ["behavior", "behavior", "behavior", "activity", "attribute", "model"])
    X = np.arange(12, dtype=np.float32).reshape(2, 6)
    data = PairData(np.zeros(1), np.zeros(1), np.array([0.5]), np.array([0.5]), np.zeros(1, int))
    pair = (parse_behavior("view:a"), parse_behavior("purchase:b"))
    assert modifiers(X, columns, pair, data, np.array([False, True])).tolist() == [[0, 0, 6, 8, 10]]


def test_attributes_are_read_from_their_columns():
    columns = Columns(["view:* in 1d", "tier = gold", "tier = tin"], ["activity", "attribute", "attribute"])
    X = np.array([[3, 1, 0], [3, 0, 1], [3, 0, 0]], np.float32)
    assert {k: v.tolist() for k, v in attribute_groups(X, columns).items()} == {"tier": ["gold", "tin", "other"]}


def test_too_few_users_can_not_be_told():
    people = draw(5, n_users=24)
    found = heterogeneity(people.data, people.tau, people.fold)
    assert found.calibration.mean.estimate is None
    assert found.spread.estimate is None
    assert all(g.effect.estimate is None and g.reasons for g in found.by_tau)
    assert found.summary().startswith("Whether effects differ cannot be told. Only 18 users had the outcome after")


@pytest.mark.parametrize(
    ("slope", "p", "said"),
    [(1.0, 0.001, "in the foretold order"), (0.1, 0.4, "from noise"), (-3.4, 1.0, "the other way round than foretold")],
)
def test_an_order_that_is_the_wrong_way_round_is_not_called_noise(slope, p, said):
    found = Calibration(
        mean=Estimate.of("mean", 1.0, 0.2), difference=Estimate.of("difference", slope, 0.4), p_differs=p
    )
    assert said in found.summary()
