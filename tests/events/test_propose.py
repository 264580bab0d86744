"""Every known log gets a config that loads, with the mapping that its README implies."""

import gzip
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import DATA
from whybuy.config import Config, load_config
from whybuy.errors import SourceError
from whybuy.events import probe
from whybuy.events.propose import Proposal, propose, write_config
from whybuy.events.shards import ingest

PER_UNIT = 'TRY_CAST("sales_value" AS DOUBLE) / nullif(TRY_CAST("quantity" AS DOUBLE), 0)'


def loaded(proposal: Proposal, folder: Path) -> Config:
    path = folder / "whybuy.toml"
    write_config(proposal, path)
    return load_config(path)


def proposed(source: Path, folder: Path, **named: Any) -> tuple[Proposal, Config]:
    proposal = propose(source, into=folder, **named)
    return proposal, loaded(proposal, folder)


TAOBAO = {
    "ts": "timestamp",
    "user_id": "user_id",
    "action": "behavior",
    "item_id": "item_id",
    "category": "category_id",
}

# folder, log, columns of the first [[events]], its constants, its actions, horizon
REAL = [
    (
        "taobao_userbehavior_100k", "Taobao UserBehavior",
        TAOBAO,
        {}, {"pv": "view", "fav": "favorite", "cart": "cart", "buy": "purchase"}, "1d",
    ),
    (
        "taobao_userbehavior_window", "Taobao UserBehavior",
        TAOBAO,
        {}, {"pv": "view", "fav": "favorite", "cart": "cart", "buy": "purchase"}, "1h",
    ),
    (
        "retailrocket_sample", "RetailRocket",
        {
            "ts": "timestamp", "user_id": "visitorid", "action": "event", "item_id": "itemid",
            "order_id": "transactionid",
        },
        {}, {"view": "view", "addtocart": "cart", "transaction": "purchase"}, "7d",
    ),
    (
        "rees46_oct2019_head", "REES46",
        {
            "ts": "event_time", "user_id": "user_id", "action": "event_type", "item_id": "product_id",
            "session_id": "user_session", "price": "price", "category": "category_path", "brand": "brand",
        },
        {}, {"view": "view", "cart": "cart", "remove_from_cart": "remove", "purchase": "purchase"}, "1h",
    ),
    (
        "yoochoose_clicks_100k", "YooChoose",
        {"ts": "timestamp", "user_id": "session_id", "session_id": "session_id", "item_id": "item_id"},
        {"action": "view"}, {}, "1d",
    ),
    (
        "diginetica_purchases", "Diginetica",
        {
            "ts": "moment_of_day", "user_id": "user_or_session", "session_id": "session_id", "item_id": "item_id",
            "order_id": "order_number",
        },
        {"action": "purchase"}, {}, "7d",
    ),
    (
        "online_retail_ii", "Online Retail",
        {
            "ts": "invoice_date", "user_id": "customer_id", "action": "line_action", "item_id": "stock_code",
            "order_id": "invoice", "price": "price", "quantity": "line_units", "title": "description",
        },
        {"currency": "GBP"}, {"purchase": "purchase", "return": "return"}, "7d",
    ),
    (
        "cdnow", None,
        {"ts": "date", "user_id": "customer_id", "quantity": "quantity", "price": "unit_price"},
        {"action": "purchase", "currency": "USD"}, {}, "7d",
    ),
    (
        "completejourney", "Complete Journey",
        {
            "ts": "transaction_timestamp", "user_id": "household_id", "item_id": "product_id", "order_id": "basket_id",
            "price": "unit_price", "quantity": "quantity",
        },
        {"action": "purchase", "currency": "USD"}, {}, "7d",
    ),
    (
        "open_bandit_sample", "Open Bandit",
        {
            "ts": "timestamp", "user_id": "round_id", "session_id": "round_id", "item_id": "item_of_campaign",
            "category": "campaign", "propensity": "propensity_score", "slot": "position",
        },
        {"action": "impression"}, {}, "1d",
    ),
    (
        "coat", "Coat",
        {"user_id": "user_id", "item_id": "item_id", "rating": "rating", "propensity": "propensity"},
        {"action": "rating"}, {}, "7d",
    ),
    (
        "movielens_100k", "MovieLens",
        {"ts": "timestamp", "user_id": "user_id", "item_id": "item_id", "rating": "rating"},
        {"action": "rating"}, {}, "7d",
    ),
    (
        "movielens_1m", "MovieLens",
        {"user_id": "user_id", "item_id": "item_id", "rating": "rating"},
        {"action": "rating"}, {}, "7d",
    ),
    (
        "amazon_2014_5core", "Amazon reviews",
        {"ts": "position", "user_id": "shop_user_id", "item_id": "shop_item_id"},
        {"action": "review", "category": "beauty"}, {}, "7d",
    ),
    (
        "amazon_video_games_sequences", "Amazon reviews",
        {"ts": "position", "user_id": "user_id", "item_id": "item_id"},
        {"action": "review"}, {}, "7d",
    ),
]  # fmt: skip
WITHOUT_TIMES = {"coat", "movielens_1m", "amazon_2014_5core", "amazon_video_games_sequences"}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "log", "columns", "constants", "actions", "horizon"), REAL, ids=[r[0] for r in REAL]
)
def test_a_real_log_gets_its_mapping(
    folder: str,
    log: str | None,
    columns: dict[str, str],
    constants: dict[str, str],
    actions: dict[str, str],
    horizon: str,
    tmp_path: Path,
) -> None:
    proposal, config = proposed(DATA / folder, tmp_path)
    first = config.events[0]
    assert proposal.log == log
    assert first.columns == columns
    assert first.constants == constants
    assert first.actions == actions
    assert config.horizons == [horizon]
    assert config.lookback == horizon
    assert config.has_times == (folder not in WITHOUT_TIMES)
    assert not Path(first.path).is_absolute()
    assert Path(config.resolve(first.path)).is_file()


