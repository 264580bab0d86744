"""The curves are scikit-uplift's and CausalML's to 1e-9, each under its own normalization."""

import warnings

import numpy as np
import pandas as pd
import pytest

from tests.campaign.uplift.shoppers import draw
from whybuy.campaign.uplift.counts import area, perfect_ranking, sorted_counts
from whybuy.campaign.uplift.rate import areas, effects_of_top
from whybuy.estimators import uplift_curves

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from causalml.metrics import auuc_score, get_cumgain, get_cumlift, get_qini, qini_score
    from causalml.metrics.rate import get_toc
    from sklift import metrics as sklift

pytestmark = pytest.mark.filterwarnings("ignore")

NEAR = {"rtol": 0, "atol": 1e-9}
ODD = {  # an arm that is unseen for a while at the head of the ranking
    "treated first": np.r_[np.ones(40), np.zeros(40)],
    "controls first": np.r_[np.zeros(40), np.ones(40)],
}


def drawn(seed, *, head=None):
    s = draw(seed, n_users=500)
    priority = s.tau + np.random.default_rng(seed).normal(0, 0.1, len(s.T))
    T = s.T.copy()
    if head is not None:
        order = np.argsort(-priority)
        T[order[: len(ODD[head])]] = ODD[head]
    return T, s.Y, priority


CASES = [(seed, head) for seed in (0, 1) for head in (None, *ODD)]


@pytest.mark.parametrize(("seed", "head"), CASES)
def test_curves_are_causalml_s(seed, head):
    T, Y, priority = drawn(seed, head=head)
    frame = pd.DataFrame({"model": priority, "y": Y, "w": T})
    counts = sorted_counts(T, Y, priority)
    for kind, theirs in (("uplift", get_cumlift(frame)), ("gain", get_cumgain(frame)), ("qini", get_qini(frame))):
        k, value = counts.curve(kind)
        assert (k == theirs.index).all()
        np.testing.assert_allclose(value, theirs["model"], **NEAR)


@pytest.mark.parametrize(("seed", "head"), CASES)
def test_final_areas_are_causalml_s(seed, head):
    T, Y, priority = drawn(seed, head=head)
    frame = pd.DataFrame({"model": priority, "y": Y, "w": T})
    assert area(T, Y, sorted_counts(T, Y, priority), "gain", "final") == pytest.approx(
        auuc_score(frame)["model"], abs=1e-9
    )
    assert area(T, Y, sorted_counts(T, Y, priority), "qini", "final") == pytest.approx(
        qini_score(frame)["model"], abs=1e-9
    )


def ties(seed):
    """A ranking of a dozen values, as a tree gives."""
    T, Y, priority = drawn(seed)
    return T, Y, np.round(priority, 1)


@pytest.mark.parametrize("arrays", [drawn(0), drawn(1, head="treated first"), drawn(1, head="controls first"), ties(2)])
def test_curves_are_scikit_uplift_s(arrays):
    T, Y, priority = arrays
    counts = sorted_counts(T, Y, priority)
    for kind, theirs in (("gain", sklift.uplift_curve), ("qini", sklift.qini_curve)):
        k, value = counts.curve(kind, unseen="zero")
        people, expected = theirs(Y, priority, T)
        assert (k == people).all()
        np.testing.assert_allclose(value, expected, **NEAR)


@pytest.mark.parametrize("arrays", [drawn(0), drawn(1, head="treated first"), drawn(1, head="controls first"), ties(2)])
def test_perfect_areas_are_scikit_uplift_s(arrays):
    T, Y, priority = arrays
    assert area(T, Y, sorted_counts(T, Y, priority), "gain", "perfect") == pytest.approx(
        sklift.uplift_auc_score(Y, priority, T), abs=1e-9
    )
    assert area(T, Y, sorted_counts(T, Y, priority), "qini", "perfect") == pytest.approx(
        sklift.qini_auc_score(Y, priority, T), abs=1e-9
    )


def test_perfect_curves_are_scikit_uplift_s():
    T, Y, _ = drawn(3)
    for kind, theirs in (("gain", sklift.perfect_uplift_curve), ("qini", sklift.perfect_qini_curve)):
        k, value = sorted_counts(T, Y, perfect_ranking(T, Y, kind)).curve(kind, unseen="zero")
        people, expected = theirs(Y, T)
        assert (k == people).all()
        np.testing.assert_allclose(value, expected, **NEAR)


def test_tenths_are_scikit_uplift_s():
    T, Y, priority = drawn(4)
    ours = uplift_curves(T, Y, priority, propensity=0.5).deciles_frame()
    theirs = sklift.uplift_by_percentile(Y, priority, T, strategy="overall", bins=10)
    np.testing.assert_allclose(ours["effect"], theirs["uplift"], **NEAR)
    assert ours["n_treated"].tolist() == theirs["n_treatment"].tolist()


def test_the_public_areas_are_the_peers():
    T, Y, priority = drawn(5)
    perfect = uplift_curves(T, Y, priority, propensity=0.5, normalization="perfect")
    assert perfect.qini.estimate == pytest.approx(sklift.qini_auc_score(Y, priority, T), abs=1e-9)
    assert perfect.auuc.estimate == pytest.approx(sklift.uplift_auc_score(Y, priority, T), abs=1e-9)
    s = draw(5, n_users=4000)
    T, Y, priority = s.T, s.Y, s.tau + np.random.default_rng(5).normal(0, 0.01, 4000)
    final = uplift_curves(T, Y, priority, propensity=0.5, normalization="final")
    frame = pd.DataFrame({"model": priority, "y": Y, "w": T})
    assert final.auuc.estimate == pytest.approx(auuc_score(frame)["model"], abs=1e-9)


def test_the_targeting_curve_is_causalml_s_where_effects_are_known():
    s = draw(6, n_users=1000)
    priority = s.tau + np.random.default_rng(6).normal(0, 0.1, 1000)
    theirs = get_toc(pd.DataFrame({"model": priority, "tau": s.tau}), treatment_effect_col="tau")["model"]
    sorted_tau = s.tau[np.argsort(-priority)]
    effect = effects_of_top(sorted_tau)
    np.testing.assert_allclose(effect - effect[-1], theirs.to_numpy()[10::10], **NEAR)
    # Its AUTOC weights trapezoids between the places; ours is the mean over the places, as in the paper.
    assert areas(sorted_tau)[0] == pytest.approx(theirs.to_numpy()[1:].mean(), abs=1e-9)
