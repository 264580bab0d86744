"""A small shop from its scan to its certificate: what is planted, that everything is run again, and what is kept.

The shop: 240 users, 30 days, an event every 8 hours. Moods last five days on average: in one people cart and buy bags,
in the other they look at shoes. So carts tell of purchases, and what follows carts is confounded.
"""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from whybuy.behavior.family import family_of
from whybuy.behavior.twins import family_in, train_twins
from whybuy.causal import confirm
from whybuy.causal.certificate import certify as room
from whybuy.causal.certificate.certify import Budget, Plan, certify
from whybuy.causal.certificate.copied import Planting, mark_names
from whybuy.causal.certificate.markers import Likeness, explained, learn_markers, likenesses, rules_of
from whybuy.causal.certificate.past import Asked, Lessons, is_learner
from whybuy.causal.certificate.walk import walk
from whybuy.causal.confirm import Nuisance
from whybuy.causal.scan import read_effects, scan_log
from whybuy.causal.study import Study
from whybuy.config import config_from_dict
from whybuy.errors import ConfigError, QuestionError
from whybuy.events.behaviors import parse_behavior
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import EVENT_FIELDS, encode_log
from whybuy.events.shards import ingest
from whybuy.progress import quiet

HOUR = 3_600_000
N_USERS, N_EVENTS = 240, 90
NAMES = [f"click:mark{k}" for k in (1, 2, 3)]