@pytest.mark.real_data
def test_every_real_log_is_tried() -> None:
    logs = {path.name for path in DATA.iterdir() if path.is_dir()}
    assert logs == {row[0] for row in REAL} | {"dunnhumby_campaign_panel"}


@pytest.mark.real_data
def test_the_campaign_panel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"Pre_Spend and Post_Spend, sums before and after: it is a panel") as refused:
        propose(DATA / "dunnhumby_campaign_panel", into=tmp_path)
    assert "One row for each event is needed" in str(refused.value)
    assert "Name the transactions" in str(refused.value)


@pytest.mark.real_data
def test_the_folder_of_all_logs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"lie in \d+ folders. One log is needed. Name one of the folders"):
        propose(DATA, into=tmp_path)


@pytest.mark.real_data
def test_complete_journey_has_its_campaigns_coupons_products_and_households(tmp_path: Path) -> None:
    proposal, config = proposed(DATA / "completejourney", tmp_path)
    transactions, campaigns, redemptions = config.events
    assert transactions.derive == {"unit_price": PER_UNIT}
    assert campaigns.columns == {"ts": "start_date", "user_id": "household_id", "campaign_id": "campaign_id"}
    assert campaigns.constants == {"action": "campaign"}
    assert campaigns.join is not None
    assert campaigns.join.path.endswith("completejourney/campaign_descriptions.parquet")
    assert campaigns.join.on == ["campaign_id"]
    assert redemptions.columns == {"ts": "redemption_date", "user_id": "household_id", "campaign_id": "campaign_id"}
    assert redemptions.constants == {"action": "redeem"}
    assert config.items is not None
    assert config.items.columns == {
        "item_id": "product_id", "category": "category_path", "brand": "brand", "title": "product_type",
    }  # fmt: skip
    assert config.users is not None
    assert config.users.columns == {"user_id": "household_id"}
    assert config.users.attributes is None
    assert config.protected == ["age", "income", "marital_status", "kids_count"]
    assert "coupons.parquet is not mapped: which coupon is good for which product: no event" in proposal.notes


@pytest.mark.real_data
def test_the_nine_days_that_both_sheets_have_are_read_once(tmp_path: Path) -> None:
    _, config = proposed(DATA / "online_retail_ii", tmp_path)
    first, second = config.events
    assert (Path(first.path).name, first.where) == ("year_2009_2010.parquet", None)
    assert Path(second.path).name == "year_2010_2011.parquet"
    assert second.where == "\"invoice_date\" > TIMESTAMP '2010-12-09 20:01:00'"
    rows = "SELECT count(*) FROM read_parquet($path)"
    kept = duckdb.execute(f"{rows} WHERE {second.where}", {"path": config.resolve(second.path)}).fetchall()[0][0]
    assert kept == 531_282 - 22_130


