"""The estimators for plain arrays: truth recovered, errors by group, and one clear refusal per defect."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

import whybuy
from tests.causal.people import TRUTHS, draw
from whybuy.estimators import ArraysError, Learners, interactive, partially_linear

LINEAR = Learners(treatment=LogisticRegression(), outcome=LinearRegression())


def arrays(seed=0, n_users=120, each=10):
    people = draw(seed, n_users=n_users, each=each)
    return people.Z.astype(float), people.data.T, people.data.Y, people.data.user


def continuous(seed=0, n_groups=150, each=8, slope=0.5):
    """A price-like treatment: T and Y both rise with x, which also differs between groups."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), each)
    x = rng.normal(size=n_groups)[group] + rng.normal(size=len(group))
    T = x + rng.normal(size=n_groups)[group] + rng.normal(size=len(group))
    Y = slope * T + 2 * x + rng.normal(size=n_groups)[group] + rng.normal(size=len(group))
    return x[:, None], T, Y, group


def test_the_effects_of_people_are_recovered_by_boosting_and_the_naive_difference_misses():
    X, T, Y, user = arrays(100, n_users=2_000)
    naive = Y[T > 0].mean() - Y[T == 0].mean()
    ato = partially_linear(X, T, Y, groups=user).estimates
    for e in (*ato, *interactive(X, T, Y, groups=user).estimates):
        assert abs(e.estimate - TRUTHS[e.estimand]) < 3 * e.std_error, e
        assert naive - TRUTHS[e.estimand] > 5 * e.std_error
    assert [e.estimand for e in ato] == ["ato"]


def test_a_continuous_treatment_has_a_slope_and_its_intervals_cover_by_group_alone():
    hits, by_row = 0, 0
    for seed in range(100, 200):
        X, T, Y, group = continuous(seed)
        (found,) = partially_linear(X, T, Y, groups=group, learner=LinearRegression()).estimates
        hits += found.ci_low <= 0.5 <= found.ci_high
        (alone,) = partially_linear(X, T, Y, learner=LinearRegression()).estimates
        by_row += alone.ci_low <= 0.5 <= alone.ci_high
    assert found.estimand == "slope"
    band = 3 * (0.95 * 0.05 / 100) ** 0.5
    assert abs(hits / 100 - 0.95) <= band
    assert by_row / 100 < 0.95 - band


@pytest.mark.slow
@pytest.mark.parametrize("model", [partially_linear, interactive])
def test_intervals_of_boosting_cover(model):
    hits = {}
    for seed in range(100, 220):
        X, T, Y, user = arrays(seed, n_users=150)
        for e in model(X, T, Y, groups=user).estimates:
            hits.setdefault(e.estimand, []).append(e.ci_low <= TRUTHS[e.estimand] <= e.ci_high)
    for name, covered in hits.items():
        assert abs(np.mean(covered) - 0.95) <= 3 * (0.95 * 0.05 / 120) ** 0.5, name


def test_ridge_is_the_scan_s():
    from whybuy.causal.array_scan import scan_arrays

    X, T, Y, user = arrays(n_users=200)
    found = partially_linear(X, T, Y, groups=user, learner="ridge", folds=user % 4)
    scanned = scan_arrays(X, T[:, None], Y[:, None], groups=user, folds=user % 4)
    assert found.estimate == pytest.approx(scanned.estimate[0, 0], rel=1e-10)
    assert found.std_error == pytest.approx(scanned.std_error[0, 0], rel=1e-9)
    by_arm = interactive(X, T, Y, groups=user, learner=Learners(treatment=LogisticRegression(), outcome="ridge"))
    assert abs(by_arm.estimate - TRUTHS["ate"]) < 3 * by_arm.std_error


def test_pandas_and_names_of_groups_change_nothing():
    X, T, Y, user = arrays()
    plain = partially_linear(X, T, Y, groups=user, learner="ridge")
    names = pd.Series(user.astype(str), index=np.arange(len(user))[::-1])
    framed = partially_linear(
        pd.DataFrame(X, columns=["x", "new"]), pd.Series(T), Y[:, None], groups=names, learner="ridge"
    )
    assert framed.to_frame().equals(plain.to_frame())


