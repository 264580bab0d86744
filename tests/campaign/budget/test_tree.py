from itertools import product

import numpy as np
import pandas as pd
import pytest

from tests.campaign.budget.experiments import draw
from whybuy.campaign.budget.tree import Question, Rule, best_rule
from whybuy.estimators import ArraysError, policy_tree


def by_loops(X, S):
    """The value of the best rule of two questions at any value that occurs, leaves of at least a hundredth."""
    n, d = X.shape
    cuts = [(j, cut) for j in range(d) for cut in np.unique(X[:, j])[:-1]]

    def one(rows):
        best = S[rows].sum(axis=0).max()
        for j, cut in cuts:
            yes = rows & (X[:, j] <= cut)
            no = rows & ~yes
            if min(yes.sum(), no.sum()) >= 0.01 * n:
                best = max(best, S[yes].sum(axis=0).max() + S[no].sum(axis=0).max())
        return best

    sides = [(X[:, j] <= cut) for j, cut in cuts]
    return max(one(np.ones(n, bool)), *(one(yes) + one(~yes) for yes in sides if 0.01 * n <= yes.sum() <= 0.99 * n))


@pytest.mark.parametrize("seed", range(5))
def test_finds_what_trying_everything_finds(seed):
    rng = np.random.default_rng(seed)
    X, S = rng.integers(0, 5, (60, 3)).astype(float), rng.standard_normal((60, 3))
    rule = best_rule(X, S)
    assert S[np.arange(60), rule.assign(X)].sum() == pytest.approx(by_loops(X, S))


def test_sees_what_only_two_questions_show():
    """Offer 1 helps where two signs agree: neither sign alone says anything."""
    one = draw(4_000, 0)
    rule = best_rule(one.X[:, :2], one.truth[:, :2])
    agree = (one.X[:, 0] > 0) == (one.X[:, 1] > 0)
    assert (rule.assign(one.X) == agree).mean() > 0.95
    assert sorted(rule.arm) == [0, 0, 1, 1]


def test_asks_nothing_that_changes_nothing():
    X = np.random.default_rng(0).standard_normal((100, 2))
    tree = policy_tree(X, np.tile([0.0, 1.0], (100, 1)), arms=["nothing", "mail"])
    assert tree.words() == "Everybody: mail (100% of people)."
    assert policy_tree(X, np.tile([0.0, 1.0], (100, 1)), cost=[0, 2]).words().startswith("Everybody: nothing")


def test_words_and_frame():
    """Whoever spent more than 3 gets a mail, but for those whose last visit is more than 10 days ago."""
    spent, days = (np.array(column) for column in zip(*product(range(6), [5, 10, 15, 20]), strict=True))
    S = np.column_stack([np.zeros(24), np.where((spent > 3) & (days <= 10), 1.0, -1.0)])
    tree = policy_tree(pd.DataFrame({"spent": spent, "days": days}), S, arms=["nothing", "mail"], folds=2)
    assert tree.words().splitlines() in (
        [
            "If spent is at most 3: nothing (67% of people).",
            "If spent is above 3 and days is at most 10: mail (17% of people).",
            "If spent is above 3 and days is above 10: nothing (17% of people).",
        ],
        [
            "If days is at most 10 and spent is at most 3: nothing (33% of people).",
            "If days is at most 10 and spent is above 3: mail (17% of people).",
            "If days is above 10: nothing (50% of people).",
        ],
    )
    frame = tree.to_frame()
    assert frame["share"].sum() == pytest.approx(1)
    assert frame["arm"].tolist().count("mail") == 1
    assert tree.assign(np.array([[5.0, 5.0], [5.0, 20.0]])).tolist() == [1, 0]
    assert {trace.name for trace in tree.plot().data} == {"nothing", "mail"}


def test_a_question_not_asked_counts_as_yes():
    rule = Rule(first=Question(column=0, cut=1.0), second=(None, Question(column=0, cut=2.0)), arm=(0, 0, 1, 2))
    assert rule.leaf(np.array([[1.0], [2.0], [3.0]])).tolist() == [0, 2, 3]
    assert [leaf for leaf, _ in rule.paths] == [0, 2, 3]


def test_its_value_is_that_on_other_people():
    """Of pure noise the best rule gains in its own people and nothing in others."""
    rng = np.random.default_rng(5)
    X, S = rng.standard_normal((2_000, 5)), rng.standard_normal((2_000, 3))
    tree = policy_tree(X, S)
    own = S[np.arange(2_000), tree.assign(X)].mean() - S[:, 0].mean()
    gain = tree.value.gains["nobody treated"]
    assert own > 2 * gain.std_error
    assert gain.ci_low < 0 < gain.ci_high


def test_shuffled_people_get_the_same_rule():
    one = draw(800, 4)
    order = np.random.default_rng(0).permutation(800)
    assert policy_tree(one.X[order], one.scores[order]).rule == policy_tree(one.X, one.scores).rule


def test_arrays_with_a_defect_are_refused():
    with pytest.raises(ArraysError, match="NaN or infinite values in X"):
        policy_tree([[np.nan]] * 40, np.ones((40, 2)))
    with pytest.raises(ArraysError, match="X has 39"):
        policy_tree(np.ones((39, 1)), np.ones((40, 2)))
    with pytest.raises(ArraysError, match="3 users and 5 folds"):
        policy_tree(np.ones((3, 1)), np.ones((3, 2)))
