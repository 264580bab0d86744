"""Marks are where their chances say, know nothing of the future, and their true effects are those of a plain replay."""

import numpy as np
import pytest

from tests.causal.certificate.plain import Person, true_effects
from tests.causal.certificate.small import past, rules
from whybuy.causal.certificate.arrays import Past
from whybuy.causal.certificate.walk import _keys, gains, ingredients, walk


def test_every_moment_is_that_of_a_plain_loop():
    log, markers = past(0), rules((0.6, 0.0, 0.3))
    walked, keys = walk(log, markers, seed=5), _keys(log, 5).tolist()
    assert (walked.donor >= 0).sum() > 10
    for u in range(len(log.key)):
        moments = range(log.offsets[u], log.offsets[u + 1])
        person = Person(log, markers, moments, (keys[u], keys[u]), turn=moments.stop)
        person.walk()
        for i in moments:
            assert walked.chance[i] == pytest.approx(person.chances[i], rel=1e-9)
            assert walked.mark[i].tolist() == person.marks[i]
            assert walked.donor[i] == person.donor[i]
            assert walked.bought[i].tolist() == person.bought(i).tolist()


def test_the_truth_is_that_of_plain_replays():
    log, markers = past(1, n_users=6, each=14), rules((0.7, 0.5))
    asked = log.decided & (np.arange(len(log.ts_ms)) % 2 == 0)
    gain, weight = gains(log, markers, seed=5, afresh=6, asked=asked)
    slow = true_effects(log, markers, (_keys(log, 5).tolist(), _keys(log, 6).tolist()), asked)
    assert gain.sum(0) / weight.sum(0) == pytest.approx(slow, rel=1e-9)
    assert np.abs(slow).max() > 0.02


def test_marks_that_do_nothing_have_no_effect_at_all():
    log, markers = past(2), rules((0.0, 0.0))
    walked = walk(log, markers, seed=5)
    assert (walked.bought == log.bought).all()
    gain, weight = gains(log, markers, seed=5, afresh=6, asked=log.decided)
    assert (gain == 0).all()
    assert (weight.sum(0) > 0).all()


def test_a_marker_that_does_nothing_is_the_same_beside_one_that_does_something_else():
    log, both = past(2), rules((0.5, 0.0))
    gain, _ = gains(log, both, seed=5, afresh=6, asked=log.decided)
    assert (gain[:, 0] != 0).any()
    assert (gain[:, 1] == 0).all()
    assert (walk(log, both.first(1), seed=5).mark[:, 0] == walk(log, both, seed=5).mark[:, 0]).all()


def test_marks_are_as_frequent_as_their_chances_say():
    log, markers = past(3, n_users=800, each=40), rules((0.3, 0.0))
    walked = walk(log, markers, seed=5)
    for part in (walked.chance < np.median(walked.chance), walked.chance > np.quantile(walked.chance, 0.9)):
        spread = np.sqrt((walked.chance * (1 - walked.chance))[part].sum())
        assert abs((walked.mark - walked.chance)[part].sum()) < 4 * spread
    assert (walked.mark[~log.decided] == 0).all()


def test_what_comes_later_changes_no_earlier_mark():
    log, markers = past(4), rules((0.6, 0.0))
    before = walk(log, markers, seed=5)
    late = np.arange(len(log.ts_ms)) % 24 >= 14
    counts, bought = log.counts.copy(), log.bought.copy()
    counts[late], bought[late] = 1 - counts[late], 1 - bought[late]
    after = walk(log._replace(counts=counts, bought=bought), markers, seed=5)
    for name in ("mark", "chance", "donor", "bought"):
        assert (getattr(before, name)[~late] == getattr(after, name)[~late]).all()
    assert (before.chance[late] != after.chance[late]).any()
    cut = Past(np.arange(13) * 14, log.key, *(array[~late] for array in log[2:]))
    assert (walk(cut, markers, seed=5).mark == before.mark[~late]).all()


def test_a_mark_depends_on_earlier_marks():
    log, tiring = past(5), rules((0.0,))
    gone_on = tiring._replace(weight=np.where(np.arange(5) == 4, 0.8, tiring.weight))
    assert walk(log, gone_on, seed=5).chance.mean() > walk(log, tiring, seed=5).chance.mean()


def test_ingredients_are_those_of_the_chances():
    log, markers = past(6), rules((0.0, 0.0))
    forgetful = markers._replace(weight=np.where(np.arange(5) == 4, 0.0, markers.weight))
    eta = markers.intercept + (ingredients(log, forgetful) * markers.weight[:, :4]).sum(axis=2)
    chance = walk(log, forgetful, seed=5).chance
    assert chance[log.decided] == pytest.approx(1 / (1 + np.exp(-eta[log.decided])), rel=1e-9)
