"""Arrays that no uplift can be told from are refused, each defect with one message of three parts."""

import numpy as np
import pytest

from tests.campaign.uplift.shoppers import draw
from whybuy.estimators import ArraysError, uplift, uplift_curves

S = draw(0, n_users=1000)


def few(T, n):
    """Leave ``n`` treated."""
    T = T.copy()
    T[np.flatnonzero(T)[n:]] = 0
    return T


def missing(Y, rows):
    Y = Y.copy()
    Y[rows] = np.nan
    return Y


REFUSED = {
    "everybody treated": (np.ones(1000), S.Y, 0.5, r"Everybody is treated: there is one arm only\. .*two arms"),
    "nobody treated": (np.zeros(1000), S.Y, 0.5, r"Nobody is treated: there is one arm only"),
    "an arm of three": (few(S.T, 3), S.Y, None, r"The treated arm has 3 people\. .*at least 100 in each arm"),
    "an arm of one": (few(S.T, 1), S.Y, None, r"The treated arm has 1 person\."),
    "a control arm of three": (1 - few(S.T, 3), S.Y, None, r"The control arm has 3 people\."),
    "three arms": (S.T + S.X[:, 2], S.Y, None, r"values other than 0 and 1.*two arms at a time"),
    "outcome missing for one arm": (S.T, missing(S.Y, S.T > 0), 0.5, r"missing for (\d+) of \1 treated and 0 of \d+"),
    "outcome missing for some": (S.T, missing(S.Y, slice(5)), 0.5, r"missing for .*comparing only those seen"),
    "outcome never in one arm": (S.T, S.Y * S.T, 0.5, r"0 users of the control arm have an outcome.*logged for both"),
    "propensity 0": (S.T, S.Y, np.where(S.X[:, 0] > 1, 0.0, 0.5), r"propensities are 0, 1 or beyond, the first 0\. "),
    "propensity 1": (S.T, S.Y, 1.0, r"1,000 propensities are 0, 1 or beyond, the first 1\. "),
    "propensity above 1": (S.T, S.Y, 50.0, r"the first 50\. .*strictly between 0 and 1"),
    "a split that is off": (S.T, S.Y, 0.6, r"% are treated, and the propensities say 60\.0%\. .*lost from an arm"),
    "text": (np.where(S.T > 0, "a", "b"), S.Y, None, r"treatment holds what is no number"),
    "lengths": (S.T[:-1], S.Y, None, r"treatment has 999"),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_a_defect_has_one_message(defect):
    T, Y, propensity, message = REFUSED[defect]
    with pytest.raises(ArraysError, match=message):
        uplift(S.X, T, Y, propensity)


def test_no_overlap_is_refused_where_people_were_not_assigned_at_random():
    s = draw(1, n_users=3000)
    T = np.where(s.X[:, 1] + 0.05 * s.X[:, 3] > 0, 1.0, 0.0)  # whoever has the habit is sent it
    with pytest.raises(ArraysError, match=r"No overlap: .*hold some out at random"):
        uplift(s.X, T, s.Y, learners=("t",))


def test_known_chances_near_0_are_refused_too():
    rng = np.random.default_rng(2)
    e = np.where(S.X[:, 2] > 0, 0.004, 0.5)
    T = (rng.random(1000) < e).astype(float)
    with pytest.raises(ArraysError, match=r"No overlap: .* a propensity in \[\.01, \.99\]"):
        uplift(S.X, T, S.Y, e, learners=("t",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learners": ("s", "causal forest")}, r"'causal forest'.*one or more of sxr, s, t, x, r, dr"),
        ({"learners": ()}, r"one or more of"),
        ({"share_judging": 1.0}, r"share_judging=1\. .*some users teach"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ArraysError, match=message):
        uplift(S.X, S.T, S.Y, 0.5, **settings)


def test_curves_refuse_the_same():
    with pytest.raises(ArraysError, match="one arm only"):
        uplift_curves(np.ones(1000), S.Y, S.tau, propensity=0.5)
    with pytest.raises(ArraysError, match="lost from an arm"):
        uplift_curves(S.T, S.Y, S.tau, propensity=0.4)