def shop() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kinds = [("view", "shoes"), ("view", "bags"), ("favorite", "shoes"), ("cart", "bags"), ("purchase", "bags")]
    odds = np.array([[0.5, 0.2, 0.25, 0.03, 0.02], [0.2, 0.2, 0.05, 0.35, 0.2]]).cumsum(axis=1)
    mood = np.cumsum(rng.random((N_USERS, N_EVENTS)) < 1 / 15, axis=1) % 2
    choice = (rng.random((N_USERS, N_EVENTS, 1)) > odds[mood][..., :-1]).sum(axis=2).ravel()
    user = np.repeat(np.arange(N_USERS), N_EVENTS)
    return pd.DataFrame(
        {
            "user_id": [f"{u:04d}" for u in user],
            "ts": 1_700_000_000_000 + np.tile(np.arange(N_EVENTS) * 8 * HOUR, N_USERS) + user,
            "action": [kinds[i][0] for i in choice],
            "category": [kinds[i][1] for i in choice],
            "item_id": [f"{kinds[i][1]}-{u % 4}" for i, u in zip(choice, user, strict=True)],
        }
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("certified")
    columns = ["user_id", "ts", "action", "category", "item_id"]
    raw = {
        "horizons": ["1d"],
        "lookback": "3d",
        "events": [{"path": "table:log", "columns": {name: name for name in columns}}],
        "behavior": {"size": "tiny", "epochs": 1},
        "causal": {"treatments": ["view", "cart"]},
    }
    config = config_from_dict(raw, base=folder)
    for name in ("events", "sequences", "model", "scan"):
        (folder / name).mkdir()
    log = ingest(config, folder / "events", tables={"log": shop()})
    store = encode_log(log, folder / "sequences")
    train_twins(store, log, config, folder / "model")
    found = Study(store, log, config, folder / "model", folder / "scan")
    scan_log(found, folder / "scan")
    return found


@pytest.fixture(scope="module")
def lessons(study) -> Lessons:
    index = BehaviorIndex.of(family_in(study.model).modeled, study.store.vocabulary)
    outcomes = [index.behaviors.index(parse_behavior(a)) for a in ("purchase:*", "purchase:bags")]
    return Lessons.of(study.store, Asked(index, tuple(outcomes), study.protocol("1d")), copy=0)


@pytest.fixture(scope="module")
def markers(study, lessons):
    like = likenesses(read_effects(study.heads / "effects.json"))
    return learn_markers(lessons, NAMES, like, n_spiked=1, rng=np.random.default_rng(3))


@pytest.fixture(scope="module")
def planted(study, lessons, markers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy") / "sequences"
    return Planting(study.store, study.log, markers, lessons, number=1, seed=9).write(folder, report=quiet)


def test_markers_are_as_frequent_and_as_predictable_as_what_they_are_like(study, lessons, markers):
    like = {one.behavior: one for one in likenesses(read_effects(study.heads / "effects.json"))}
    walked = walk(lessons.past, rules_of(markers, lessons), seed=4)
    for k, marker in enumerate(markers):
        chance = walked.chance[lessons.trials, k]
        assert chance.mean() == pytest.approx(like[marker.like].frequency, rel=0.15)
        assert explained(chance) == pytest.approx(marker.explained, abs=0.01)
        assert marker.frequency == pytest.approx(like[marker.like].frequency, rel=0.05)
    assert [marker.is_null for marker in markers] == [False, True, True]


def test_those_who_are_learned_from_are_left_out_and_others_in_the_next_copy(study, lessons, planted):
    kept = {user for sequences in planted.store for user in sequences.user_ids}
    learners = set(lessons.sequences.user_ids)
    assert kept | learners == {user for sequences in study.store for user in sequences.user_ids}
    assert not kept & learners
    assert 40 < len(learners) < 80
    ids = np.array(sorted(kept | learners), object)
    assert not (is_learner(ids, n_users=240, copy=0) & is_learner(ids, n_users=240, copy=1)).any()
    many = np.array([f"user {k}" for k in range(100_000)], object)
    assert is_learner(many, n_users=100_000, copy=3).sum() == pytest.approx(4_000, rel=0.1)


def test_a_copy_is_the_log_with_lines_more(study, planted):
    (original,), (copy,) = list(study.store), list(planted.store)
    original = original.users(np.isin(original.user_ids, copy.user_ids))
    vocabulary = planted.store.vocabulary
    assert vocabulary.categories[-3:] == ["mark1", "mark2", "mark3"]
    assert len(vocabulary.category_price) == len(vocabulary.categories) + 1
    is_mark = copy.category >= len(vocabulary.categories) - 3
    assert (np.bincount(copy.category[is_mark])[-3:] == planted.n_marked).all()
    # Behind the lines that a moment has: what is left without marks and donors is the log, field by field.
    moment = np.repeat(np.arange(len(copy.moment_starts) - 1), np.diff(copy.moment_starts))
    place = np.arange(copy.n_events) - copy.moment_starts[moment]
    own = place < np.diff(original.moment_starts)[moment]
    assert not (own & is_mark).any()
    for name in EVENT_FIELDS:
        assert (getattr(copy, name)[own] == getattr(original, name)).all()
    donors = ~own & ~is_mark
    assert donors.sum() > 5
    assert (copy.action[donors] == original.action[original.action == copy.action[donors][0]][0]).all()
    assert (copy.ts_ms == original.ts_ms[original.moment_starts[:-1]][moment]).all()
    assert planted.log.quality.rows_kept == copy.n_events
    assert planted.log.quality.n_moments == len(original.moment_starts) - 1


def test_a_mark_is_a_behavior_of_the_family_like_any_other(study, planted):
    further = study.config.causal.model_copy(update={"further": NAMES})
    family = family_of(planted.store, further)
    marks = [parse_behavior(name) for name in NAMES]
    assert [b for b in family.treatments if b.action == "click"] == marks
    assert [family.n_events[b] for b in marks] == planted.n_marked.tolist()
    assert not any(b.action == "click" for b in family_of(planted.store, study.config.causal).treatments)


def test_truths_are_zero_or_near_the_size_of_the_gift(planted, markers):
    assert [planted.truth(k, a) for k in (1, 2) for a in (0, 1)] == [(0.0, 0.0)] * 4
    value, error = planted.truth(0, 0)
    assert 0 < value < markers[0].gift
    assert 0 < error < 0.01


def test_everything_is_run_again_and_a_finished_copy_is_kept(study, tmp_path, monkeypatch):
    plan = Plan.of(study, Budget(copies=1, markers=3, outcomes=2))
    found = certify(study, plan, tmp_path / "copies")
    assert len(found.pairs) == 6
    assert {p.marker for p in found.pairs} == set(NAMES)
    assert [p.kind for p in found.pairs] == ["non-null"] * 2 + ["null"] * 4
    assert all(p.estimate is not None for p in found.pairs)
    assert all(p.truth == 0 for p in found.pairs if p.kind == "null")
    z = [(p.estimate - p.truth) / p.std_error for p in found.pairs]
    assert max(map(abs, z)) < 5
    assert found.finding == "cannot tell"
    assert "6 pairs instead of the 200 of a full certificate: --copies 1 were asked for." in found.summary()
    assert [p.name for p in (tmp_path / "copies").iterdir()] == ["copy-1.json"]

    def twice(*_):
        pytest.fail("a finished copy is made again")

    monkeypatch.setattr(room, "_made", twice)
    assert certify(study, plan, tmp_path / "copies") == found
    card = json.loads((tmp_path / "copies" / "copy-1.json").read_text())
    assert len(card) == 6


def test_an_engine_that_adjusts_for_nothing_is_found_out(study, tmp_path, monkeypatch):
    def constant(table, pairs, *, seed, report):
        e, m = (
            {b: np.full(len(table), values.mean()) for b, values in found.items()}
            for found in (table.is_behavior, table.outcome)
        )
        return Nuisance(e, m, m)

    monkeypatch.setattr(confirm, "fit_nuisance", constant)
    found = certify(study, Plan.of(study, Budget(copies=1, markers=6, outcomes=2)), tmp_path / "copies")
    assert found.finding == "does not hold"
    assert found.kinds[0].finding == "does not hold"
    assert found.kinds[0].rmse == pytest.approx(found.kinds[0].naive_rmse, rel=0.1)


def test_a_plan_says_what_a_small_log_lacks(study):
    plan = Plan.of(study, Budget())
    assert (plan.n_copies, plan.n_pairs) == (6, 144)
    assert plan.notes == (
        "144 pairs instead of the 200 of a full certificate: the log has 2 outcomes that can be modeled, and more than "
        "6 copies are only made where --copies asks for them.",
    )
    assert Plan.of(study, Budget(copies=9)).notes == ()


def test_what_cannot_be_certified(study, lessons):
    orders = replace(study, log=replace(study.log, quality=replace(study.log.quality, has_times=False)))
    with pytest.raises(QuestionError, match="an order of events but no times"):
        Plan.of(orders, Budget())
    with pytest.raises(QuestionError, match="0 copies, 12 markers and 8 outcomes were asked for"):
        Budget(copies=0)
    with pytest.raises(QuestionError, match="The scan could answer no pair"):
        learn_markers(lessons, NAMES, [], n_spiked=1, rng=np.random.default_rng(0))
    never = replace(lessons.questions.protocol, end_ms=lessons.protocol.start_ms)
    short = replace(lessons, questions=replace(lessons.questions, protocol=never))
    with pytest.raises(QuestionError, match="No outcome follows 30 decisions"):
        learn_markers(short, NAMES, [Likeness("view:*", 0.1, 0.1)], n_spiked=1, rng=np.random.default_rng(0))
    actions = dict.fromkeys(
        ("click", "redeem", "rating", "return", "review", "remove", "favorite", "search", "cart", "view"), 1
    )
    with pytest.raises(QuestionError, match="The log has all of the actions click, redeem"):
        mark_names(replace(study.log.quality, actions=actions), study.store.vocabulary, 3)


def test_marks_take_an_action_and_names_that_the_log_does_not_have(study):
    vocabulary = replace(study.store.vocabulary, categories=["mark1", "mark-2/x"])
    quality = replace(study.log.quality, actions={"click": 3, "purchase": 2})
    assert mark_names(quality, vocabulary, 2) == ["redeem:mark--1", "redeem:mark--2"]


def test_a_further_treatment_must_be_one_that_the_model_can_have_a_head_for(study):
    causal = study.config.causal.model_copy(update={"further": ["search:query=boots"]})
    with pytest.raises(ConfigError, match=r"\[causal\] further names search:query=boots"):
        family_of(study.store, causal)
