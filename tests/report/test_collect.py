import json

import pytest

from whybuy.report import collect
from whybuy.report.payload import Missing, Truth

DAY_MS = 86_400_000
MONDAY_MS = 19_800 * DAY_MS


def test_the_log_as_it_was_read(workspace):
    log = collect(workspace).log
    assert (log.rows_read, log.rows_kept, log.duplicates_merged, log.rows_rejected) == (24_912, 24_000, 610, 302)
    assert log.identity_holds
    assert list(log.actions) == ["view", "search", "cart", "favorite", "purchase", "remove"]
    assert log.notes == ("Sessions were cut at gaps of 30 minutes, as the log names none.",)


def test_rows_that_do_not_add_up_are_noticed(workspace):
    path = workspace / "events" / "quality.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "rows_kept": 23_999}))
    assert not collect(workspace).log.identity_holds


@pytest.mark.parametrize(
    ("span_ms", "unit", "starts"),
    [
        (2 * DAY_MS, "hour", 25),  # events at 0 h and 24 h
        (30 * DAY_MS, "day", 2),
        (500 * DAY_MS, "week", 1),
    ],
)
def test_events_are_counted_per_hour_day_or_week(workspace, put_shard, span_ms, unit, starts):
    path = workspace / "events" / "quality.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "start_ms": MONDAY_MS, "end_ms": MONDAY_MS + span_ms}))
    times = [MONDAY_MS - 1, MONDAY_MS, MONDAY_MS + 5, MONDAY_MS + DAY_MS]
    put_shard(workspace, times, ["view", "view", "cart", "view"])
    found = collect(workspace).log.timeline
    assert (found.unit, found.starts_ms[0], len(found.starts_ms)) == (unit, MONDAY_MS, starts)
    assert {action: sum(n) for action, n in found.counts.items()} == {"view": 2, "cart": 1}


def test_effects_are_joined_with_the_truth(workspace):
    effects = collect(workspace).effects
    pair = next(p for p in effects.compared if p.effect.treatment == "view:books" and p.truth)
    assert pair.truth == Truth(truth=-0.0195, std_error=0.0004, kind="")
    assert pair.disagreement == "wrong_sign"
    assert effects.n_truths == 6
    assert effects.worst is not None
    assert effects.worst.effect.treatment == "view:books"


def test_the_smallest_effect_decides_what_is_sizable(workspace):
    strict, loose = (collect(workspace, smallest_effect=s).effects for s in (0.001, 0.5))
    assert strict.disagreements["wrong_sign"] > 0
    assert "wrong_sign" not in loose.disagreements


def test_the_model_and_what_it_adds(workspace):
    model = collect(workspace).model
    assert (model.parameters, model.n_behaviors, len(model.train), len(model.train[0])) == (181_412, 42, 2, 6)
    assert (model.nuisance[0].base_rate, model.nuisance[0].counts_alone, model.nuisance[0].with_model) == (
        0.325,
        0.29,
        0.27,
    )


def test_campaigns_with_segments(workspace):
    spring, vip = collect(workspace).campaigns.campaigns
    assert (spring.kind, spring.effect.estimate, spring.naive) == ("randomized", 0.026, 0.027)
    assert spring.segments[0].effect.estimate == 0.081
    assert (spring.n_treated, spring.n_control) == (1_204, 1_198)
    assert vip.segments == ()


def test_whom_a_campaign_moves_and_whom_to_send_it_to(workspace):
    spring, vip = collect(workspace).campaigns.campaigns
    assert (spring.uplift.qini.low, spring.uplift.learner, len(spring.uplift.tenths)) == (0.004, "dr", 10)
    assert (spring.uplift.curve.x[:2], spring.uplift.curve.estimate[0]) == ((0.0, 0.02), 0.0)
    assert spring.uplift.put_off is None
    assert (spring.sending.budget, spring.sending.tried[0].name) == (500.0, "plan")
    assert spring.sending.rule == ("age is young: send it (33% of people)",)
    assert vip.uplift.reason == "No overlap."
    assert vip.sending.reason.startswith("To say whom")


def test_recommendations_and_profiles(workspace):
    payload = collect(workspace)
    known, unknown = payload.samples[0].items[0], payload.samples[0].items[2]
    assert (known.title, known.lift.estimate, known.basis) == ("Trail boots, waterproof", 0.0121, "impression")
    assert unknown.lift.estimate is None
    assert payload.profiles.stages["active"] == 1410


def test_an_empty_workspace_says_what_is_missing(tmp_path):
    payload = collect(tmp_path)
    parts = (payload.log, payload.effects, payload.model, payload.campaigns, payload.samples, payload.profiles)
    assert all(isinstance(part, Missing) for part in parts)
    assert "no confirm/effects.json" in payload.effects.reason
    assert not payload.is_demo


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "cannot be read"),
        ("[1, 2", "cannot be read"),
        ("{}", "no field 'effects'"),
        ('{"effects": [{"treatment": "view:a"}]}', "no field"),
        ('{"effects": 7}', "cannot be read"),
        ('{"effects": []}', "No question was asked"),
    ],
)
def test_a_broken_file_takes_only_its_own_part_away(workspace, content, says):
    (workspace / "confirm" / "effects.json").write_text(content)
    payload = collect(workspace)
    assert isinstance(payload.effects, Missing)
    assert says in payload.effects.reason
    assert not isinstance(payload.log, Missing)
    assert payload.model.nuisance == ()


def test_a_log_without_times_is_asked_nothing_causal(workspace):
    path = workspace / "events" / "quality.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps({**raw, "has_times": False}))
    payload = collect(workspace)
    assert "every causal question is refused" in payload.effects.reason
    assert "no times" in payload.log.timeline.reason


def test_a_log_without_campaigns_says_so(workspace, put):
    path = workspace / "events" / "quality.json"
    put(path, {**json.loads(path.read_text()), "campaigns": []})
    put(workspace / "campaign" / "campaigns.json", {"campaigns": []})
    assert "no event names a campaign_id" in collect(workspace).campaigns.reason


def test_numbers_that_are_none_stay_unknown(workspace, put):
    item = {"item_id": "1", "rank": 1, "lift": float("nan"), "p_buy": float("inf")}
    put(workspace / "recommend" / "samples.json", {"samples": [{"user_id": "u", "items": [item]}]})
    found = collect(workspace).samples[0].items[0]
    assert (found.lift.estimate, found.p_buy) == (None, None)
