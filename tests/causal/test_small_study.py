"""A small log from a table to effects: encoding, eligibility, the family, scan, confirmation, questions, refusals.

The shop: 240 users, 30 days, an event every 8 hours; after a cart of bags the next event is a purchase of bags half the
time, after anything else one time in twenty. So a cart of bags raises purchases of bags, and a view of shoes does not.
"""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from whybuy.behavior.family import family_of
from whybuy.behavior.twins import TwinModels, family_in, train_twins
from whybuy.causal.confirm import confirm_log, gather
from whybuy.causal.effects import effects_frame
from whybuy.causal.question import Question, answer, who_gains
from whybuy.causal.scan import read_effects, scan_log, scan_trials
from whybuy.causal.study import Study
from whybuy.config import config_from_dict
from whybuy.errors import BehaviorError, ModelError, QuestionError
from whybuy.events.behaviors import parse_behavior
from whybuy.events.sequences import SequenceStore, encode_log
from whybuy.events.shards import ingest

HOUR, DAY = 3_600_000, 86_400_000
START = 1_700_000_000_000
N_USERS, N_EVENTS = 240, 90


def shop() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kinds = [("view", "shoes"), ("view", "bags"), ("cart", "bags"), ("favorite", "shoes"), ("purchase", "bags")]
    cart, purchase = 2, 4
    choice = np.zeros((N_USERS, N_EVENTS), int)
    for k in range(N_EVENTS):
        p_buy = 0.12 if k == 0 else np.where(choice[:, k - 1] == cart, 0.5, 0.05)
        choice[:, k] = np.where(rng.random(N_USERS) < p_buy, purchase, rng.integers(0, 4, N_USERS))
    user = np.repeat(np.arange(N_USERS), N_EVENTS)
    ts = START + np.tile(np.arange(N_EVENTS) * 8 * HOUR, N_USERS) + user
    return pd.DataFrame(
        {
            "user_id": [f"{u:04d}" for u in user],
            "ts": ts,
            "action": [kinds[i][0] for i in choice.ravel()],
            "category": [kinds[i][1] for i in choice.ravel()],
            "item_id": [f"{kinds[i][1]}-{u % 4 if u else 'rare'}" for i, u in zip(choice.ravel(), user, strict=True)],
        }
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    columns = ["user_id", "ts", "action", "category", "item_id"]
    raw = {
        "horizons": ["1d"],
        "lookback": "3d",
        "events": [{"path": "table:log", "columns": {name: name for name in columns}}],
        "behavior": {"size": "tiny", "epochs": 2},
        "causal": {"confirm": [["cart:bags", "purchase:bags"]], "confirm_behaviors": 1},
    }
    config = config_from_dict(raw, base=folder)
    for name in ("events", "sequences", "model", "scan", "confirm"):
        (folder / name).mkdir()
    log = ingest(config, folder / "events", tables={"log": shop()})
    store = encode_log(log, folder / "sequences")
    train_twins(store, log, config, folder / "model")
    found = Study(store, log, config, folder / "model", folder / "scan")
    scan_log(found, folder / "scan")
    confirm_log(found, folder / "confirm")
    return found


@pytest.fixture(scope="module")
def frame(study):
    return effects_frame(read_effects(study.heads.parent / "confirm" / "effects.json")).set_index(
        ["treatment", "outcome"]
    )


def test_the_integers_are_the_log(study):
    store = SequenceStore.open(study.store.folder, study.log)
    (sequences,) = list(store)
    assert sequences.n_users == N_USERS
    assert sequences.n_events == N_USERS * N_EVENTS
    assert (np.diff(sequences.offsets) == N_EVENTS).all()
    assert sequences.user_ids[0] == "0000"
    named = np.array(store.vocabulary.categories)[sequences.category]
    assert (named == [str(i).rpartition("-")[0] for i in store.vocabulary.items[sequences.item]]).all()


def test_the_family_holds_what_the_log_has(study):
    family = family_of(study.store, study.config.causal)
    names = {str(b) for b in family.treatments}
    assert names == {
        "view:*", "view:bags", "view:shoes", "favorite:*", "favorite:shoes", "cart:*", "cart:bags",
        "purchase:*", "purchase:bags",
    }  # fmt: skip
    assert {str(a) for a in family.outcomes} == {"purchase:*", "purchase:bags"}


def test_trials_have_history_and_follow_up(study):
    twins = study.twins()
    protocol = study.protocol("1d")
    blocks = list(study.trials(twins, "1d").blocks())
    n = sum(len(block) for block in blocks)
    per_user = sum(
        study.log.quality.start_ms + 3 * DAY <= START + k * 8 * HOUR + 5
        and START + k * 8 * HOUR + 5 + DAY <= protocol.end_ms
        for k in range(N_EVENTS)
    )
    assert abs(n / N_USERS - per_user) <= 1
    block = blocks[0]
    assert block.X.shape == (len(block), len(block.columns.names))
    assert not np.isnan(block.X).any()


def test_what_came_before_equals_a_plain_loop(study):
    cart, purchase, favorite = (parse_behavior(b) for b in ("cart:bags", "purchase:bags", "favorite:shoes"))
    source = replace(study.trials(study.twins(), "1d"), users=frozenset({"0003", "0011"}), extra=(favorite,))
    table = gather(source, [cart, purchase], [purchase], controls=[favorite])
    log = shop()
    assert table.past_ms == DAY
    for index, user in enumerate(("0003", "0011")):
        of_user = log[log["user_id"] == user]
        for behavior in (cart, purchase, favorite):
            at = of_user["ts"][(of_user["action"] == behavior.action) & (of_user["category"] == behavior.target)]
            for row in np.flatnonzero(table.user == index)[::7]:
                now = table.ts_ms[row]
                assert table.past[behavior][row] == ((at >= now - DAY) & (at < now)).sum()
                assert table.recent[behavior][row] == ((at >= now - DAY // 7) & (at < now)).sum()
                assert table.is_behavior[behavior][row] == (at == now).sum()
    assert not any("favorite:shoes" in name for name in table.columns.names if "logit" not in name)


def test_a_confirmed_pair_holds_every_check_as_json(study):
    effects = read_effects(study.heads.parent / "confirm" / "effects.json")
    (cart,) = [e for e in effects if (e.treatment, e.outcome) == ("cart:bags", "purchase:bags")]
    assert {"negative_control", "past_outcome", "halves", "dose", "influence", "season"} <= set(cart.checks)
    assert cart.checks["halves"]["passed"]
    assert cart.checks["influence"]["passed"]
    assert cart.checks["dose"]["first"]["ci_low"] > 0.2
    assert len(cart.checks["balance"]["largest"]) == 20


def test_a_control_that_the_config_names_is_judged_beside_the_question(study):
    # Whoever buys bags next does not favor shoes: displacement, which whoever names a control has to think of.
    causal = study.config.causal.model_copy(update={"negative_controls": ["favorite:shoes"]})
    named = replace(study, config=study.config.model_copy(update={"causal": causal}))
    found = answer(Question.of("cart:bags", "purchase:bags", horizon="1d"), named)
    (row,) = found.checks["negative_control"]["controls"]
    assert row["outcome"] == "favorite:shoes"
    assert row["fired"]
    assert row["estimate"] < 0
    assert found.verdict == "cannot_tell"
    assert found.effect.ci_low > 0.2


def test_the_planted_effect_is_found_and_the_absent_one_is_not(frame):
    cart = frame.loc[("cart:bags", "purchase:bags")]
    assert cart["method"] == "confirmed"
    assert cart["ci_low"] > 0.2
    assert cart["selected_low"] <= cart["ci_low"]
    view = frame.loc[("view:shoes", "purchase:bags")]
    # Not carting bags is what a view of shoes displaces: a third of the other decisions.
    assert view["estimate"] < 0


def test_a_treatment_that_is_always_the_outcome_is_refused(frame, study):
    assert frame.loc[("purchase:bags", "purchase:*"), "verdict"] == "cannot_tell"
    with pytest.raises(QuestionError, match="Every purchase:bags is itself a purchase:\\*"):
        answer(Question.of("purchase:bags", "purchase:*", horizon="1d"), study)


def test_an_item_that_the_model_has_no_head_for_is_answered(study):
    found = answer(Question.of("cart:item=bags-1", "purchase:bags", horizon="1d"), study)
    assert found.method == "confirmed"
    assert found.n_treated > 100
    assert found.effect.estimate > 0.2


def test_other_estimands_stand_beside_the_effect(study):
    effects = read_effects(study.heads.parent / "confirm" / "effects.json")
    (found,) = [e for e in effects if (e.treatment, e.outcome) == ("cart:bags", "purchase:bags")]
    assert [e.estimand for e in found.also] == ["ato_by_user", "ate", "att"]
    # A cart is one decision in five or so whatever came before: all three averages are nearly the same.
    assert found.also[1].estimate == pytest.approx(found.effect.estimate, abs=0.03)
    assert found.also[2].estimate == pytest.approx(found.effect.estimate, abs=0.03)
    assert [r for r in found.reasons if r.startswith("ATE and ATT are those of the 100.0% of decisions")]


def test_everyone_gains_alike_from_a_cart(study):
    found = who_gains(Question.of("cart:bags", "purchase:bags", horizon="1d"), study)
    assert all(g.effect.ci_low > 0.2 for g in found.by_tau)
    assert found.by_attribute == ()
    with pytest.raises(QuestionError, match="by 1 users; 50 events by 20 users are needed"):
        who_gains(Question.of("view:item=shoes-rare", "purchase:bags", horizon="1d"), study)


def test_a_question_asked_alone_is_a_family_of_one(study):
    effect = answer(Question.of("cart:bags", "purchase:bags", horizon="1d"), study).effect
    assert effect.q_value == effect.q_value_by == effect.p_value < 0.05


def test_what_is_too_rare_for_the_scan_is_too_rare_for_a_question(study):
    found = answer(Question.of("view:item=shoes-rare", "purchase:bags", horizon="1d"), study)
    assert found.verdict == "cannot_tell"
    assert found.effect.estimate is None
    assert "by 1 users; 50 events by 20 users are needed" in found.reasons[0]


def test_a_named_reference_compares_with_it_alone(study):
    question = Question.of("cart:bags", "purchase:bags", horizon="1d", reference="view:shoes")
    found = answer(question, study)
    assert found.effect.ci_low > 0.2
    assert found.n_trials < 15_000
    assert "instead of view:shoes" in found.meaning


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (("veiw:bags", "purchase:bags", {}), BehaviorError, "Did you mean 'view'"),
        (("view:bag", "purchase:bags", {}), BehaviorError, "view:bag never happens .* Did you mean view:bags"),
        (("view:bags", "purchase:hats", {}), BehaviorError, "purchase:hats never happens"),
        (("campaign:spring/sent", "purchase:bags", {}), QuestionError, "done to people.* `whybuy campaign spring`"),
        (("view:bags", "purchase:bags", {"horizon": "60d"}), QuestionError, "The log spans .* lookback plus horizon"),
        (("view:bags", "purchase:bags", {"design": "weekly"}), QuestionError, "--design weekly"),
        (("view:bags", "purchase:bags", {"reference": "view:bags"}), QuestionError, "is the treatment itself"),
        (("view:bags", "purchase:bags", {"where": "nonsense = 1"}), QuestionError, "no condition on the users table"),
        (("view:bags", "purchase:bags", {"where": "user_id = 'x'"}), QuestionError, "matches no user"),
    ],
)
def test_questions_that_cannot_be_asked(study, asked, error, message):
    treatment, outcome, options = asked
    with pytest.raises(error, match=message):
        answer(Question.of(treatment, outcome, **{"horizon": "1d", **options}), study)


def test_a_corrupt_checkpoint_is_refused(study, tmp_path):
    for file in study.model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "twin-0.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError, match="no checkpoint of this model"):
        TwinModels.open(tmp_path, study.store)
    card = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**card, "n_items": 7}))
    with pytest.raises(ModelError, match="trained on a log of 7 items"):
        TwinModels.open(tmp_path, study.store)