def test_the_order_of_rows_changes_nothing():
    X, T, Y, user = arrays()
    order = np.random.default_rng(0).permutation(len(T))
    plain = interactive(X, T, Y, groups=user, learner=LINEAR)
    shuffled = interactive(X[order], T[order], Y[order], groups=user[order], learner=LINEAR)
    assert (shuffled.fold == plain.fold[order]).all()
    assert shuffled.estimate == pytest.approx(plain.estimate, rel=1e-6)


def test_folds_are_even_and_split_no_group():
    X, T, Y, user = arrays()
    found = partially_linear(X, T, Y, groups=user, learner="ridge", folds=4)
    assert np.bincount(found.fold).tolist() == [300] * 4
    for train, test in found.splits:
        assert not set(user[train]) & set(user[test])
    assert len(found.splits) == 4


def test_nobody_is_judged_by_a_learner_that_saw_them():
    X, T, Y, user = arrays()
    fold = user % 3
    first = interactive(X, T, Y, groups=user, folds=fold).nuisances
    second = interactive(X, T, np.where(fold == 0, 1 - Y, Y), groups=user, folds=fold).nuisances
    for name in ("mu0", "mu1", "e"):
        np.testing.assert_array_equal(first[name][fold == 0], second[name][fold == 0])
    assert (first["mu0"][fold > 0] != second["mu0"][fold > 0]).any()


def test_the_callers_arrays_are_not_touched():
    X, T, Y, user = arrays()
    before = [v.copy() for v in (X, T, Y, user)]
    interactive(X, T, Y, groups=user)
    assert all((a == b).all() for a, b in zip(before, (X, T, Y, user), strict=True))


@pytest.mark.parametrize("learner", ["lightgbm", "ridge", LINEAR])
def test_constant_and_duplicated_covariates_change_little(learner):
    X, T, Y, user = arrays()
    plain = partially_linear(X, T, Y, groups=user, learner=learner)
    more = partially_linear(np.hstack([X, X, np.ones((len(X), 1))]), T, Y, groups=user, learner=learner)
    assert abs(more.estimate - plain.estimate) < 0.2 * plain.std_error


X, T, Y, USER = arrays()
REFUSALS = [
    ({"X": np.where(np.arange(len(X))[:, None] == 3, np.nan, X)}, "NaN or infinite values in X, in the columns 0, 1"),
    ({"T": np.where(np.arange(len(T)) == 3, np.inf, T)}, "NaN or infinite values in T"),
    ({"Y": np.where(np.arange(len(Y)) == 3, np.nan, Y)}, "NaN or infinite values in Y"),
    ({"Y": Y[:-1]}, "X has 1200, T has 1200, Y has 1199"),
    ({"groups": USER[1:]}, "X has 1200, groups has 1199"),
    ({"X": X[:, 0]}, r"X has the shape \(1200,\)"),
    ({"X": X[:, :0]}, r"X has the shape \(1200, 0\)"),
    ({"X": pd.DataFrame({"x": X[:, 0], "city": "Bern"})}, "no numbers: city"),
    ({"T": np.stack([T, T], axis=1)}, r"T has the shape \(1200, 2\)"),
    ({"T": np.full(len(T), "yes")}, "T holds what is no number"),
    ({"Y": np.full(len(T), "yes")}, "Y holds what is no number"),
    ({"Y": Y.astype(int).astype(str)}, "Y holds what is no number"),
    ({"Y": pd.Series(Y.astype(int)).astype(str)}, "Y holds what is no number"),
    ({"T": pd.Series(T.astype(int)).map({0: "0", 1: "1"}).astype("category")}, "T holds what is no number"),
    ({"T": np.ones(len(T))}, "T is 1 in every row"),
    ({"Y": np.zeros(len(Y))}, "Y is 0 in every row"),
    ({"T": 2 * X[:, 0] - X[:, 1] + 3}, "T is a linear combination of the columns of X: it is perfectly predicted"),
    ({"T": (X[:, 0] ** 2 > 1).astype(float)}, "T is predicted out of fold with R² = .* perfectly predicted"),
    ({"groups": USER % 29}, "29 groups. At least 30 groups are needed"),
    ({"groups": np.where(USER > 100, np.nan, USER)}, "190 rows have no group"),
    ({"folds": 1}, "1 folds"),
    ({"folds": np.arange(len(T)) % 5}, "a group in two of them"),
    ({"learner": "forest"}, "learner='forest'"),
    ({"Y": X[:, 0] + Y, "learner": LogisticRegression()}, "LogisticRegression is a classifier"),
]


