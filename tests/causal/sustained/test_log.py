"""From an event log to the curve: the truth recovered where co-occurrence misses it, and what cannot be asked."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.causal.sustained.shop import log as shop_log
from tests.causal.sustained.shop import truth, truth_of_one_week
from whybuy.behavior.twins import train_twins
from whybuy.causal.effects import Estimate
from whybuy.causal.question import Question, answer
from whybuy.causal.study import Study
from whybuy.causal.sustained.log import judged, sustained_effects
from whybuy.causal.sustained.result import StrategyEffect, SustainedEffects
from whybuy.causal.sustained.strategies import Strategy
from whybuy.config import CalendarConfig, config_from_dict
from whybuy.errors import QuestionError
from whybuy.events.sequences import encode_log
from whybuy.events.shards import ingest

QUESTION = Question.of("search:*", "purchase:*", horizon="7d", design="calendar")


def study_of(seed: int, folder: Path) -> Study:
    """1,500 users, 9 weeks."""
    raw = {
        "lookback": "7d",
        "events": [{"path": "table:log", "columns": {name: name for name in ("user_id", "ts", "action")}}],
        "behavior": {"size": "tiny", "epochs": 2},
    }
    config = config_from_dict(raw, base=folder)
    for name in ("events", "sequences", "model", "scan"):
        (folder / name).mkdir()
    log = ingest(config, folder / "events", tables={"log": shop_log(seed, 1_500, 9)})
    store = encode_log(log, folder / "sequences")
    train_twins(store, log, config, folder / "model")
    return Study(store, log, config, folder / "model", folder / "scan")


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> list[Study]:
    """Three draws of the shop: one alone is off by two errors once in twenty, and all its odds together."""
    return [study_of(seed, tmp_path_factory.mktemp(f"shop{seed}")) for seed in (100, 101, 102)]


@pytest.fixture(scope="module")
def study(studies) -> Study:
    return studies[0]


@pytest.mark.slow
def test_strategies_of_a_log_are_told_where_the_naive_curve_misses(studies):
    odds = (0.5, 2.0, 4.0)
    answers = [sustained_effects(QUESTION, study, n_periods=3, odds=odds) for study in studies]
    as_it_goes = truth(lambda pi: pi, (1, 4))
    for d in odds:
        right = truth(Strategy("odds", d).chance, (1, 4)) - as_it_goes
        points = [found[f"odds times {d:g}"] for found in answers]
        error = np.mean([point.change.estimate for point in points]) - right
        naive = np.mean([point.naive_change for point in points]) - right
        std_error = np.sqrt(np.sum([point.change.std_error**2 for point in points])) / len(points)
        assert abs(error) < 3 * std_error, d
        assert abs(naive) > 8 * std_error, d
        assert abs(error) < 0.3 * abs(naive), d
    for found in answers:
        assert (found.n_rows, found.n_users) == (3_000, 1_500)
        assert found.verdict == "suggestive"
        assert "suggestive at most" in found.reasons[0]
        assert json.loads(json.dumps(found.to_json(), allow_nan=False))["points"][0]["label"] == "odds times 0.5"


@pytest.mark.slow
def test_one_period_is_told_where_co_occurrence_misses(study):
    found = answer(QUESTION, study)
    right = truth_of_one_week((1, 2, 3, 4, 5, 6))
    assert (found.design, found.n_trials, found.n_users) == ("calendar", 9_000, 1_500)
    assert abs(found.effect.estimate - right) < 3 * found.effect.std_error
    assert abs(found.naive.difference - right) > 5 * found.effect.std_error
    assert found.verdict == "suggestive"
    assert any("suggestive at most" in reason for reason in found.reasons)
    assert found.checks["activity"]["passed"]
    assert "in 100 landmarks" in found.summary()
    assert "at least once in the 7d after a landmark" in found.meaning
    washed = replace(study, config=study.config.model_copy(update={"calendar": CalendarConfig(washout="7d")}))
    fewer = answer(QUESTION, washed)
    assert fewer.n_trials < 0.8 * found.n_trials
    assert "none in the 7d before" in fewer.meaning


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_periods", "changes", "words"),
    [
        (1, {}, "from 2 to 6"),
        (7, {}, "from 2 to 6"),
        (6, {"horizon": "28d"}, "The log spans"),
        (3, {"where": "user_id = 'nobody'"}, "matches no user"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(study, n_periods, changes, words):
    with pytest.raises(QuestionError, match=words):
        sustained_effects(replace(QUESTION, **changes), study, n_periods=n_periods)


@pytest.mark.slow
def test_few_users_get_no_number(study):
    few = replace(QUESTION, where="user_id < '00050'")
    found = sustained_effects(few, study, n_periods=3)
    assert found.verdict == "cannot_tell"
    assert found.reasons == ("50 users are eligible; 200 are needed.",)
    assert not any(point.is_told for point in found.points)


def curve(*changes: float, std_error: float = 0.001, p_flat: float | None = 0.01) -> SustainedEffects:
    points = []
    for amount, change in zip((0.5, 2.0), changes, strict=True):
        e, half = Estimate.of("change", change, std_error), 3 * std_error
        point = StrategyEffect(strategy=Strategy("odds", amount), value=Estimate.of("mean", 0.2, 0.01), change=e)
        points.append(replace(point, band_low=change - half, band_high=change + half))
    return SustainedEffects(
        points=tuple(points), n_rows=1_000, n_users=500, n_decisions=3, share_treated=(0.3,) * 3, as_it_goes=0.2,
        p_flat=p_flat,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (curve(-0.02, 0.02), "suggestive"),
        (curve(-0.001, 0.001), "none"),
        (curve(-0.02, 0.02, std_error=0.02, p_flat=0.4), "cannot_tell"),
    ],
)
def test_the_verdict_is_suggestive_at_most(found, verdict):
    assert judged(found, 0.005).verdict == verdict


def test_a_curve_without_numbers_cannot_be_told():
    untold = StrategyEffect(
        strategy=Strategy("odds", 2.0),
        value=Estimate(estimand="mean"),
        change=Estimate(estimand="change"),
        reasons=("Too few.",),
    )
    found = judged(replace(curve(0.0, 0.0), points=(untold,), p_flat=None), 0.005)
    assert (found.verdict, found.reasons) == ("cannot_tell", ("Too few.",))
    assert np.isnan(found.to_frame()["change"].astype(float)).all()