def test_twins_judge_nobody_they_were_trained_on(study, tmp_path):
    """Weights carry the users they were learned from: exchanged in memory or on disk, they refuse."""
    twins = study.twins()
    (sequences,) = list(study.store)
    assert sum(map(len, twins.taught)) == N_USERS
    exchanged = replace(twins, models=twins.models[::-1], taught=twins.taught[::-1])
    with pytest.raises(ModelError, match=r"was trained on .* of the .* users it is to judge.*whybuy train"):
        exchanged.judge(sequences)
    for file in study.model.iterdir():
        name = {"twin-0.safetensors": "twin-1.safetensors", "twin-1.safetensors": "twin-0.safetensors"}
        (tmp_path / name.get(file.name, file.name)).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match="was trained on"):
        TwinModels.open(tmp_path, study.store).judge(sequences)


def test_noise_in_place_of_the_heads_shows_in_the_nuisance_error(study, tmp_path):
    """The noise are the heads of other decisions, at random: as sure of themselves as the real ones, about nothing.

    Purchases follow carts, so whether the next decision is one, and whether one is near, can be known; counts know it
    too, and with the noise beside them know less.
    """
    source, family = study.trials(study.twins(), "1d"), family_in(study.model)
    rng = np.random.default_rng(0)
    for shard in study.store.shards:
        logits = np.load(study.heads / f"{shard.name}.logits.npy")
        np.save(tmp_path / f"{shard.name}.logits.npy", rng.permutation(logits))
        moments = (study.heads / f"{shard.name}.moments.npy").read_bytes()
        (tmp_path / f"{shard.name}.moments.npy").write_bytes(moments)
    losses = {}
    for name, judged in (("model", study.heads), ("noise", tmp_path)):
        effects, _ = scan_trials(replace(source, judged=judged), family, "1d", study.config)
        (effect,) = [e for e in effects if (e.treatment, e.outcome) == ("purchase:bags", "purchase:bags")]
        losses[name] = effect.checks["nuisance"]
    model, noise = losses["model"], losses["noise"]
    for kind in ("e", "m"):
        counts = model[f"{kind}_log_loss_counts"]
        assert noise[f"{kind}_log_loss_counts"] == counts
        assert noise[f"{kind}_log_loss_model"] > max(counts, model[f"{kind}_log_loss_model"]) + 2e-4, (model, noise)