@pytest.mark.real_data
def test_open_bandit_clicks_follow_their_impressions(tmp_path: Path) -> None:
    _, config = proposed(DATA / "open_bandit_sample", tmp_path)
    shown, clicked = config.events
    assert (shown.where, clicked.where) == (None, '"click" = 1')
    assert clicked.constants == {"action": "click"}
    assert clicked.columns == {
        "ts": "click_time", "user_id": "round_id", "session_id": "round_id", "item_id": "item_of_campaign",
        "category": "campaign", "slot": "position",
    }  # fmt: skip
    assert clicked.derive["round_id"] == shown.derive["round_id"]
    assert "the log names no user" in (tmp_path / "whybuy.toml").read_text()
    derived = f"SELECT DISTINCT {shown.derive['round_id']} AS round FROM read_parquet($path)"
    rounds = duckdb.execute(derived, {"path": config.resolve(shown.path)}).fetchall()
    assert len(rounds) == 39_983


@pytest.mark.real_data
def test_amazon_shops_are_kept_apart(tmp_path: Path) -> None:
    _, config = proposed(DATA / "amazon_2014_5core", tmp_path)
    assert [entry.constants["category"] for entry in config.events] == ["beauty", "sports", "toys"]
    assert config.events[2].derive == {
        "shop_user_id": "'toys-' || CAST(\"user_id\" AS VARCHAR)",
        "shop_item_id": "'toys-' || CAST(\"item_id\" AS VARCHAR)",
    }


@pytest.mark.real_data
def test_one_amazon_shop_keeps_its_ids(tmp_path: Path) -> None:
    _, config = proposed(DATA / "amazon_2014_5core" / "beauty_interactions.parquet", tmp_path)
    assert config.events[0].columns == {"ts": "position", "user_id": "user_id", "item_id": "item_id"}
    assert config.events[0].derive == {}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("log", "protected"),
    [
        ("movielens_100k", ["age", "gender"]),
        ("movielens_1m", ["gender", "age_code"]),
        (
            "coat",
            [
                "gender:men", "gender:women", "age:20-30", "age:30-40", "age:40-50", "age:50-60", "age:over 60",
                "age:under 20",
            ],
        ),
    ],
)  # fmt: skip
def test_attributes_that_nobody_should_be_judged_by_are_proposed(
    log: str, protected: list[str], tmp_path: Path
) -> None:
    _, config = proposed(DATA / log, tmp_path)
    assert config.protected == protected


@pytest.mark.real_data
def test_a_single_file_takes_the_items_and_users_beside_it_and_says_so(tmp_path: Path) -> None:
    proposal, config = proposed(DATA / "movielens_100k" / "ratings.parquet", tmp_path)
    assert config.items is not None
    assert config.users is not None
    assert proposal.notes == (
        "items.parquet lies beside the log and is used as its items file",
        "users.parquet lies beside the log and is used as its users file",
    )


@pytest.mark.real_data
def test_a_named_items_file_is_taken(tmp_path: Path) -> None:
    products = DATA / "completejourney" / "products.parquet"
    _, config = proposed(DATA / "completejourney" / "transactions_sample.parquet", tmp_path, items=products)
    assert len(config.events) == 1
    assert config.items is not None
    assert Path(config.items.path).name == "products.parquet"


TAOBAO_ROWS = "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,fav,1511561733\n2,2333346,2520771,buy,1511561800\n"