@pytest.mark.parametrize(("changed", "message"), REFUSALS, ids=[m[:40] for _, m in REFUSALS])
def test_defects_are_refused_each_in_words(changed, message):
    given = {"X": X, "T": T, "Y": Y, "groups": USER, **changed}
    with pytest.raises(ArraysError, match=message):
        partially_linear(**given)


def test_a_continuous_treatment_has_no_arms():
    with pytest.raises(ArraysError, match="values other than 0 and 1"):
        interactive(X, T + X[:, 0], Y, groups=USER)


def test_an_arm_too_thin_to_learn_from_is_refused():
    few = np.where(USER < 8, T, 0)
    with pytest.raises(ArraysError, match=r"only [0-9]+ rows of one arm"):
        interactive(X, np.where(np.cumsum(few) < 12, few, 0), Y, groups=USER, learner="ridge")


@pytest.mark.parametrize("model", [partially_linear, interactive])
def test_one_group_with_half_of_the_rows_is_flagged_and_cannot_be_told(model):
    half = np.where(np.arange(len(T)) < 620, 0, USER)
    found = model(X, T, Y, groups=half, learner=LINEAR)
    assert found.reasons[0] == "Group 0 has 52% of the rows."
    assert "groups' worth of information; 30 are needed" in found.reasons[-1]
    assert found.estimate is None
    assert found.summary().startswith("Cannot tell.")
    assert found.to_frame()["std_error"].isna().all()


def test_weak_overlap_is_refused_in_words():
    rng = np.random.default_rng(0)
    strong = 3 * X[:, 0] + rng.logistic(size=len(X)) / 1.2 > 1
    found = interactive(
        X, strong.astype(float), Y, groups=USER, learner=Learners(treatment=LogisticRegression(C=100), outcome="ridge")
    )
    assert found.estimate is None
    assert found.share_supported < 0.95
    assert "have a propensity within [.01, .99]; 95% are needed." in found.reasons[0]
    assert [e.estimand for e in found.estimates] == ["ate", "att"]


def test_any_classifier_answers_with_probabilities():
    found = partially_linear(
        X, T, Y, groups=USER, learner=RandomForestClassifier(50, min_samples_leaf=30, random_state=0)
    )
    assert ((found.nuisances["e"] > 0) & (found.nuisances["e"] < 1)).all()


def test_the_result_has_numbers_words_and_a_figure():
    found = interactive(X, T, Y, groups=USER, learner=LINEAR)
    frame = found.to_frame()
    assert frame["estimand"].tolist() == ["ate", "att"]
    assert frame["estimate"].iloc[0] == found.estimate
    assert found.summary().startswith(f"ate: {found.estimate:.6g} (standard error {found.std_error:.3g}, 95% interval")
    assert "1200 rows of 120 groups" in found.summary()
    np.testing.assert_allclose(found.plot().data[0].x, frame["estimate"])


def test_the_package_leads_to_them():
    assert whybuy.estimators.partially_linear is partially_linear
    with pytest.raises(AttributeError, match="no attribute 'estimator'"):
        _ = whybuy.estimator


def test_scaling_the_outcome_scales_estimate_and_error():
    one = partially_linear(X, T, Y, groups=USER, learner=Ridge())
    ten = partially_linear(X, T, 10 * Y, groups=USER, learner=Ridge())
    assert ten.estimate == pytest.approx(10 * one.estimate)
    assert ten.std_error == pytest.approx(10 * one.std_error)
