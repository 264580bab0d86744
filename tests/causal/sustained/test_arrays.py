"""Strategies of plain arrays: the truth recovered where naive and all-at-once regressions miss, and every refusal."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from tests.causal.sustained.feedback import truth, visits
from whybuy.causal.sustained.strategies import Strategy
from whybuy.estimators import ArraysError, Learners, sustained

LINEAR = Learners(treatment=LogisticRegression(), outcome=LinearRegression())
ASKED = {"odds": (0.5, 2.0), "shares": (0.25,)}


@pytest.fixture(scope="module")
def truths():
    """Change in mean Y of every strategy, by intervening."""
    kinds = [("odds", 0.5), ("odds", 2.0), ("curb", 0.25), ("nudge", 0.25), ("never", 1.0), ("always", 1.0)]
    as_it_goes = truth(lambda pi: pi)
    return {s.label: truth(s.chance) - as_it_goes for s in (Strategy(*kind) for kind in kinds)}


def asked(seed, *, n=3_000, learner=None, **changes):
    seen = visits(np.random.default_rng(seed), n)
    return seen, sustained(seen.H, seen.A, seen.Y, learner=learner, **{"folds": 3, **ASKED, **changes})


def all_at_once(seen):
    """The slopes of the visits in a regression on all visits and all interests, added up: always less never."""
    X = np.column_stack([*seen.L, seen.A])
    return LinearRegression().fit(X, seen.Y).coef_[-seen.A.shape[1] :].sum()


def test_the_truth_is_told_where_naive_and_all_at_once_miss(truths):
    seen, found = asked(100, n=6_000)
    for label, right in truths.items():
        point = found[label]
        assert abs(point.change.estimate - right) < 3.5 * point.change.std_error, label
        assert abs(point.naive_change - right) > 4 * point.change.std_error, label
        assert abs(point.naive_change) > abs(right), label
    static = truths["always do it"] - truths["never do it"]
    error = found["always do it"].change.std_error + found["never do it"].change.std_error
    assert static - all_at_once(seen) > 4 * error
    assert found.p_flat < 0.01


@pytest.mark.slow
def test_intervals_cover(truths):
    """Seeds 100-199, boosted trees; learners were chosen on seeds 0-9. The two other answers never cover."""
    hits = {label: [] for label in truths}
    naive = {label: [] for label in truths}
    at_once, band = [], []
    static = truths["always do it"] - truths["never do it"]
    for seed in range(100, 200):
        seen, found = asked(seed)
        inside = []
        for label, right in truths.items():
            e = found[label].change
            if e.estimate is None:
                continue
            hits[label].append(e.ci_low <= right <= e.ci_high)
            naive[label].append(abs(found[label].naive_change - right) <= 1.96 * e.std_error)
            inside.append(found[label].band_low <= right <= found[label].band_high)
        band.append(all(inside))
        at_once.append(all_at_once(seen) / static)
    for label, covered in hits.items():
        assert len(covered) >= 60, label
        assert abs(np.mean(covered) - 0.95) <= 3 * (0.95 * 0.05 / len(covered)) ** 0.5, label
        assert np.mean(naive[label]) < 0.2, label
    assert abs(np.mean(band) - 0.95) <= 3 * (0.95 * 0.05 / 100) ** 0.5
    assert np.max(at_once) < 0.8


def test_the_curve_rises_through_zero_and_its_band_holds_the_interval():
    _, found = asked(1, learner=LINEAR, odds=(0.25, 0.5, 2.0, 4.0))
    frame = found.to_frame()
    curve = frame[frame["strategy"] == "odds"]
    assert (np.diff(curve["change"]) > 0).all()
    still = curve[curve["amount"] == 1].iloc[0]
    assert (still["change"], still["naive_change"]) == (0, pytest.approx(0))
    told = frame[frame["std_error"] > 0]
    assert (told["band_low"] < told["ci_low"]).all()
    assert (told["band_high"] > told["ci_high"]).all()
    assert list(found.plot().data[2].y) == curve["change"].tolist()
    assert "odds times 2" in found.summary()


def test_rows_of_one_user_are_alike():
    seen = visits(np.random.default_rng(2), 800)
    user = np.arange(800)
    once = sustained(seen.H, seen.A, seen.Y, groups=user, folds=user % 3, learner=LINEAR, **ASKED)
    H = [np.tile(h, (4, 1)) for h in seen.H]
    again = np.tile(user, 4)
    four = sustained(
        H, np.tile(seen.A, (4, 1)), np.tile(seen.Y, 4), groups=again, folds=again % 3, learner=LINEAR, **ASKED
    )
    one, other = once["odds times 2"].change, four["odds times 2"].change
    assert other.estimate == pytest.approx(one.estimate, rel=0.02)
    assert other.std_error == pytest.approx(one.std_error, rel=0.05)


def test_doubling_the_outcome_doubles_the_answer():
    seen, one = asked(3, learner=LINEAR)
    two = sustained(seen.H, seen.A, 2 * seen.Y, learner=LINEAR, folds=3, **ASKED)
    for p, q in zip(one.points, two.points, strict=True):
        if p.is_told:
            assert q.change.estimate == pytest.approx(2 * p.change.estimate)
            assert q.change.std_error == pytest.approx(2 * p.change.std_error)


def test_frames_are_taken_and_not_changed():
    seen, plain = asked(3, learner=LINEAR)
    frames = [pd.DataFrame(h) for h in seen.H]
    kept = [f.copy() for f in frames]
    framed = sustained(frames, pd.DataFrame(seen.A), pd.Series(seen.Y), learner=LINEAR, folds=3, **ASKED)
    assert framed.to_frame().equals(plain.to_frame())
    assert all(f.equals(k) for f, k in zip(frames, kept, strict=True))


def test_too_few_who_followed_a_static_strategy_is_refused_and_the_odds_are_not():
    _, found = asked(4, n=1_000, learner=LINEAR)
    always = found["always do it"]
    assert always.change.estimate is None
    assert always.effective_users < 200
    assert "200 are needed" in always.reasons[0]
    assert found["odds times 2"].change.estimate is not None


def test_few_users_are_refused_every_strategy():
    _, found = asked(5, n=150, learner=LINEAR)
    assert not any(p.is_told for p in found.points)
    assert "There are 150 users; 200 are needed." in found.points[0].reasons
    assert found.p_flat is None
    assert "cannot tell" in found.summary()


def test_a_rare_outcome_is_refused():
    seen = visits(np.random.default_rng(6), 1_000)
    rare = np.zeros(1_000)
    rare[:3] = 1
    found = sustained(seen.H, seen.A, rare, learner=LINEAR)
    assert "Only 3 users are with the outcome; 20 are needed." in found.points[0].reasons


def broken(**changes):
    seen = visits(np.random.default_rng(7), 400)
    given = {"H": seen.H, "A": seen.A, "Y": seen.Y, "learner": LINEAR} | changes
    return sustained(given.pop("H"), given.pop("A"), given.pop("Y"), **given)


def test_what_cannot_be_estimated_from_is_one_clear_error():
    seen = visits(np.random.default_rng(7), 400)
    always, never = seen.A.copy(), seen.A.copy()
    always[:, 1], never[:, 2] = 1, 0
    nan = [seen.H[0], seen.H[1].copy(), seen.H[2]]
    nan[1][5, 0] = np.nan
    known = [np.column_stack([h, a]) for h, a in zip(seen.H, seen.A.T, strict=True)]
    for changes, words in (
        ({"A": always}, "At decision 2 everybody is treated"),
        ({"A": never}, "At decision 3 nobody is treated"),
        ({"A": seen.A * 2}, "other than 0 and 1"),
        ({"A": np.tile(seen.A, (1, 3)), "H": seen.H * 3}, "1 to 6 decision points"),
        ({"H": seen.H[:2]}, "H holds 2 decisions"),
        ({"H": nan}, "NaN"),
        ({"H": [h[:399] for h in seen.H]}, "as many rows"),
        ({"H": known}, "perfectly predicted"),
        ({"Y": seen.Y[:20], "A": seen.A[:20], "H": [h[:20] for h in seen.H]}, "30 groups are needed"),
        ({"odds": (0.0,)}, "positive factor"),
    ):
        with pytest.raises(ArraysError, match=words):
            broken(**changes)
