"""Panels of recommendations: rows by a plain loop, folds by person, what is refused."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from whybuy.errors import ArraysError
from whybuy.recommend.panel.arrays import folds_of, histories, panel_of, rows_of


def drawn(seed=0, shape=(4, 30, 5)):
    rng = np.random.default_rng(seed)
    treated = rng.random(shape) < 0.4
    return treated, rng.random(shape) < np.where(treated, 0.5, 0.2), rng.uniform(0.1, 0.9, shape[1:])


def checked(treated, outcome, **given):
    return panel_of(treated, outcome, **{"items": None, "propensity": None, "users": None, **given})


def test_merged_rows_are_the_rows_of_a_plain_loop():
    T, Y, e = drawn()
    users = np.arange(30) < 20
    rows = rows_of(checked(T, Y, propensity=e), users)
    n, other_arm, overlap = Counter(), Counter(), Counter()
    for r, u, i in np.ndindex(T.shape):
        if users[u]:
            others = np.arange(4) != r
            t, y = T[others, u, i], Y[others, u, i]
            row = (i, t.sum(), (t & y).sum(), (~t & y).sum(), int(T[r, u, i]), int(Y[r, u, i]))
            n[row] += 1
            other_arm[row] += 1 - e[u, i] if T[r, u, i] else e[u, i]
            overlap[row] += e[u, i] * (1 - e[u, i])
    h = rows.history
    found = list(zip(h.item, h.recommended, h.bought_with, h.bought_without, rows.treated, rows.outcome, strict=True))
    assert set(found) == set(n)
    assert len(found) == len(n)
    for expected, values in ((n, rows.n), (other_arm, rows.known[0]), (overlap, rows.known[1])):
        assert values == pytest.approx([expected[row] for row in found])


def test_a_round_has_no_part_in_its_own_history():
    """Turning the outcome of one round changes the histories of the others, never its own."""
    T, Y, _ = drawn(shape=(4, 1, 1))
    T[:], turned = True, Y.copy()
    turned[0] = ~Y[0]
    both = [rows_of(checked(T, y), np.ones(1, bool)) for y in (Y, turned)]
    bought = [r.history.bought_with[r.outcome == y[0, 0, 0]] for r, y in zip(both, (Y, turned), strict=True)]
    assert Y[1:].sum() in bought[0]
    assert Y[1:].sum() in bought[1]


def test_histories_hold_all_rounds():
    T, Y, _ = drawn()
    users = np.arange(30) % 2 == 0
    distinct, which = histories(checked(T, Y), users)
    assert (distinct.item[which] == np.arange(5)).all()
    assert (distinct.recommended[which] == T.sum(axis=0)[users]).all()
    assert (distinct.bought_with[which] == (T & Y).sum(axis=0)[users]).all()
    assert (distinct.bought_without[which] == (~T & Y).sum(axis=0)[users]).all()


def test_rates_by_hand():
    """One item, two users, two rounds: recommended once and bought then; of three rounds without, one purchase.

    With two purchases in four rows, the round more is half a purchase: (1 + 1/2) / 2 with, (1 + 1/3) / 4 without.
    """
    T, Y = np.array([[[1], [0]], [[0], [0]]]), np.array([[[1], [1]], [[0], [0]]])
    rates = checked(T, Y).rates(np.ones(2, bool))
    assert rates[0] == pytest.approx([(1 + 1 / 3) / 4, (1 + 1) / 2, 1 / 4])


def test_rows_of_one_person_have_one_fold():
    T, Y, _ = drawn()
    panel = checked(T, Y, users=np.arange(30) // 3)
    fold = folds_of(panel, 5, 1)
    assert all(len(set(fold[3 * k : 3 * k + 3])) == 1 for k in range(10))
    assert sorted(set(fold)) == [0, 1, 2, 3, 4]


def test_what_was_shown_to_all_or_none_is_untold():
    T, Y, _ = drawn()
    T[:, :, 1], T[:, :, 3] = True, False
    assert checked(T, Y).untold.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"treated": np.full((4, 30, 5), 2)}, "treated with other values than 0 and 1"),
        ({"outcome": np.full((4, 30, 5), np.nan)}, "outcome with other values than 0 and 1"),
        ({"treated": np.full((4, 30, 5), "1")}, "treated with other values than 0 and 1"),
        ({"treated": np.ones((3, 30, 5))}, "and two rounds: one is judged by the others"),
        ({"propensity": np.zeros((30, 5))}, "150 of them not inside"),
        ({"propensity": np.full((30, 5), np.nan)}, "150 of them not inside"),
        ({"propensity": np.full((5, 30), 0.5)}, "propensities of shape"),
        ({"items": np.full((5, 2), np.nan)}, "10 values that are no number"),
        ({"items": np.ones((4, 2))}, "items of shape"),
        ({"users": np.arange(29)}, "an id for each row"),
    ],
)
def test_arrays_with_a_defect_are_refused(change, message):
    T, Y, _ = drawn()
    given = {"treated": T, "outcome": Y, **change}
    with pytest.raises(ArraysError, match=message):
        checked(given.pop("treated"), given.pop("outcome"), **given)


def test_a_single_round_is_refused():
    T, Y, _ = drawn(shape=(1, 30, 5))
    with pytest.raises(ArraysError, match="two rounds"):
        checked(T, Y)


def test_too_few_persons_and_a_silent_arm_are_refused():
    T, Y, _ = drawn()
    panel = checked(T, Y)
    with pytest.raises(ArraysError, match=r"2 persons. Needed: at least 5"):
        folds_of(replace(panel, person=np.arange(30) % 2), 5, 0)
    with pytest.raises(ArraysError, match="recommendations with 0 purchases"):
        folds_of(checked(T, Y & ~T), 5, 0)


def test_arrays_are_left_as_they_were():
    T, Y, e = drawn()
    before = T.copy(), Y.copy(), e.copy()
    rows_of(checked(T, Y, propensity=e), np.ones(30, bool))
    assert all((a == b).all() for a, b in zip(before, (T, Y, e), strict=True))
