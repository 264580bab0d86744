"""Building, answering one user and answering everybody, on shops small enough to read."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jsonschema
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.recommend.shops import CONFIG, DAY, Log, events_of, recommend_user, write_effects, write_log
from whybuy import columns as c
from whybuy.errors import ColumnsError, QuestionError, SourceError, WorkspaceError
from whybuy.recommend.batch import build, recommend_all
from whybuy.recommend.moves import load_effects
from whybuy.recommend.store import connection
from whybuy.recommend.terms import Terms

WINDOW = (0, 6 * DAY)
# Shoes: twelve people look at red (9 then buy it within the day), twelve at blue (1 does), nobody ever looks at green.
# "Now" is hour 144.
ROWS = [(f"r{i}", 72, "view", "red") for i in range(12)] + [(f"r{i}", 75, "purchase", "red") for i in range(9)]
ROWS += [(f"b{i}", 72, "view", "blue") for i in range(12)] + [("b0", 75, "purchase", "blue")]
ROWS += [("h0", 72, "view", "cap"), ("h1", 72, "view", "hat"), ("h1", 140, "view", "hat")]
SHOP = {"red": "shoes", "blue": "shoes", "green": "shoes", "cap": "hats", "hat": "hats"}
RECOMMENDATIONS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["user_id", "items"],
    "properties": {
        "user_id": {"type": "string"},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "item_id", "rank", "lift", "lift_low", "lift_high", "p_buy", "basis", "reason", "propensity",
                ],
                "properties": {
                    "item_id": {"type": "string"},
                    "rank": {"type": "integer", "minimum": 1},
                    "lift": {"type": ["number", "null"]},
                    "lift_low": {"type": ["number", "null"]},
                    "lift_high": {"type": ["number", "null"]},
                    "p_buy": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
                    "basis": {"enum": ["impression", "view"]},
                    "reason": {"type": "string", "minLength": 1},
                    "propensity": {"const": 1.0},
                },
            },
        },
    },
}  # fmt: skip


def make(folder: Path, rows: list = ROWS, *moves: tuple, more: tuple = (), **options) -> tuple[Path, Log]:
    """Write a log and build its recommendations; return their folder and the log."""
    log = write_log(folder / "log", events_of(rows, *more), SHOP, **{"window": WINDOW, **options})
    build(log, write_effects(folder / "effects.json", *moves), CONFIG, folder / "recommend")
    return folder / "recommend", log


@pytest.fixture
def built(tmp_path: Path) -> Callable[..., tuple[Path, Log]]:
    return partial(make, tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Log]:
    """The shop above in three shards, with one user who never did anything."""
    return make(tmp_path_factory.mktemp("shop"), shards=3, idle_users=["idle"], titles={"red": "Red shoes"})


def test_a_user_gets_the_contract_s_json(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    answer = recommend_user(folder, "h1", 5)
    jsonschema.validate(answer.to_json(), RECOMMENDATIONS)
    assert json.loads(json.dumps(answer.to_json()))[c.USER] == "h1"
    assert [item.rank for item in answer.items] == [1, 2, 3, 4, 5]


def test_items_are_ranked_by_lift_and_the_never_seen_one_comes_last(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    answer = recommend_user(folder, "h0", 5)
    frame = answer.to_frame()
    assert frame[c.ITEM].iloc[0] == "red"
    assert frame[c.ITEM].iloc[-1] == "green"
    assert frame["lift"].iloc[:-1].is_monotonic_decreasing
    assert frame.iloc[-1][["lift", "lift_low", "lift_high", "p_buy"]].isna().all()
    assert "it was never looked at with 1d of history before and 1d of follow-up after" in answer.items[-1].reason
    assert "nobody has touched it yet" in answer.items[-1].reason


def test_reasons_say_that_looks_are_at_most_suggestive(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    best = recommend_user(folder, "h0", 1).items[0]
    assert best.basis == "view"
    assert "at most suggestive" in best.reason
    assert "12 people were in this situation" in best.reason
    assert "the whole log has only 10 such purchases" in best.reason


def test_the_state_of_the_user_enters(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    reasons = {item.item_id: item.reason for item in recommend_user(folder, "h1", 5).items}
    assert reasons["hat"].startswith("You looked at it in the last 1d.")
    assert not reasons["cap"].startswith("You looked")


def test_an_unknown_user_gets_a_cold_answer_that_says_so(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    answer = recommend_user(folder, "nobody ' has this id", 3)
    assert len(answer.items) == 3
    assert all(item.reason.startswith("Nothing this user did is in the log") for item in answer.items)
    assert answer.items[0].item_id == "red"


def test_a_user_without_events_is_cold_too(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    known = [item.item_id for item in recommend_user(folder, "idle", 4).items]
    assert known == [item.item_id for item in recommend_user(folder, "nobody", 4).items]


def test_more_items_than_the_catalog_gives_all_and_says_so(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    answer = recommend_user(folder, "h0", 50)
    assert sorted(item.item_id for item in answer.items) == sorted(SHOP)
    assert answer.notes == ("50 items were asked for; 5 of the 5 in the catalog are on sale.",)
    assert answer.notes[0] in answer.summary()


def test_what_is_not_on_sale_is_left_out(built: Callable) -> None:
    folder, _ = built(out_of_stock=["red"])
    assert "red" not in {item.item_id for item in recommend_user(folder, "r5", 5).items}


def test_all_out_of_stock_is_an_empty_answer_that_says_why(built: Callable, tmp_path: Path) -> None:
    folder, log = built(out_of_stock=list(SHOP))
    answer = recommend_user(folder, "h0", 3)
    assert answer.to_json() == {c.USER: "h0", "items": []}
    assert answer.to_frame().empty
    assert "Nothing can be recommended to h0." in answer.summary()
    assert "0 of the 5 in the catalog are on sale" in answer.summary()
    output = recommend_all(folder, log, 3, tmp_path / "out.parquet")
    assert pq.read_table(output).num_rows == 0
    assert b"0 of the 5 in the catalog" in pq.read_schema(output).metadata[b"whybuy"]


def test_without_purchases_nothing_has_a_lift_and_what_follows_is_ranked(built: Callable) -> None:
    rows = [(u, 24 * d, "view", i) for u in ("u1", "u2", "u3") for d, i in ((1, "red"), (2, "cap"))]
    folder, _ = built([*rows, ("u4", 130, "view", "red")])
    answer = recommend_user(folder, "u4", 5)
    assert all(item.lift is None and item.p_buy is None for item in answer.items)
    assert answer.items[0].item_id == "cap"
    assert "No lift can be told: the log has no purchases." in answer.items[0].reason
    assert "After red, one of your last items, others took it." in answer.items[0].reason
    assert answer.items[0].basis == "view"


def test_without_times_nothing_has_a_lift(built: Callable) -> None:
    folder, _ = built(has_times=False)
    answer = recommend_user(folder, "r5", 5)
    assert all(item.lift is None for item in answer.items)
    assert "the log has an order but no times" in answer.items[0].reason


def test_a_log_shorter_than_lookback_and_horizon_says_so(built: Callable) -> None:
    folder, _ = built(window=(0, DAY))
    reason = recommend_user(folder, "h0", 1).items[0].reason
    assert "the log spans 1.0 days, and a lift needs more than 1d of history and 1d of follow-up" in reason


def test_purchases_alone_say_that_there_were_no_views(built: Callable) -> None:
    folder, _ = built([("u1", 24, "purchase", "red"), ("u2", 50, "purchase", "red"), ("u3", 140, "purchase", "cap")])
    reason = recommend_user(folder, "u3", 1).items[0].reason
    assert "neither views nor impressions with their probability of being shown" in reason


def test_an_item_that_was_always_shown_has_no_lift_and_says_so(built: Callable) -> None:
    rows = [
        ("u1", 72, "impression", "red", 1.0),
        ("u2", 72, "impression", "red", 1.0),
        ("u1", 73, "purchase", "red", None),
    ]
    rows += [("u1", 72, "impression", "cap", 0.5), ("u2", 72, "impression", "hat", 0.5)]
    rows += [("u2", 73, "purchase", "hat", None)]
    folder, _ = built(rows, more=(c.PROPENSITY,))
    answer = {item.item_id: item for item in recommend_user(folder, "u9", 5).items}
    assert answer["red"].lift is None
    assert "it was shown every time, so there is nothing to compare with" in answer["red"].reason
    assert answer["hat"].lift is not None
    assert answer["hat"].basis == "impression"
    assert "by the logged probabilities of being shown" in answer["hat"].reason


def test_what_was_just_bought_comes_last(built: Callable) -> None:
    rows = [*ROWS, ("new", 130, "view", "red"), ("new", 140, "purchase", "red")]
    folder, _ = built(rows)
    assert recommend_user(folder, "new", 5).items[-1].item_id == "red"
    assert "red" not in {item.item_id for item in recommend_user(folder, "new", 4).items}
    assert "only because the catalog has nothing else" in recommend_user(folder, "new", 5).items[-1].reason


def test_what_was_reviewed_is_had_and_comes_last(built: Callable) -> None:
    rows = [("u1", 1, "review", "red"), ("u2", 2, "review", "red"), ("u2", 9, "review", "cap")]
    folder, _ = built(rows)
    assert [item.item_id for item in recommend_user(folder, "u1", 5).items][::4] == ["cap", "red"]


def test_what_people_buy_repeatedly_is_recommended_again(built: Callable) -> None:
    rows = [*ROWS, ("new", 140, "purchase", "red")]
    rows += [(f"r{i}", 100, "purchase", "red") for i in range(3)]  # 3 of 10 buyers bought it twice
    folder, _ = built(rows)
    assert "red" in {item.item_id for item in recommend_user(folder, "new", 4).items}


MOVE = ("view:hats", "purchase:shoes", 0.07, 0.01)


def test_a_confirmed_effect_raises_the_items_it_reaches_by_their_share(built: Callable) -> None:
    folder, _ = built(ROWS, MOVE)
    moved = {item.item_id: item for item in recommend_user(folder, "h1", 5).items}  # looked at a hat 4 hours ago
    cold = {item.item_id: item for item in recommend_user(folder, "nobody", 5).items}
    # 0.07 x (9 of 10 purchases of shoes) x (1 day of 7).
    assert moved["red"].lift == pytest.approx(cold["red"].lift + 0.07 * 9 / 10 / 7)
    assert moved["blue"].lift == pytest.approx(cold["blue"].lift + 0.07 * 1 / 10 / 7)
    half = ((cold["red"].lift_high - cold["red"].lift) ** 2 + (1.959963984540054 * 0.01 * 9 / 10 / 7) ** 2) ** 0.5
    assert moved["red"].lift_high - moved["red"].lift == pytest.approx(half)
    assert "You looked at hats: that adds 7.0 purchases of shoes in 100 within 7d" in moved["red"].reason
    assert "this is the one people take most (90 in 100), +0.900 of the figure above." in moved["red"].reason
    assert "one of those people take (10 in 100)" in moved["blue"].reason


def test_a_suggestive_effect_is_called_so_and_stands_for_popularity(built: Callable, tmp_path: Path) -> None:
    """Where no lift is known the effect orders items, so that the number of buyers is not given as the reason."""
    rows = [("u1", 24, "purchase", "red"), ("u2", 50, "purchase", "red"), ("u3", 140, "purchase", "cap")]
    folder, log = built(rows)
    effects = write_effects(tmp_path / "e.json", ("purchase:hats", "purchase:shoes", 0.07, 0.01), verdict="suggestive")
    build(log, effects, CONFIG, folder)
    reason = recommend_user(folder, "u3", 1).items[0].reason
    assert "that adds 7.0 purchases of shoes in 100 within 7d (suggestive);" in reason
    assert "Ranked by" not in reason


def test_whoever_touched_nothing_gets_the_categories_that_were_shown(built: Callable) -> None:
    rows = [(f"r{i}", 72, "view", "red") for i in range(3)] + [("s", 80, "impression", "cap")]
    folder, _ = built(rows)
    shown, unknown = (recommend_user(folder, user, 5).items for user in ("s", "nobody"))
    assert {shown[0].item_id, shown[1].item_id} == {"cap", "hat"}
    assert "It is of a category you were in, or shown, last." in shown[0].reason
    assert unknown[0].item_id == "red"


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, 1),
        ({"method": "scan"}, 0),
        ({"verdict": "cannot_tell"}, 0),
        ({"treatment": "view:shoes"}, 0),
        ({"outcome": "purchase:*"}, 0),
        ({"effect": {"estimate": None, "std_error": None}}, 0),
    ],
)
def test_scans_unclear_verdicts_preconditions_and_vague_outcomes_are_not_taken(
    shop: tuple[Path, Log], tmp_path: Path, changes: dict, taken: int
) -> None:
    folder, _ = shop
    with connection() as (con, _):
        con.execute(f"CREATE TABLE items AS SELECT * FROM '{folder}/items.parquet'")
        assert load_effects(con, write_effects(tmp_path / "e.json", MOVE, **changes), Terms.open(folder)) == taken


def test_an_effect_s_time_passes(built: Callable) -> None:
    folder, _ = built([*ROWS, ("old", -48, "view", "hat")], MOVE)
    assert not any("looked at hats" in item.reason for item in recommend_user(folder, "old", 5).items)


def test_lifts_from_impressions_stay_as_measured(built: Callable) -> None:
    rows = [("u1", 72, "impression", "red", 0.5), ("u2", 72, "impression", "blue", 0.5)]
    rows += [("u1", 73, "purchase", "red", None), ("h", 140, "view", "hat", None)]
    folder, _ = built(rows, MOVE, more=(c.PROPENSITY,))
    moved = {item.item_id: item for item in recommend_user(folder, "h", 5).items}
    cold = {item.item_id: item for item in recommend_user(folder, "nobody", 5).items}
    assert moved["red"].lift == cold["red"].lift
    assert moved["red"].p_buy == pytest.approx(cold["red"].p_buy + 0.07 / 7)


def test_all_writes_k_rows_for_every_user_and_the_same_as_one_by_one(shop: tuple[Path, Log], tmp_path: Path) -> None:
    folder, log = shop
    output = recommend_all(folder, log, 3, tmp_path / "deep" / "out.parquet")
    frame = pd.read_parquet(output)
    assert list(frame.columns) == [
        "user_id", "rank", "item_id", "lift", "lift_low", "lift_high", "p_buy", "basis", "ranked_by", "reason",
        "propensity",
    ]  # fmt: skip
    assert frame[c.USER].nunique() == 26
    assert "idle" not in set(frame[c.USER])
    assert frame.groupby(c.USER)["rank"].apply(list).map(lambda ranks: ranks == [1, 2, 3]).all()
    for user in ("r0", "b3", "h1"):
        one = recommend_user(folder, user, 3).to_frame()[list(frame.columns)]
        mine = frame[frame[c.USER] == user].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, one, check_dtype=False)


@pytest.mark.parametrize("kind", ["txt", "csv", "parquet"])
def test_all_for_the_users_of_a_file(shop: tuple[Path, Log], tmp_path: Path, kind: str) -> None:
    folder, log = shop
    path = tmp_path / f"ids.{kind}"
    if kind == "txt":
        path.write_text("h1\n\nstranger\nh1\n")
    else:
        ids = pd.DataFrame({"note": ["x", "y"], c.USER: ["h1", "stranger"]})
        ids.to_csv(path) if kind == "csv" else ids.to_parquet(path)
    frame = pd.read_parquet(recommend_all(folder, log, 2, tmp_path / "out.parquet", users=path))
    assert frame[c.USER].tolist() == ["h1", "h1", "stranger", "stranger"]
    assert frame[c.REASON].iloc[2].startswith("Nothing this user did is in the log")


def test_a_file_of_users_that_cannot_be_used_says_why(shop: tuple[Path, Log], tmp_path: Path) -> None:
    folder, log = shop
    (tmp_path / "ids.csv").write_text("customer\nh1\n")
    (tmp_path / "ids.json").write_text("[]")
    (tmp_path / "junk.parquet").write_text("junk")
    output = tmp_path / "out.parquet"
    with pytest.raises(ColumnsError, match=r"has the columns customer\. Needed: user_id"):
        recommend_all(folder, log, 2, output, users=tmp_path / "ids.csv")
    with pytest.raises(SourceError, match=r"neither \.txt, \.csv nor \.parquet"):
        recommend_all(folder, log, 2, output, users=tmp_path / "ids.json")
    with pytest.raises(SourceError, match="is not there"):
        recommend_all(folder, log, 2, output, users=tmp_path / "none.txt")
    with pytest.raises(SourceError, match="cannot be read"):
        recommend_all(folder, log, 2, output, users=tmp_path / "junk.parquet")
    assert not output.exists()


def test_questions_that_cannot_be_answered(shop: tuple[Path, Log], tmp_path: Path) -> None:
    folder, log = shop
    with pytest.raises(QuestionError, match=r"0 recommendations were asked for\. At least 1 is needed"):
        recommend_user(folder, "h1", 0)
    with pytest.raises(WorkspaceError, match=r"lacks items, lifts.* Run `whybuy run` first"):
        recommend_user(tmp_path / "nothing", "h1", 3)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        recommend_all(folder, log, 3, blocked / "out.parquet")


def test_effects_that_cannot_be_read(shop: tuple[Path, Log], tmp_path: Path) -> None:
    _, log = shop
    with pytest.raises(WorkspaceError, match="cannot be read as effects"):
        build(log, tmp_path / "missing.json", CONFIG, tmp_path / "recommend")


def test_samples_are_varied_and_carry_what_the_report_shows(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    samples = json.loads((folder / "samples.json").read_text())["samples"]
    assert [s[c.USER] for s in samples][-1] == "idle"
    assert len(samples) == 6
    assert samples[-1]["history"] == []
    assert set(samples[0]["items"][0]) == {
        "item_id", "title", "category", "rank", "lift", "lift_low", "lift_high", "p_buy", "basis", "reason",
    }  # fmt: skip
    assert "Red shoes" in {s["items"][0]["title"] for s in samples}
    assert "bought Red shoes" in [line for s in samples for line in s["history"]]


def test_nothing_but_results_is_left_behind(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    assert sorted(path.name for path in folder.iterdir()) == [
        "effect_shares.parquet", "effects.parquet", "exposed.parquet", "followers.parquet", "items.parquet",
        "lifts.parquet", "met.arrow", "moved.arrow", "people.arrow", "places.parquet", "samples.json", "terms.json",
    ]  # fmt: skip


def test_the_figure_draws_only_what_has_a_lift(shop: tuple[Path, Log]) -> None:
    folder, _ = shop
    answer = recommend_user(folder, "h0", 5)
    drawn = answer.plot().data[0]
    assert list(drawn.y) == [item.item_id for item in answer.items if item.lift is not None]
