"""The same arrays, folds and learners given to DoubleML and EconML give the same numbers.

Ours multiplies a clustered variance by U / (U - 1), as EconML does with rows for clusters; DoubleML does not, and its
clustered errors rest on the number of folds that its constructor was told, also where the folds are set afterwards.
"""

import warnings

import numpy as np
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge

from tests.causal.people import draw
from whybuy.estimators import Learners, interactive, partially_linear

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from doubleml import DoubleMLData, DoubleMLIRM, DoubleMLPLR
    from econml.dml import LinearDML
    from econml.dr import LinearDRLearner

pytestmark = pytest.mark.filterwarnings("ignore")

N_USERS, N_FOLDS = 200, 4
PEOPLE = draw(7, n_users=N_USERS, each=10)
X, T, Y, USER = PEOPLE.Z.astype(float), PEOPLE.data.T, PEOPLE.data.Y, PEOPLE.data.user
PRICE = X[:, 0] + np.random.default_rng(0).normal(size=len(T)) + T
FOLDS = {"n_folds": N_FOLDS, "draw_sample_splitting": False}
LINEAR = Learners(treatment=LogisticRegression(C=0.01), outcome=LinearRegression())
TREES = {"n_estimators": 30, "num_leaves": 6, "verbosity": -1, "n_jobs": 1, "deterministic": True}
BOOSTED = Learners(treatment=LGBMClassifier(**TREES), outcome=LGBMRegressor(**TREES))


def doubleml(model, ours, T, *, by_user):
    """Fit a DoubleML model on the folds of ours: (estimate, standard error)."""
    data = DoubleMLData.from_arrays(X, Y, T, cluster_vars=USER if by_user else None)
    fitted = model(data)
    clusters = None
    if by_user:
        clusters = [[[[np.unique(USER[rows])] for rows in split] for split in ours.splits]]
        fitted.set_sample_splitting([ours.splits], all_smpls_cluster=clusters)
    else:
        fitted.set_sample_splitting([ours.splits])
    fitted.fit()
    return float(fitted.coef[0]), float(fitted.se[0])


def agrees(ours, theirs, n_clusters):
    estimate, std_error = theirs
    assert abs(ours.estimate - estimate) < 1e-6 * ours.std_error
    corrected = std_error * np.sqrt(n_clusters / (n_clusters - 1))
    assert ours.std_error == pytest.approx(corrected, rel=1e-6)


@pytest.mark.parametrize("by_user", [False, True])
@pytest.mark.parametrize("treatment", [T, PRICE], ids=["binary", "continuous"])
def test_partially_linear_is_doubleml_s(treatment, by_user):
    ours = partially_linear(X, treatment, Y, groups=USER if by_user else None, learner=Ridge(3.0), folds=USER % N_FOLDS)
    theirs = doubleml(
        lambda data: DoubleMLPLR(data, Ridge(3.0), Ridge(3.0), **FOLDS),
        ours, treatment, by_user=by_user,
    )  # fmt: skip
    agrees(ours, theirs, N_USERS if by_user else len(T))


@pytest.mark.parametrize("by_user", [False, True])
@pytest.mark.parametrize(("score", "at"), [("ATE", 0), ("ATTE", 1)])
def test_interactive_is_doubleml_s(score, at, by_user):
    ours = interactive(X, T, Y, groups=USER if by_user else None, learner=LINEAR, folds=USER % N_FOLDS)
    assert ours.share_supported == 1
    theirs = doubleml(
        lambda data: DoubleMLIRM(
            data, clone(LINEAR.outcome), clone(LINEAR.treatment), score=score, **FOLDS
        ),
        ours, T, by_user=by_user,
    )  # fmt: skip
    estimate = ours.estimates[at]
    agrees(estimate, theirs, N_USERS if by_user else len(T))


@pytest.mark.parametrize("treatment", [T, PRICE], ids=["binary", "continuous"])
def test_partially_linear_is_econml_s(treatment):
    ours = partially_linear(X, treatment, Y, learner=LinearRegression(), folds=USER % N_FOLDS)
    theirs = LinearDML(model_y=LinearRegression(), model_t=LinearRegression(), cv=ours.splits)
    theirs.fit(Y, treatment, W=X)
    agrees(ours, (theirs.ate(), float(theirs.intercept__inference().stderr)), 1e12)


class ByArm(RegressorMixin, BaseEstimator):
    """EconML's outcome model reads the treatment beside the covariates; this one learns each arm alone, as ours."""

    def __init__(self, base):
        self.base = base

    def fit(self, XT, y):
        self.arms_ = [clone(self.base).fit(XT[XT[:, -1] == arm, :-1], y[XT[:, -1] == arm]) for arm in (0, 1)]
        return self

    def predict(self, XT):
        return np.where(XT[:, -1] == 0, self.arms_[0].predict(XT[:, :-1]), self.arms_[1].predict(XT[:, :-1]))


def test_interactive_is_econml_s():
    ours = interactive(X, T, Y, learner=LINEAR, folds=USER % N_FOLDS)
    theirs = LinearDRLearner(
        model_propensity=clone(LINEAR.treatment), model_regression=ByArm(LinearRegression()), cv=ours.splits
    )
    theirs.fit(Y, T.astype(int), W=X)
    agrees(ours, (theirs.ate(T0=0, T1=1), float(theirs.intercept__inference(T=1).stderr)), 1e12)


def test_boosted_nuisances_agree_within_monte_carlo_error():
    ours = partially_linear(X, T, Y, groups=USER, learner=BOOSTED, folds=N_FOLDS)
    theirs = doubleml(
        lambda data: DoubleMLPLR(data, LGBMRegressor(**TREES), LGBMClassifier(**TREES), **FOLDS),
        ours, T, by_user=True,
    )  # fmt: skip
    assert abs(ours.estimate - theirs[0]) < 0.1 * theirs[1]
    drawn = DoubleMLPLR(
        DoubleMLData.from_arrays(X, Y, T, cluster_vars=USER), LGBMRegressor(**TREES), LGBMClassifier(**TREES)
    )
    np.random.seed(0)  # noqa: NPY002 - DoubleML draws its folds from the global state
    drawn.draw_sample_splitting().fit()
    assert abs(ours.estimate - drawn.coef[0]) < 1.0 * ours.std_error


def test_a_doubleml_user_compares_in_three_lines():
    ours = partially_linear(X, T, Y, learner=Ridge())
    theirs = DoubleMLPLR(DoubleMLData.from_arrays(X, Y, T), Ridge(), Ridge(), draw_sample_splitting=False)
    theirs.set_sample_splitting([ours.splits]).fit()
    assert abs(ours.estimate - theirs.coef[0]) < 1e-6 * ours.std_error
