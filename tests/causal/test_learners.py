"""Cross-fitting: nobody is judged by a learner that saw them."""

from dataclasses import replace

import numpy as np
from scipy.special import expit, logit

from whybuy.behavior.folds import folds_of_users
from whybuy.causal.learners import PROPENSITY, CrossFitter

SMALL = replace(PROPENSITY, rounds=30, min_rows_in_leaf=20, share_of_columns=1.0, l2=1.0)


def test_predictions_of_a_fold_do_not_depend_on_its_labels():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 3)).astype(np.float32)
    y = (rng.random(1200) < 1 / (1 + np.exp(-X[:, 0]))).astype(np.uint8)
    fold = np.repeat([0, 1, 2], 400)
    fitter = CrossFitter(X, fold)
    first = fitter.predict(y, SMALL, head=None)
    flipped = y.copy()
    flipped[:400] = 1 - flipped[:400]
    second = fitter.predict(flipped, SMALL, head=None)
    np.testing.assert_array_equal(first[:400], second[:400])
    assert (first[400:] != second[400:]).any()
    assert np.corrcoef(first, 1 / (1 + np.exp(-X[:, 0])))[0, 1] > 0.8


def test_a_head_that_knows_all_is_believed():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.05, 0.95, 3000)
    y = (rng.random(3000) < p).astype(np.uint8)
    noise = rng.normal(size=(3000, 2)).astype(np.float32)
    fitter = CrossFitter(noise, np.arange(3000) % 3)
    found = fitter.predict(y, SMALL, head=logit(p).astype(np.float32))
    assert np.abs(found - p).mean() < 0.045


def test_a_head_that_is_too_sure_is_recalibrated_by_the_other_folds():
    rng = np.random.default_rng(3)
    true = rng.normal(-1, 1, 3000)
    y = (rng.random(3000) < expit(true)).astype(np.uint8)
    noise, fold = rng.normal(size=(3000, 2)).astype(np.float32), np.arange(3000) % 3
    sure = (3 * true + 1).astype(np.float32)
    found = CrossFitter(noise, fold).predict(y, replace(SMALL, rounds=2), head=sure)
    assert np.abs(expit(sure) - expit(true)).mean() > 0.1
    assert np.abs(found - expit(true)).mean() < 0.02
    flipped = np.where(fold == 0, 1 - y, y).astype(np.uint8)
    again = CrossFitter(noise, fold).predict(flipped, replace(SMALL, rounds=2), head=sure)
    np.testing.assert_array_equal(again[fold == 0], found[fold == 0])


def test_a_head_that_knows_nothing_is_left_aside_for_what_the_trees_find():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(6000, 2)).astype(np.float32)
    true = 2.0 * (X[:, 0] > 0) - 1
    y = (rng.random(6000) < expit(true)).astype(np.uint8)
    idle = rng.normal(0, 2, 6000).astype(np.float32)
    found = CrossFitter(X, np.arange(6000) % 3).predict(y, SMALL, head=idle)
    assert np.abs(expit(idle) - expit(true)).mean() > 0.3
    assert np.abs(found - expit(true)).mean() < 0.06


def test_head_and_trees_together_know_more_than_either():
    rng = np.random.default_rng(5)
    X, unseen = rng.normal(size=(9000, 2)).astype(np.float32), rng.normal(size=9000)
    true = 1.5 * np.sign(X[:, 0]) + unseen
    y = (rng.random(9000) < expit(true)).astype(np.uint8)
    fitter = CrossFitter(X, np.arange(9000) % 3)
    trees, head = fitter.predict(y, SMALL, head=None), unseen.astype(np.float32)
    both = fitter.predict(y, SMALL, head=head)
    error = [np.abs(p - expit(true)).mean() for p in (both, trees, expit(head))]
    assert error[0] < 0.6 * min(error[1:])


def test_too_few_folds_or_cases_teach_nothing():
    y = np.zeros(300, np.uint8)
    y[:5] = 1
    X, head = np.zeros((300, 1), np.float32), np.full(300, -2.0, np.float32)
    np.testing.assert_allclose(CrossFitter(X, np.arange(300) % 3).predict(y, SMALL, head=head), expit(-2.0))
    half = (np.arange(300) % 2).astype(np.uint8)
    np.testing.assert_allclose(CrossFitter(X, np.arange(300) % 2).predict(half, SMALL, head=head), expit(-2.0))
    none = CrossFitter(X, np.arange(300) % 3).predict(y, SMALL, head=None)
    assert none[1] == (y[np.arange(300) % 3 != 1].sum() + 0.5) / 201


def test_rows_left_out_do_not_teach():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(900, 2)).astype(np.float32)
    y = (rng.random(900) < 0.3).astype(np.uint8)
    use = rng.random(900) < 0.7
    other = np.where(use, y, 1 - y).astype(np.uint8)
    fitter = CrossFitter(X, np.arange(900) % 3)
    np.testing.assert_allclose(
        fitter.predict(y, SMALL, head=None, use=use), fitter.predict(other, SMALL, head=None, use=use), atol=1e-7
    )


def test_folds_are_a_function_of_the_id_alone():
    ids = np.array([f"user-{i}" for i in range(4_000)], object)
    folds, some = folds_of_users(ids), folds_of_users(ids[100:200])
    np.testing.assert_array_equal(folds.twin[100:200], some.twin)
    np.testing.assert_array_equal(folds.position[100:200], some.position)
    assert abs(folds.twin.mean() - 0.5) < 0.03
    assert np.bincount(folds.subfold).min() > 1200
    assert abs(folds.position.mean() - 0.5) < 0.02


def test_a_frozen_learner_answers_for_users_of_no_fold():
    rng = np.random.default_rng(5)
    X, head = rng.normal(size=(9000, 2)).astype(np.float32), rng.normal(size=9000).astype(np.float32)
    true = 1.5 * (X[:, 0] > 0) + 0.5 * head
    y = (rng.random(9000) < expit(true)).astype(np.uint8)
    seen, new = slice(0, 6000), slice(6000, None)
    learner = CrossFitter(X[seen], np.arange(6000) % 3).frozen(y[seen], SMALL, head=head[seen])
    found = learner.predict(X[new], head[new])
    assert np.abs(found - expit(true[new])).mean() < 0.04
    assert np.abs(found - expit(true[new])).mean() < 0.5 * np.abs(expit(head[new]) - expit(true[new])).mean()
