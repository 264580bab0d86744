"""The perceptron: its ten inputs by hand, nothing from after the moment, figures that a reader can redo."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from sklearn.metrics import log_loss, roc_auc_score

from tests.events.sequences_by_hand import DAY, HOUR, MINUTE, random_sequences, sequences
from whybuy.behavior.baselines.judged import Judged, judge
from whybuy.behavior.baselines.mlp import (
    FEATURES,
    MlpPlan,
    MlpResult,
    behavior_features,
    load_keras,
    purchase_rows,
    train_mlp,
)
from whybuy.cli.app import invoke
from whybuy.errors import MissingExtraError, QuestionError
from whybuy.events.moments import Moments
from whybuy.events.sequences import Sequences

PLAN = MlpPlan(horizon_ms=7 * DAY, end_ms=60 * DAY)
ROOT = Path(__file__).parents[2]


def features_of(s: Sequences, plan: MlpPlan = PLAN) -> np.ndarray:
    return behavior_features(s, Moments.of(s, reach_ms=31 * DAY), plan)


# One user: two sessions on day 0 (the second buys for 20), an impression on day 6, a view on day 8 at half past six.
STORY = {
    "a": [
        (0, "view", 0),
        (10 * MINUTE, "cart", 0),
        (2 * HOUR, "view", 1),
        (2 * HOUR, "purchase", 0),
        (6 * DAY, "impression", 2),
        (8 * DAY + 6 * HOUR + 30 * MINUTE, "view", 1),
    ]
}


def story() -> Sequences:
    return replace(sequences(STORY), spend=np.array([0, 0, 0, 20, 0, 0], np.float32))


def test_the_ten_inputs_by_hand():
    log = np.log1p
    never = log(24 * 60)
    assert len(FEATURES) == 10
    expected = [
        # recency, purchase recency, views, searches, favorites, carts, purchases, spend, sessions, hour
        [never, never, log(1), 0, 0, 0, 0, 0, log(1), 0],
        [log(1 / 6), never, log(1), 0, 0, log(1), 0, 0, log(1), 1 / 6],
        [log(11 / 6), 0, log(2), 0, 0, log(1), log(1), log(20), log(2), 2],
        [log(142), log(142), log(2), 0, 0, log(1), log(1), log(20), log(3), 0],
        [log(54.5), log(196.5), log(1), 0, 0, 0, log(1), log(20), log(2), 6.5],
    ]
    np.testing.assert_allclose(features_of(story()), expected, rtol=1e-6)


def test_the_moment_itself_can_be_left_out():
    found = features_of(story(), replace(PLAN, through=False))
    log = np.log1p
    never = log(24 * 60)
    np.testing.assert_allclose(found[0], [never, never, 0, 0, 0, 0, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(found[2], [log(11 / 6), never, log(1), 0, 0, log(1), 0, 0, log(1), 2], rtol=1e-6)


@pytest.mark.parametrize("through", [True, False])
def test_events_after_a_moment_change_none_of_its_inputs(through):
    s = random_sequences(np.random.default_rng(0), n_users=8)
    plan = replace(PLAN, through=through)
    late = s.ts_ms > 20 * DAY
    changed = replace(s, action=np.where(late, np.int8(5), s.action), spend=np.where(late, np.float32(9), s.spend))
    early = s.ts_ms[s.moment_starts[:-1]] <= 20 * DAY + (0 if through else 1)
    assert 0 < early.sum() < len(early)
    np.testing.assert_array_equal(features_of(s, plan)[early], features_of(changed, plan)[early])


def test_inputs_of_one_user_do_not_depend_on_the_others():
    s = random_sequences(np.random.default_rng(1), n_users=6)
    apart = [features_of(s.users(np.arange(6) == k)) for k in range(6)]
    np.testing.assert_allclose(features_of(s), np.concatenate(apart), atol=1e-6)


def test_only_decisions_with_full_follow_up_are_learnt_from():
    buys = [(k * DAY, "purchase" if k % 10 == 9 else "view", 0) for k in range(60)]
    s = sequences({f"u{u}": [(t + u, a, i) for t, a, i in buys] for u in range(40)})
    shown = sequences({"v": [(k * DAY, "impression", 0) for k in range(60)]})
    rows = purchase_rows([s, shown], replace(PLAN, end_ms=59 * DAY + 40))
    assert rows.n_decisions == 40 * 60
    assert rows.n_followed == 40 * 53
    assert rows.share == 1.0
    # Purchases on days 9, 19, ...: they follow days 2 to 8, 12 to 18, ..., 42 to 48, and 52.
    assert rows.bought.mean() == 36 / 53
    assert set(rows.user[rows.test]).isdisjoint(rows.user[~rows.test])
    assert len(np.unique(rows.user)) == 40


def test_very_many_moments_are_sampled_and_the_share_is_said():
    s = random_sequences(np.random.default_rng(2), n_users=100)
    rows = purchase_rows([s], replace(PLAN, max_rows=300))
    n_moments = len(s.moment_starts) - 1
    assert rows.share == 300 / n_moments
    assert 200 < len(rows.bought) < 400
    assert rows.n_followed == n_moments
    again = purchase_rows([s], replace(PLAN, max_rows=300))
    np.testing.assert_array_equal(rows.features, again.features)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (sequences({}), "No decision has 7d of follow-up. Needed: a log with decisions"),
        (sequences({"a": [(59 * DAY, "view", 0)]}), "No decision has 7d of follow-up"),
        (sequences({f"u{u}": [(u, "view", 0)] for u in range(50)}), "training moments 0 are followed by a purchase"),
    ],
    ids=["empty log", "no follow-up", "nobody buys"],
)
def test_a_log_that_teaches_nothing_is_refused(log, message):
    with pytest.raises(QuestionError, match=message):
        purchase_rows([log], PLAN)


def test_a_log_in_which_everybody_buys_is_refused():
    s = sequences({f"u{u}": [(k * DAY, "purchase", 0) for k in range(60)] for u in range(30)})
    with pytest.raises(QuestionError, match=r"moments [\d,]+ are followed by a purchase within 7d. Needed: moments of"):
        purchase_rows([s], replace(PLAN, end_ms=50 * DAY))


# --- judging --------------------------------------------------------------------------------------------------------


def test_figures_equal_scikit_learns_and_knowing_nothing_by_hand():
    rng = np.random.default_rng(3)
    p = np.round(rng.random(600), 2)
    happened = rng.random(600) < 0.3 + 0.4 * p
    judged = judge(happened, p, np.arange(600) // 6, base_rate=0.4)
    np.testing.assert_allclose(judged.auc.estimate, roc_auc_score(happened, p))
    np.testing.assert_allclose(judged.log_loss.estimate, log_loss(happened, np.clip(p, 1e-7, 1 - 1e-7)))
    np.testing.assert_allclose(judged.accuracy.estimate, ((p > 0.5) == happened).mean())
    share = happened.mean()
    np.testing.assert_allclose(judged.base_log_loss, -share * np.log(0.4) - (1 - share) * np.log(0.6))
    np.testing.assert_allclose(judged.gain.estimate, judged.base_log_loss - judged.log_loss.estimate)
    assert judged.always_accuracy == 1 - share
    for measure in (judged.accuracy, judged.auc, judged.log_loss, judged.gain, judged.over_always):
        assert measure.ci_low < measure.estimate < measure.ci_high
    assert [b.n for b in judged.calibration] == [60] * 10
    assert judged.calibration_error > 0.05
    assert Judged.from_json(json.loads(json.dumps(judged.to_json()))) == judged


def test_intervals_draw_users_not_moments():
    rng = np.random.default_rng(4)
    p = rng.random(50)
    happened = rng.random(50) < p
    alone = judge(happened, p, np.arange(50), base_rate=0.5)
    # Every user ten times over: nothing new is known.
    tenfold = judge(np.tile(happened, 10), np.tile(p, 10), np.tile(np.arange(50), 10), base_rate=0.5)
    np.testing.assert_allclose(list(asdict(tenfold.auc).values()), list(asdict(alone.auc).values()))


def test_a_constant_prediction_is_worth_nothing():
    happened = np.arange(40) % 4 == 0
    judged = judge(happened, np.full(40, 0.25), np.arange(40), base_rate=0.25)
    assert judged.auc.estimate == 0.5
    np.testing.assert_allclose([judged.gain.estimate, judged.gain.ci_low, judged.gain.ci_high], 0, atol=1e-12)
    assert judged.over_always.estimate == 0
    np.testing.assert_allclose(judged.log_loss.estimate, judged.base_log_loss)


def test_judging_by_one_kind_is_refused():
    with pytest.raises(QuestionError, match="0 of 3 moments to judge by are yes"):
        judge(np.zeros(3, bool), np.full(3, 0.5), np.arange(3), base_rate=0.5)


# --- training -------------------------------------------------------------------------------------------------------


def cart_shop(n_users: int = 160, seed: int = 5) -> dict[str, list[tuple]]:
    """Users who look once a day for 24 days; after a cart, one day in eight, a purchase follows the next day."""
    rng = np.random.default_rng(seed)
    users = {}
    for u in range(n_users):
        events = []
        for day in range(24):
            at = day * DAY + int(rng.integers(HOUR, 20 * HOUR))
            if rng.random() < 0.03:
                events += [(at, "cart", 1), (at + DAY, "purchase", 1)]
            else:
                events.append((at, "view", int(rng.integers(3))))
        users[f"u{u}"] = sorted(events, key=lambda e: e[0])
    return users


@pytest.fixture(scope="module")
def trained():
    plan = replace(PLAN, horizon_ms=DAY + HOUR, end_ms=24 * DAY, max_rows=2_000)
    return train_mlp([sequences(cart_shop())], plan)


def test_it_learns_that_a_cart_is_followed_by_a_purchase(trained):
    mlp, result = trained
    assert result.judged.auc.ci_low > 0.6
    assert result.judged.gain.ci_low > 0
    assert [e.epoch for e in result.epochs] == list(range(1, 11))
    assert result.epochs[-1].loss < result.epochs[0].loss
    np.testing.assert_allclose(result.loss, result.judged.log_loss.estimate, rtol=1e-3)
    s = sequences(
        {"x": [(10 * DAY, "view", 0), (11 * DAY, "cart", 1)], "y": [(10 * DAY, "view", 0), (11 * DAY, "view", 1)]}
    )
    probability = mlp.probability(s)
    assert probability[1] > 2 * probability[3]
    assert len(mlp.probability(sequences({}))) == 0
    assert [layer.units for layer in mlp.model.layers[1:]] == [64, 32, 1]


def test_the_same_seed_gives_the_same_perceptron(trained):
    mlp, result = trained
    again_mlp, again = train_mlp([sequences(cart_shop())], mlp.plan)
    assert again == result
    _, other = train_mlp([sequences(cart_shop())], replace(mlp.plan, seed=8))
    assert other.loss != result.loss
    assert again_mlp.plan == mlp.plan


def test_a_saved_perceptron_predicts_the_same(trained, tmp_path):
    mlp, _ = trained
    mlp.save(tmp_path / "mlp.keras")
    opened = replace(mlp, model=load_keras().models.load_model(tmp_path / "mlp.keras"))
    s = random_sequences(np.random.default_rng(6))
    np.testing.assert_allclose(opened.probability(s), mlp.probability(s), rtol=1e-6)


def test_the_result_in_words_numbers_and_a_figure(trained, conforms):
    _, result = trained
    raw = json.loads(json.dumps(result.to_json(), allow_nan=False))
    conforms(raw, "train_mlp")
    assert MlpResult.from_json(raw) == result
    text = result.summary()
    assert text.startswith("A purchase within 25h, predicted from 10 features by a 64-32-1 perceptron (")
    assert f"(a random {result.share_of_moments:.1%} of the moments was drawn)" in text
    assert f"that of the base rate {result.judged.base_log_loss:.4f}" in text
    assert result.to_frame()["measure"].tolist() == ["accuracy", "auc", "log_loss"]
    assert len(result.plot().data[1].x) == 10


def test_what_it_misses_is_computed(trained):
    _, result = trained
    accuracy, loss, *rest = result.misses
    j = result.judged
    assert f"of always answering no ({j.over_always.estimate:+.2%} [" in accuracy
    assert f" is better than the {j.base_log_loss:.4f} of always predicting that base rate" in loss
    none = replace(j.gain, ci_low=-0.01, ci_high=0.01)
    flat = replace(result, judged=replace(j, over_always=none, gain=replace(none, ci_high=-0.001)))
    assert " is no better than the " in flat.misses[0]
    assert " is worse than the " in flat.misses[1]
    assert [word for word in ("order of events", "no items", "adjusts for nothing") if word in " ".join(rest)] == [
        "order of events",
        "no items",
        "adjusts for nothing",
    ]


def test_without_keras_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtraError, match=r"Keras is not installed.*pip install 'whybuy\[keras\]'"):
        load_keras()


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    start = 1_700_006_400_000
    lines = [
        f"{user},{start + t},{action},i{item}" for user, events in cart_shop(60).items() for t, action, item in events
    ]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,ts,action,item_id", *lines, ""]), encoding="utf-8")
    (tmp_path / "whybuy.toml").write_text('horizons = ["2d"]\n[[events]]\npath = "log.csv"\n', encoding="utf-8")
    return tmp_path


def test_the_command_prints_one_document_and_has_nothing_to_do_the_second_time(shop, conforms, capsys):
    assert invoke(["train", "--model", "mlp", "--json"]) == 0
    first = capsys.readouterr()
    conforms(json.loads(first.out), "train_mlp")
    assert json.loads(first.out)["horizon"] == "2d"
    assert "mlp: done in " in first.err
    assert (shop / "whybuy-workspace" / "mlp" / "mlp.keras").is_file()
    assert invoke(["train", "--model", "mlp"]) == 0
    second = capsys.readouterr()
    assert "mlp: up to date" in second.err
    assert "What it misses:" in second.out


def test_a_log_without_times_and_a_missing_keras_are_told_with_exit_code_2(shop, monkeypatch, capsys):
    (shop / "whybuy.toml").write_text('[[events]]\npath = "log.csv"\ntime = "order"\n', encoding="utf-8")
    assert invoke(["train", "--model", "mlp"]) == 2
    assert "The log has an order but no times" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "keras", None)
    assert invoke(["train", "--model", "mlp"]) == 2
    assert "pip install 'whybuy[keras]'" in capsys.readouterr().err


# --- the notebook ---------------------------------------------------------------------------------------------------

NOTEBOOK = ROOT / "notebooks" / "baseline_mlp.ipynb"


def test_the_notebook_is_valid_small_and_was_executed():
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert "error" not in {output.output_type for output in outputs}
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"text/html", "application/vnd.plotly.v1+json"} <= kinds
    assert NOTEBOOK.stat().st_size < 60_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_the_notebook_runs(tmp_path):
    book = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
