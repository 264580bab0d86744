"""ATE and ATT: right where effects differ between people, labeled with whom they are about, refused elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from tests.causal.people import TRUTHS, draw
from whybuy.causal.average import REFUSED, ate, att, averages, scope
from whybuy.causal.checks import PairData, overlap
from whybuy.causal.confirm import clustered_ato
from whybuy.causal.effects import Effect, Estimate, Naive
from whybuy.causal.rlearner import r_learner


def foretold(people):
    return r_learner(people.Z, people.data.RT, people.data.RY, people.fold)


def test_by_hand():
    # One user treated with e = 1/2, m = 1/2, Y = 1, one control with Y = 0; tau = 1/2: Y - mu1 = 1/4, Y - mu0 = -1/4.
    data = PairData(np.array([1.0, 0]), np.array([1.0, 0]), np.full(2, 0.5), np.full(2, 0.5), np.arange(2))
    tau = np.full(2, 0.5)
    assert np.isclose(_value(ate, data, tau), 1 / 2 + (2 * 1 / 4 + 2 * 1 / 4) / 2)
    # ATT: treated Y - mu0 = 3/4; control -(Y - mu0) = 1/4; one treated.
    assert np.isclose(_value(att, data, tau), 3 / 4 + 1 / 4)


def _value(estimator, data, tau):
    """The value of a two-user estimate; its jackknife error may be zero, so more users are put beside."""
    many = PairData(*(np.tile(v, 50) for v in (data.T, data.Y, data.e, data.m)), np.arange(100))
    noise = 1e-9 * np.random.default_rng(0).normal(size=100)
    return estimator(replace(many, Y=many.Y + noise), np.tile(tau, 50)).estimate


def test_equals_the_textbook_score_of_two_arms():
    people = draw(3)
    d, tau = people.data, foretold(people)
    mu0, mu1 = d.m - d.e * tau, d.m + (1 - d.e) * tau
    score = mu1 - mu0 + d.T * (d.Y - mu1) / d.e - (1 - d.T) * (d.Y - mu0) / (1 - d.e)
    assert ate(d, tau).estimate == pytest.approx(score.mean(), rel=1e-12)
    by_user = np.bincount(d.user, score - score.mean())
    assert ate(d, tau).std_error == pytest.approx(np.sqrt(300 / 299 * (by_user**2).sum()) / len(score), rel=1e-9)
    treated = d.T * (d.Y - mu0) - (1 - d.T) * d.e / (1 - d.e) * (d.Y - mu0)
    assert att(d, tau).estimate == pytest.approx(treated.sum() / d.T.sum(), rel=1e-12)


def test_each_estimand_is_right_where_effects_differ_and_the_naive_answer_misses_all():
    assert TRUTHS["ate"] + 0.01 < TRUTHS["ato"] < TRUTHS["att"] - 0.01
    people = draw(100, n_users=3_000)
    estimate, se, _ = clustered_ato(people.data)
    found = {e.estimand: e for e in averages(people.data, foretold(people))}
    found["ato"] = Estimate.of("ato", estimate, se)
    for name, truth in TRUTHS.items():
        assert abs(found[name].estimate - truth) < 3 * found[name].std_error, name
        assert people.naive - truth > 5 * found[name].std_error, name
    assert found["ate"].ci_high < TRUTHS["att"]
    assert found["att"].ci_low > TRUTHS["ate"]


def covered(estimator, name, n_draws=300, **options):
    hits = 0
    for seed in range(100, 100 + n_draws):
        people = draw(seed, n_users=150, each=10)
        e = estimator(people, **options)
        hits += e.ci_low <= TRUTHS[name] <= e.ci_high
    return hits / n_draws


BAND = (0.95 - 3 * (0.95 * 0.05 / 300) ** 0.5, 0.95 + 3 * (0.95 * 0.05 / 300) ** 0.5)


@pytest.mark.parametrize(("estimator", "name"), [(ate, "ate"), (att, "att")])
def test_intervals_cover(estimator, name):
    assert BAND[0] <= covered(lambda p: estimator(p.data, foretold(p)), name) <= BAND[1]


def test_intervals_that_take_decisions_for_independent_do_not_cover():
    def by_row(people):
        d = people.data
        return ate(replace(d, user=np.arange(len(d.user))), foretold(people))

    assert covered(by_row, "ate") < BAND[0]


def test_a_wrong_tau_costs_precision_and_not_truth():
    people = draw(101, n_users=3_000)
    wrong = np.full(len(people.tau), -0.3)
    for estimator, name in ((ate, "ate"), (att, "att")):
        found = estimator(people.data, wrong)
        assert abs(found.estimate - TRUTHS[name]) < 3 * found.std_error
    right = ate(people.data, people.tau)
    assert ate(people.data, wrong).std_error > 1.1 * right.std_error


def thinned(people, share):
    """Give a share of the decisions a propensity of .005 that is true, by taking their treatment away."""
    rare = np.random.default_rng(0).random(len(people.x)) < share
    d = people.data
    T, e = np.where(rare, 0, d.T), np.where(rare, 0.005, d.e)
    return replace(d, T=T, e=e, Y=np.where(rare, 0, d.Y), m=np.where(rare, 0.0, d.m)), rare


def test_weak_overlap_is_refused_in_words():
    people = draw(102)
    data, _ = thinned(people, 0.2)
    assert averages(data, foretold(people)) == REFUSED
    (reason,) = scope(effect(data, REFUSED))
    assert reason.startswith("ATE and ATT are not computed: 79.3% of the decisions")
    assert "95% are needed" in reason


def test_a_little_weak_overlap_is_trimmed_and_labeled():
    people = draw(102)
    data, rare = thinned(people, 0.03)
    tau = foretold(people)
    found = averages(data, tau)
    assert found[0] == ate(data.rows(~rare), tau[~rare])
    (reason,) = scope(effect(data, found))
    assert reason.startswith(
        f"ATE and ATT are those of the {np.floor(1000 * (1 - rare.mean())) / 10:.1f}% of decisions"
    )


def effect(data, also):
    return Effect(
        treatment="view:a", outcome="purchase:b", horizon="7d", design="step", n_trials=len(data.T), n_treated=1,
        n_users=300, method="confirmed", naive=Naive.of_counts(n=100, treated=20, outcome=30, joint=12),
        effect=Estimate.of("ato", 0.1, 0.01), also=also, checks={"overlap": overlap(data)},
    )  # fmt: skip
