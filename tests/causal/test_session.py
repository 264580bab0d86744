"""The session design on a shop whose effect is known: what a trial is, the answer, its cap, and its coverage."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.causal import sessions
from tests.causal.studies import ignorant, study_of, trained
from whybuy.causal.confirm import clustered_ato, gather
from whybuy.causal.designs import FirstOfSession, parse_design
from whybuy.causal.question import Question, answer
from whybuy.causal.session import session_trials
from whybuy.errors import QuestionError
from whybuy.events.behaviors import parse_behavior

VIEW, BUY = (parse_behavior(text) for text in ("view:shoes", "purchase:shoes"))
MINUTE = 60_000


@pytest.fixture(scope="module")
def drawn():
    return sessions.draw(100)


@pytest.fixture(scope="module")
def study(drawn, tmp_path_factory):
    return trained(
        study_of(
            drawn.events, tmp_path_factory.mktemp("sessions"), users=drawn.users, behavior={"size": "tiny", "epochs": 1}
        )
    )


def spanned(drawn, protocol) -> np.ndarray:
    """Return (n_users, n_sessions) which sessions of three events have history before and follow-up after them."""
    start = drawn.start_ms + np.arange(len(drawn.start_ms))[:, None]
    early = start >= protocol.start_ms + protocol.lookback_ms
    return early & (start + 2 * MINUTE + protocol.horizon_ms <= protocol.end_ms)


@pytest.fixture(scope="module")
def table(study):
    source = replace(study.trials(study.twins(), "1d"), design=FirstOfSession(3))
    return gather(source, [VIEW, BUY], [BUY])


def test_a_trial_is_a_session_that_gets_as_far(table, drawn, study):
    rows = spanned(drawn, study.protocol("1d")) & drawn.lasts
    user, _ = np.nonzero(rows)
    assert len(table) == rows.sum()
    assert (table.is_behavior[VIEW] == drawn.T[rows]).all()
    assert (table.outcome[BUY] == drawn.Y[rows]).all()
    assert (table.ts_ms == drawn.start_ms[rows] + user).all()


def test_covariates_stop_before_the_session(table):
    # Three events a minute apart: what happened in the last half hour would be the session's own beginning.
    of_last = [i for i, name in enumerate(table.columns.names) if name.endswith(" in 30m")]
    assert of_last
    assert not table.X[:, of_last].any()


def test_the_answer_holds_the_truth_where_co_occurrence_misses(study, drawn):
    found = answer(Question.of("view:shoes", "purchase:shoes", horizon="1d", design="session"), study)
    truth = drawn.effect(spanned(drawn, study.protocol("1d")))
    assert found.effect.ci_low < truth < found.effect.ci_high
    assert found.naive.difference == pytest.approx(drawn.naive(spanned(drawn, study.protocol("1d"))))
    assert found.naive.difference > found.effect.ci_high + 0.02
    assert (found.design, found.verdict) == ("session", "suggestive")
    assert any(reason.startswith("Session design: suggestive at most") for reason in found.reasons)
    assert "in 100 sessions" in found.reasons[0]
    assert "among the first 3 decisions of a session" in found.meaning
    assert "at the beginning of a session" in found.summary()


def test_sessions_that_have_bought_are_left_out(study):
    # With four decisions the purchase is one of them: nobody is left to buy.
    found = answer(Question.of("view:shoes", "purchase:shoes", horizon="1d", design="session:4"), study)
    assert found.verdict == "cannot_tell"
    assert found.effect.estimate is None
    again = answer(Question.of("purchase:shoes", "purchase:shoes", horizon="1d", design="session:4"), study)
    assert again.n_treated == again.n_trials > 0
    assert again.verdict == "cannot_tell"


@pytest.mark.parametrize("text", ["session:0", "session:51", "session:", "sessions", "step:2"])
def test_designs_that_there_are_not(text):
    with pytest.raises(QuestionError, match=f"--design {text}. .*session:K for the first K decisions"):
        parse_design(text)


def test_a_session_has_no_reference():
    with pytest.raises(QuestionError, match="A --reference in the design session"):
        Question.of("view:shoes", "purchase:shoes", horizon="1d", design="session", reference="view:bags")


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_the_oracles(tmp_path):
    """The judge is the same estimator with the true nuisances on the same sessions."""
    z, oracle, naive = [], [], []
    for seed in range(100, 200):
        drawn = sessions.draw(seed)
        (tmp_path / str(seed)).mkdir()
        source = ignorant(study_of(drawn.events, tmp_path / str(seed), users=drawn.users))
        begun = gather(replace(source, design=FirstOfSession(3)), [VIEW, BUY], [BUY])
        _, _, data = session_trials(begun, (VIEW, BUY), seed=7)
        rows = spanned(drawn, source.protocol)
        truth = drawn.effect(rows)
        for found, trials in ((z, data), (oracle, drawn.oracle(rows))):
            estimate, std_error, _ = clustered_ato(trials)
            found.append((estimate - truth) / std_error)
        naive.append((drawn.naive(rows) - truth) / std_error)
        shutil.rmtree(tmp_path / str(seed))
    covered, of_oracle = (np.mean(np.abs(found) < 1.96) for found in (z, oracle))
    assert abs(covered - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / len(z))
    assert covered >= of_oracle - 0.05
    assert np.std(z) <= 1.1 * np.std(oracle)
    assert np.min(naive) > 2
