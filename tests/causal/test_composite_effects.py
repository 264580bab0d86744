"""Effects of composites on a shop where they have some and their parts alone have none."""

import numpy as np
import pytest

from tests.causal import steps
from tests.causal.steps import HORIZON
from tests.causal.studies import study_of, trained
from whybuy.causal.question import Question, answer, who_gains
from whybuy.errors import BehaviorError, QuestionError


def asked(treatment: str, **options: str) -> Question:
    return Question.of(treatment, "purchase:shoes", horizon=HORIZON, **options)


@pytest.mark.parametrize("composite", [steps.TWICE, steps.AFTER])
def test_the_answer_holds_the_truth_where_co_occurrence_misses(stepped, drawn, composite):
    found = answer(asked(composite), stepped)
    rows = drawn.spanned(stepped.protocol(HORIZON))
    truth = drawn.effect(composite, rows)
    assert found.effect.ci_low < truth < found.effect.ci_high
    assert found.naive.difference > truth + 0.02
    assert found.effect.ci_low > drawn.effect(None, rows)
    compared = rows & drawn.open[composite] & (drawn.event != steps.BUY)
    assert found.n_trials == compared.sum()
    assert found.n_treated == (compared & (drawn.event == steps.VIEW)).sum()
    assert found.naive.p_joint == pytest.approx((drawn.bought & (drawn.event == steps.VIEW))[compared].mean())


def test_the_answer_says_who_is_compared(stepped):
    found = answer(asked("2*view:shoes@1d", reference="view:bags"), stepped)
    assert (found.treatment, found.reference, found.design) == (steps.TWICE, "view:bags", "step")
    assert "completes view:shoes+view:shoes@1d, instead of view:bags" in found.meaning
    assert "among the decisions that had view:shoes within 1d before" in found.meaning
    assert found.summary().startswith(
        "view:shoes+view:shoes@1d completed now instead of view:bags changes purchase:shoes"
    )
    assert found.effect.ci_low > 0.1
    assert who_gains(asked(steps.TWICE), stepped).by_tau


@pytest.mark.parametrize(
    ("treatment", "options", "error", "said"),
    [
        (steps.TWICE, {"design": "session"}, QuestionError, "A composite in the design session"),
        ("view:shoes+cart:shoes@1d", {}, BehaviorError, "cart:shoes never happens"),
        ("view:shoes+campaign:spring@1d", {}, QuestionError, "is done to people"),
        ("view:shoes", {"reference": "2*view:bags@1d"}, QuestionError, "--reference 2\\*view:bags@1d is a composite"),
    ],
)
def test_composites_that_cannot_be_asked(stepped, treatment, options, error, said):
    with pytest.raises(error, match=said):
        answer(asked(treatment, **options), stepped)


def test_what_hardly_ever_completes_is_too_rare(stepped):
    found = answer(asked("9*view:shoes@9h"), stepped)
    assert found.verdict == "cannot_tell"
    assert "happens 0 times by 0 users" in found.reasons[0]


@pytest.mark.slow
def test_composites_are_right_over_worlds(tmp_path):
    z = []
    for seed in range(101, 121):
        drawn = steps.draw(seed)
        (tmp_path / str(seed)).mkdir()
        study = trained(study_of(drawn.events, tmp_path / str(seed), horizons=[HORIZON]))
        for composite in (steps.TWICE, steps.AFTER):
            effect = answer(asked(composite), study).effect
            truth = drawn.effect(composite, drawn.spanned(study.protocol(HORIZON)))
            z.append((effect.estimate - truth) / effect.std_error)
    covered, n = np.mean(np.abs(z) < 1.96), len(z)
    assert abs(covered - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / n)
    assert abs(np.mean(z)) < 3 / np.sqrt(n)
