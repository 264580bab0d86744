"""Several horizons and several treatments at once: how they are read, each answer right, q-values of all together."""

import numpy as np
import pytest

from tests.causal.steps import HORIZON
from whybuy.causal.question import answer
from whybuy.causal.several import questions, together
from whybuy.causal.verdict import q_values
from whybuy.errors import ConfigError, QuestionError


def test_every_treatment_is_asked_within_every_horizon():
    asked = questions("view:a,b, 2*view:c@1d", "purchase:*", horizon="1d, 7d")
    named = [(str(q.composite or q.treatment), q.horizon) for q in asked]
    one, two = "view:a%2Cb", "view:c+view:c@1d"
    assert named == [(one, "1d"), (two, "1d"), (one, "7d"), (two, "7d")]


@pytest.mark.parametrize(
    ("treatment", "horizon", "error", "said"),
    [
        ("view:a,view:a", "1d", QuestionError, "The same is asked twice"),
        ("view:a", "1d,", ConfigError, "'' is not a duration"),
        ("view:a,view:a/b", "1d", QuestionError, "Every view:a/b is itself a view:a.*the values of one choice"),
        ("view:a,view:c", "1d", QuestionError, "is the treatment itself"),
    ],
)
def test_what_is_no_choice(treatment, horizon, error, said):
    with pytest.raises(error, match=said):
        questions(treatment, "purchase:*", horizon=horizon, reference="view:c")


@pytest.fixture(scope="module")
def choice(stepped):
    asked = questions("view:shoes,search:shoes", "purchase:shoes", horizon=HORIZON, reference="view:bags")
    return [answer(question, stepped) for question in asked]


def test_each_value_is_compared_with_the_reference_alone(choice, drawn, stepped):
    view, search = choice
    rows = drawn.spanned(stepped.protocol(HORIZON))
    truth = drawn.effect_against_bags(rows)
    assert view.effect.ci_low < truth < view.effect.ci_high
    assert view.naive.difference > truth + 0.02
    # A search is one of the two that are left to a user who does not view: what it is followed by is the same.
    assert search.effect.ci_low < 0 < search.effect.ci_high
    assert [e.n_trials for e in choice] == [np.isin(drawn.event[rows], values).sum() for values in ((0, 2), (1, 2))]


def test_q_values_are_those_of_all_that_was_asked(choice, stepped):
    found = together(choice, stepped.config.causal)
    bh, by = q_values(np.array([e.effect.p_value for e in choice]))
    assert [e.effect.q_value for e in found] == pytest.approx(bh)
    assert [e.effect.q_value_by for e in found] == pytest.approx(by)
    assert [e.meaning for e in found] == [e.meaning for e in choice]
    assert all("instead of view:bags" in e.summary() for e in found)
    assert together(choice[:1], stepped.config.causal) == choice[:1]
