"""From a trial table to the checks of a pair and their verdict: wiring, controls of config and rule, JSON."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from whybuy.causal.confirm import Nuisance, PairJudge, TrialTable, pair_data
from whybuy.causal.effects import Effect
from whybuy.causal.trials import Columns
from whybuy.config import Config, config_from_dict
from whybuy.events.behaviors import parse_behavior

DAY = 86_400_000
MONDAY = 1_710_115_200_000  # 2024-03-11 00:00 UTC
VIEW, BAGS = parse_behavior("view:shoes"), parse_behavior("purchase:bags")
OTHERS = [parse_behavior(f"purchase:{name}") for name in ("tea", "books", "toys")]
N_USERS, EACH = 400, 30


def config(**causal) -> Config:
    raw = {"events": [{"path": "log.csv"}], "horizons": ["7d"], "causal": causal}
    return config_from_dict(raw, base=Path())


def table(seed: int, *, wish: float) -> tuple[TrialTable, Nuisance]:
    """Return trials in which a wish that is not logged drives the view and, with strength ``wish``, every purchase.

    The view itself adds .1 to the chance of bags, and nothing to the others.
    """
    rng = np.random.default_rng(seed)
    n, user = N_USERS * EACH, np.repeat(np.arange(N_USERS), EACH)
    x, wished = rng.normal(size=n).astype(np.float32), (rng.random(N_USERS) < 0.5)[user]
    e = expit(-1.2 + 0.8 * x)
    T = rng.random(n) < expit(logit(e) + (0.8 * (2 * wished - 1) if wish else 0.0))
    if wish:
        e = (expit(logit(e) + 0.8) + expit(logit(e) - 0.8)) / 2
    zeros = np.zeros(n, np.uint8)
    base = 0.2 + 0.15 * expit(x)
    after = {a: rng.random(n) < base + wish * (wished - 0.5) + 0.1 * T * (a == BAGS) for a in (BAGS, *OTHERS)}
    m = {a: base + 0.1 * e * (a == BAGS) for a in after}
    own = {a: (rng.random(n) < 0.02) & ~T for a in after}
    behaviors = {VIEW: T.astype(np.uint8), **{a: v.astype(np.uint8) for a, v in own.items()}}
    past = {b: rng.integers(0, 3, n).astype(np.uint8) for b in behaviors}
    made = TrialTable(
        X=np.stack([x, rng.normal(size=n)], axis=1).astype(np.float32),
        columns=Columns(["view:shoes in 1d", "sin day"], ["behavior", "clock"]),
        user=user,
        fold=user % 3,
        is_behavior=behaviors,
        outcome={a: v.astype(np.uint8) for a, v in after.items()},
        start_e={a: np.full(n, logit(0.02), np.float32) for a in own},
        start_m={a: logit(v).astype(np.float32) for a, v in m.items()},
        start_any={},
        ts_ms=MONDAY + np.tile(np.arange(EACH), N_USERS) * DAY,
        past=past,
        recent=dict.fromkeys(behaviors, zeros),
        past_ms=7 * DAY,
        recent_ms=DAY,
    )
    return made, Nuisance(e={VIEW: e, BAGS: 0.02 * (1 - e)}, m=m, m_any={})


def judged(seed: int, *, wish: float = 0.0, drop: tuple[str, ...] = (), **causal) -> Effect:
    made, nuisance = table(seed, wish=wish)
    if drop:
        made = replace(made, **{name: {BAGS: getattr(made, name)[BAGS]} for name in drop})
    judge = PairJudge(made, "7d", config(**causal))
    return judge((VIEW, BAGS), *pair_data(made, nuisance, (VIEW, BAGS)))


def test_a_clean_world_is_strong_and_every_check_is_there():
    effect = judged(100)
    assert effect.verdict == "strong"
    assert "Every check passed." in effect.reasons
    assert list(effect.checks) == [
        "nuisance", "overlap", "balance", "placebo", "sensitivity",
        "negative_control", "past_outcome", "halves", "dose", "influence", "season", "interference", "grounds",
    ]  # fmt: skip
    assert effect.checks["negative_control"]["kind"] == "rule"
    assert {row["outcome"] for row in effect.checks["negative_control"]["controls"]} == {str(a) for a in OTHERS}
    for name in ("halves", "influence", "season"):
        assert effect.checks[name]["passed"]
    assert effect.checks["dose"]["window_hours"] == 168
    assert [row["covariate"] for row in effect.checks["balance"]["largest"]] == ["view:shoes in 1d", "sin day"]


def test_the_checks_survive_json_and_keep_the_contract(conforms):
    effect = judged(100)
    asked_alone = replace(effect.effect, q_value=effect.effect.p_value, selected_low=0.0, selected_high=0.2)
    conforms({"effects": [replace(effect, effect=asked_alone).to_json()]}, "effects")
    assert Effect.from_json(json.loads(json.dumps(effect.to_json(), allow_nan=False))) == effect


@pytest.mark.parametrize("seed", range(100, 103))
def test_a_hidden_wish_refutes_the_answer_where_the_config_names_a_control(seed):
    effect = judged(seed, wish=0.2, negative_controls=["purchase:tea"])
    assert effect.effect.ci_low > 0.1  # the truth is .1
    assert effect.verdict == "cannot_tell"
    assert effect.checks["negative_control"]["kind"] == "named"
    assert [row["outcome"] for row in effect.checks["negative_control"]["controls"]] == ["purchase:tea"]
    assert any(reason.startswith("Negative control: it also seems to change purchase:tea") for reason in effect.reasons)


def test_a_hidden_wish_is_a_warning_where_the_rule_names_them():
    effect = judged(100, wish=0.2)
    assert effect.checks["negative_control"]["warns"]
    assert effect.reasons[-1].startswith("Warning, negative controls: it also seems to raise 3 of 3 outcomes")
    assert "Every check passed, with a warning." in effect.reasons or effect.verdict == "suggestive"


def test_a_control_without_a_head_gets_a_learner():
    with_head = judged(100, negative_controls=["purchase:tea"]).checks["negative_control"]["controls"][0]
    without = judged(100, negative_controls=["purchase:tea"], drop=("start_e", "start_m"))
    (row,) = without.checks["negative_control"]["controls"]
    assert row["estimate"] == pytest.approx(with_head["estimate"], abs=0.005)
    assert row["fired"] is False


def test_without_categories_the_rule_has_no_control():
    made, nuisance = table(100, wish=0.0)
    anything = parse_behavior("view:*")
    made = replace(made, is_behavior={anything: made.is_behavior[VIEW], **made.is_behavior})
    made = replace(
        made, past={anything: made.past[VIEW], **made.past}, recent={anything: made.recent[VIEW], **made.recent}
    )
    nuisance = replace(nuisance, e={anything: nuisance.e[VIEW], **nuisance.e})
    found = PairJudge(made, "7d", config())((anything, BAGS), *pair_data(made, nuisance, (anything, BAGS)))
    assert found.checks["negative_control"]["controls"] == []
    assert found.checks["negative_control"]["why"] == "No outcome is a control for this pair."
    assert found.verdict == "strong"


def test_what_others_did_is_looked_at_where_it_was_counted():
    made, nuisance = table(100, wish=0.0)
    excess = np.random.default_rng(3).normal(size=len(made)).astype(np.float32)
    pair = (VIEW, BAGS)
    counted = PairJudge(replace(made, excess={VIEW: excess}), "7d", config())(pair, *pair_data(made, nuisance, pair))
    assert counted.checks["interference"]["share_known"] == 1.0
    assert counted.checks["interference"]["fewer"]["ci_low"] > 0
    assert not counted.checks["interference"]["warns"]
    assert judged(100).checks["interference"]["share_known"] == 0.0
