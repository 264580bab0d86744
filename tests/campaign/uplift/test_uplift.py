"""Whom it moves, in worlds where that is known and where who buys most is moved least."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from sklearn.linear_model import LogisticRegression

import whybuy
from tests.campaign.uplift.shoppers import draw, true_areas
from whybuy.campaign.uplift.learners import LEARNERS, Lesson
from whybuy.campaign.uplift.rows import UpliftRows
from whybuy.estimators import uplift, uplift_curves


@pytest.fixture(scope="module")
def even():
    s = draw(100, n_users=8000)
    return s, uplift(s.X, s.T, s.Y, 0.5)


@pytest.fixture(scope="module")
def targeted():
    s = draw(101, n_users=8000, assigned="targeted")
    return s, uplift(s.X, s.T, s.Y, learners=("x", "dr"))


def test_the_ranking_finds_most_of_what_the_truth_would(even):
    s, found = even
    judges = found.judging
    best = true_areas(s.tau[judges], s.tau[judges])[1]
    assert true_areas(s.tau[judges], found.effect[judges])[1] > 0.75 * best
    # Who buys is found easily and is the wrong thing to rank by.
    response = LogisticRegression().fit(s.X[~judges], s.Y[~judges]).predict_proba(s.X[judges])[:, 1]
    assert true_areas(s.tau[judges], response)[1] < 0


def holds(e, truth):
    """Within 3 standard errors: one world; how often 95% intervals hold the truth is proven over many (slow)."""
    return abs(e.estimate - truth) < 3 * e.std_error


def test_the_judged_numbers_are_near_the_truth_of_the_ranking(even):
    s, found = even
    tau, judged = s.tau[found.judging], found.judgment
    autoc, qini = true_areas(tau, found.effect[found.judging])
    assert holds(judged.ranked.autoc, autoc)
    assert holds(judged.ranked.qini, qini)
    assert holds(judged.average, tau.mean())
    assert holds(judged.calibration.difference, 1)
    assert judged.calibration.difference.ci_low > 0
    assert judged.ranked.qini.ci_low > 0
    tenths = np.array_split(np.argsort(-found.effect[found.judging], kind="stable"), 10)
    assert all(holds(d.effect, tau[rows].mean()) for d, rows in zip(judged.deciles, tenths, strict=True))


def test_counted_curves_stand_beside_only_where_everybody_had_one_chance(even, targeted):
    assert even[1].judgment.curves is not None
    assert targeted[1].judgment.curves is None
    s = draw(0, n_users=1500, assigned="strata")
    assert uplift(s.X, s.T, s.Y, s.e, learners=("t",)).judgment.curves is None


def test_who_is_put_off_is_found(even):
    s, found = even
    dogs = found.judgment.sleeping_dogs
    asleep = found.judging & (found.effect < 0)
    assert dogs.found
    assert dogs.n_users == asleep.sum()
    assert s.tau[asleep].mean() < -0.02
    assert holds(dogs.effect, s.tau[asleep].mean())
    assert "Leave alone" in found.summary()


def test_where_nobody_is_moved_nothing_is_claimed():
    s = draw(102, n_users=4000, moved=False)
    found = uplift(s.X, s.T, s.Y, 0.5, learners=("x", "r"))
    ranked = found.judgment.ranked
    assert ranked.qini.estimate is None or ranked.qini.ci_low <= 0 <= ranked.qini.ci_high
    assert not found.judgment.sleeping_dogs.found
    assert "puts those first who gain more" not in found.summary()


def test_a_targeted_campaign_is_adjusted_and_says_what_it_assumes(targeted):
    s, found = targeted
    judges, ranked = found.judging, found.judgment.ranked
    naive = s.Y[s.T > 0].mean() - s.Y[s.T < 1].mean()
    average = found.judgment.average
    assert holds(average, s.tau[judges].mean())
    assert average.ci_high < naive
    # Counting makes those who buy anyway look moved: the naive curve of P(Y) is far above the true one.
    truth = true_areas(s.tau[judges], s.p0[judges])[1]
    assert ranked.qini.ci_low > 0 > truth
    for text in (found.summary(), ranked.summary()):
        assert "Unconfoundedness assumed" in text


def test_counting_a_targeted_campaign_would_have_misled():
    s = draw(103, n_users=8000, assigned="targeted")
    counted = uplift_curves(s.T, s.Y, -s.X[:, 2], propensity=float(s.T.mean()))
    assert counted.value["uplift"][-1] > s.tau.mean() + 0.1


def test_every_effect_is_by_learners_that_did_not_see_the_user():
    s = draw(1, n_users=600, each=2)
    rng = np.random.default_rng(0)
    T = (rng.random(600) < 0.5)[s.user].astype(float)
    Y = (rng.random(len(T)) < 0.3).astype(float)  # noise: nothing can be foretold of anybody
    found = uplift(s.X, T, Y, 0.5, users=s.user, learners=("t",))
    score = 2 * (2 * T - 1) * Y
    for rows in (found.judging, ~found.judging):
        tau = found.effect[rows]
        assert np.ptp(tau) == 0 or abs(np.corrcoef(tau, score[rows])[0, 1]) < 0.1
    assert (found.judging[::2] == found.judging[1::2]).all()


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("design", ["even", "targeted"])
def test_every_learner_finds_who_is_moved(name, design):
    s = draw(2, n_users=12_000, assigned=design)
    rows = UpliftRows.of(s.X, s.T, s.Y, s.e if design == "even" else None, None)
    unseen = draw(3, n_users=5000)
    tau = LEARNERS[name](Lesson(rows, seed=7))(unseen.X)
    assert np.corrcoef(tau, unseen.tau)[0, 1] > 0.6
    assert abs(tau.mean() - unseen.tau.mean()) < 0.03


def test_the_same_again_whatever_the_order_of_rows_of_users():
    s = draw(4, n_users=800)
    one, other = (uplift(s.X, s.T, s.Y, 0.5, users=s.user, learners=("x", "t")) for _ in range(2))
    assert (one.effect == other.effect).all()
    assert one.judgment.ranked.qini == other.judgment.ranked.qini


def test_the_input_is_left_as_it_was_and_other_people_are_foretold():
    s = draw(5, n_users=1000)
    X = pd.DataFrame(s.X, columns=list("uhdab"))
    before = X.copy()
    found = uplift(X, pd.Series(s.T), pd.Series(s.Y), 0.5, learners=("t",))
    pd.testing.assert_frame_equal(X, before)
    np.testing.assert_allclose(found.predict(X[found.judging]), found.effect[found.judging])


def test_users_in_both_arms_are_told():
    s = draw(6, n_users=1000, each=2)
    T = s.T.copy()
    T[::10] = 1 - T[::10]
    assert any("rows in both arms" in reason for reason in uplift(s.X, T, s.Y, None, s.user, learners=("t",)).reasons)


def test_the_result_shows_its_numbers(even):
    _, found = even
    frame = found.to_frame()
    assert frame["decile"].tolist() == list(range(1, 11))
    assert frame["n_rows"].sum() == found.judging.sum()
    assert frame["foretold"].is_monotonic_decreasing
    assert found.candidates_frame()["learner"].tolist() == list(LEARNERS)
    assert found.candidates_frame()["behind"][0] == 0
    assert isinstance(found.plot(), go.Figure)
    assert "Randomized" in found.summary()


def test_money_is_an_outcome_too():
    s = draw(7, n_users=3000)
    spent = s.Y * np.random.default_rng(7).lognormal(3, 0.5, len(s.Y))
    found = uplift(s.X, s.T, spent, 0.5, learners=("s", "t", "x", "r", "dr"))
    assert found.judgment.average.estimate == pytest.approx(s.tau.mean() * np.exp(3.125), abs=4 * 1.0)


def test_it_is_public():
    assert whybuy.estimators.uplift is uplift


@pytest.mark.slow
def test_whole_runs_without_propensities_hold_the_truth():
    whole = draw(1, n_users=40_000)
    R, held, average = 80, [], 0
    for seed in range(200, 200 + R):
        s = draw(seed, n_users=3000, assigned="targeted")
        found = uplift(s.X, s.T, s.Y, learners=("t",))
        judged = found.judgment
        average += judged.average.ci_low <= whole.tau.mean() <= judged.average.ci_high
        numbers = judged.ranked.autoc, judged.ranked.qini
        if numbers[0].estimate is None:  # one effect for everybody was foretold: nothing is claimed
            continue
        truth = true_areas(whole.tau, found.predict(whole.X))
        held.append([e.ci_low <= t <= e.ci_high for e, t in zip(numbers, truth, strict=True)])
    band = 3 * np.sqrt(0.95 * 0.05 / len(held))
    covered = np.mean(held, axis=0)
    assert len(held) > 0.8 * R, len(held)
    assert (covered > 0.95 - band).all(), (covered, len(held), average / R)
    assert average / R > 0.95 - band, average / R