def test_a_csv_without_a_header_is_recognized_by_its_values(tmp_path: Path) -> None:
    source = tmp_path / "UserBehavior.csv"
    source.write_text(TAOBAO_ROWS)
    proposal, config = proposed(source, tmp_path)
    assert proposal.log == "Taobao UserBehavior"
    assert config.events[0].path == "UserBehavior.csv"
    assert config.events[0].columns == {
        "ts": "column4", "user_id": "column0", "action": "column3", "item_id": "column1", "category": "column2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "log", "columns"),
    [
        (
            "yoochoose-clicks.dat",
            "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,S\n",
            "YooChoose",
            {
                "ts": "column1", "user_id": "column0", "session_id": "column0", "item_id": "column2",
                "category": "known_category",
            },
        ),
        (
            "yoochoose-buys.dat",
            "420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n420375,2014-04-06T18:45:58.314Z,214537888,12462,1\n",
            "YooChoose",
            {
                "ts": "column1", "user_id": "column0", "session_id": "column0", "item_id": "column2",
                "price": "known_price", "quantity": "known_quantity",
            },
        ),
        (
            "u.data",
            "196\t242\t3\t881250949\n186\t302\t3\t891717742\n",
            "MovieLens",
            {"ts": "column3", "user_id": "column0", "item_id": "column1", "rating": "column2"},
        ),
    ],
)  # fmt: skip
def test_other_files_without_a_header(name: str, text: str, log: str, columns: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    proposal, config = proposed(tmp_path / name, tmp_path)
    assert proposal.log == log
    assert config.events[0].columns == columns


def test_two_files_of_one_kind_are_one_source(tmp_path: Path) -> None:
    folder = tmp_path / "months"
    folder.mkdir()
    header = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
    (folder / "2019-Oct.csv").write_text(f"{header}2019-10-01 00:00:00 UTC,view,1,2,a.b,x,1.5,7,s1\n")
    (folder / "2019-Nov.csv").write_text(f"{header}2019-11-01 00:00:00 UTC,purchase,1,2,a.b,x,1.5,7,s2\n")
    proposal, config = proposed(folder, tmp_path)
    assert [entry.path for entry in config.events] == ["months"]
    assert config.events[0].derive == {"category_path": "replace(\"category_code\", '.', '/')"}
    assert config.horizons == ["7d"]
    assert proposal.span_days == pytest.approx(31 * 0.98)


def test_files_of_one_kind_among_others_are_named_by_a_glob(tmp_path: Path) -> None:
    for month in ("1", "2"):
        (tmp_path / f"log-{month}.csv").write_text(f"user_id,ts,action,item_id\n7,2024-0{month}-01,view,a\n")
    (tmp_path / "items.csv").write_text("item_id,category\na,shoes\nb,hats\n")
    proposal, config = proposed(tmp_path, tmp_path)
    assert [entry.path for entry in config.events] == ["log-*.csv"]
    assert config.items is not None
    assert config.items.path == "items.csv"
    assert proposal.log is None


def test_a_glob_is_kept_as_it_is(tmp_path: Path) -> None:
    for month in ("1", "2"):
        (tmp_path / f"log-{month}.csv").write_text(f"user_id,ts,action,item_id\n7,2024-0{month}-01,view,a\n")
    _, config = proposed(tmp_path / "log-*.csv", tmp_path)
    assert [entry.path for entry in config.events] == ["log-*.csv"]


def test_a_workspace_in_the_folder_is_no_part_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,ts,action,item_id\n7,2024-01-01,view,a\n")
    shards = tmp_path / "whybuy-workspace" / "events" / "shards"
    shards.mkdir(parents=True)
    (shards.parent / "stage.json").write_text("{}")
    (shards / "other.csv").write_text("user_id,ts,action,item_id,brand\n7,2024-01-01,view,a,b\n")
    _, config = proposed(tmp_path, tmp_path)
    assert [entry.path for entry in config.events] == ["log.csv"]


def test_a_database_is_read_by_its_tables(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    with duckdb.connect(str(file)) as shop:
        shop.execute("CREATE TABLE log AS SELECT 'u1' AS user_id, TIMESTAMP '2024-01-01' AS ts, 'view' AS action")
        shop.execute("CREATE TABLE users AS SELECT 'u1' AS user_id, 30 AS age")
    _, config = proposed(file, tmp_path)
    assert [entry.path for entry in config.events] == ["shop.duckdb::log"]
    assert config.users is not None
    assert config.users.path == "shop.duckdb::users"
    assert config.protected == ["age"]
    single, _ = proposed(Path(f"{file}::log"), tmp_path)
    assert single.notes == ("shop.duckdb::users lies beside the log and is used as its users file",)


def test_campaigns_of_the_original_complete_journey_get_a_day_from_their_descriptions(tmp_path: Path) -> None:
    (tmp_path / "transaction_data.csv").write_text(
        "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE,STORE_ID,TRANS_TIME\n2375,26984,1,1004906,1,1.39,364,1631\n"
        "2375,26985,100,1004906,1,1.39,364,0005\n"
    )
    (tmp_path / "campaign_table.csv").write_text("DESCRIPTION,household_key,CAMPAIGN\nTypeA,2375,26\n")
    (tmp_path / "campaign_desc.csv").write_text("DESCRIPTION,CAMPAIGN,START_DAY,END_DAY\nTypeA,26,224,264\n")
    _, config = proposed(tmp_path, tmp_path)
    transactions, campaigns = config.events
    assert transactions.columns["ts"] == "minute"
    times = duckdb.execute(
        f"SELECT {transactions.derive['minute']} FROM read_csv($path, all_varchar = true)",
        {"path": config.resolve(transactions.path)},
    ).fetchall()
    assert [str(row[0]) for row in times] == ["2000-01-01 16:31:00", "2000-04-09 00:05:00"]
    assert campaigns.join is not None
    assert campaigns.join.on == ["DESCRIPTION", "CAMPAIGN"]


def test_campaigns_alone_need_their_descriptions(tmp_path: Path) -> None:
    (tmp_path / "campaigns.csv").write_text("campaign_id,household_id\n1,105\n")
    with pytest.raises(
        SourceError, match=r"its campaign descriptions are missing. The campaign descriptions are needed"
    ):
        propose(tmp_path / "campaigns.csv", into=tmp_path)


def test_a_large_text_file_is_sampled_all_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{hour % 7},{1_700_000_000 + 3600 * hour},view,i{hour}\n" for hour in range(24 * 60))
    (tmp_path / "log.csv").write_text("user_id,ts,action,item_id\n" + rows)
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(b"user_id,ts,action,item_id\n" + rows.encode()))
    duckdb.execute(f"COPY (FROM '{tmp_path}/log.csv') TO '{tmp_path}/log.parquet'")
    duckdb.execute(f"COPY (FROM '{tmp_path}/log.csv') TO '{tmp_path}/log.jsonl' (FORMAT json)")
    whole = propose(tmp_path / "log.csv", into=tmp_path)
    monkeypatch.setattr(probe, "WHOLE_BYTES", 1_000)
    monkeypatch.setattr("whybuy.events.locate._BLOCK_BYTES", 500)
    monkeypatch.setattr(probe, "_BLOCKS", 20)
    monkeypatch.setattr(probe, "WHOLE_ROWS", 500)
    sampled = propose(tmp_path / "log.csv", into=tmp_path)
    packed = propose(tmp_path / "log.csv.gz", into=tmp_path)
    random = propose(tmp_path / "log.parquet", into=tmp_path)
    lines = propose(tmp_path / "log.jsonl", into=tmp_path)
    assert whole.span_days == pytest.approx(58.76, abs=0.01)
    assert sampled.span_days == pytest.approx(58, abs=2)
    assert packed.span_days == whole.span_days
    assert random.span_days == pytest.approx(58, abs=2)
    assert lines.span_days == pytest.approx(58, abs=2)
    assert sampled.horizon == "7d"


RUN_AS_THEY_ARE = [
    ("UserBehavior.csv", TAOBAO_ROWS, {"view": 1, "favorite": 1, "purchase": 1}),
    (
        "Online Retail.csv",
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,85123A,HEART,6,12/1/2010 8:26,2.55,17850,United Kingdom\n"
        "C536366,85123A,HEART,-6,12/3/2010 9:26,2.55,17850,United Kingdom\n",
        {"purchase": 1, "return": 1},
    ),
    (
        "train-purchases.csv",
        "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n150;18278;17100868;2016-05-06;16421;25911\n"
        "151;NA;1000;2016-05-06;16422;25911\n",
        {"purchase": 2},
    ),
    (
        "reviews.jsonl",
        '{"reviewerID": "A1", "asin": "0007", "overall": 5.0, "unixReviewTime": 1369699200, "reviewText": "good"}\n',
        {"review": 1},
    ),
    (
        "tianchi.csv",
        "user_id,item_id,behavior_type,user_geohash,item_category,time\n"
        "1,2,1,,3,2014-12-06 02\n1,2,4,,3,2014-12-06 03\n",
        {"view": 1, "purchase": 1},
    ),
    (
        "bandit.csv",
        ",timestamp,item_id,position,click,propensity_score\n0,2019-11-24 00:00:17.004101+00:00,14,3,1,0.029\n",
        {"impression": 1, "click": 1},
    ),
]


@pytest.mark.parametrize(("name", "text", "actions"), RUN_AS_THEY_ARE, ids=[row[0] for row in RUN_AS_THEY_ARE])
def test_a_proposed_config_runs_as_it_is(name: str, text: str, actions: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    _, config = proposed(tmp_path / name, tmp_path)
    (tmp_path / "events").mkdir()
    quality = ingest(config, tmp_path / "events").quality
    assert quality.actions == actions
    assert quality.rejected == {}
