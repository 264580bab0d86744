"""Public logs with mappings written by hand; the counts are those that their publishers or a plain query give."""

import duckdb
import pytest

from tests.conftest import DATA
from tests.events.small_logs import ingest_config
from whybuy.events.quality import capabilities

pytestmark = pytest.mark.real_data

TAOBAO = {
    "columns": {
        "user_id": "user_id",
        "ts": "timestamp",
        "action": "behavior",
        "item_id": "item_id",
        "category": "category_id",
    },
    "actions": {"pv": "view", "fav": "favorite", "buy": "purchase"},
}
REES46 = {
    "columns": {
        "user_id": "user_id", "ts": "event_time", "action": "event_type", "item_id": "product_id", "price": "price",
        "category": "category_code", "brand": "brand", "session_id": "user_session",
    },
}  # fmt: skip
RETAIL = {
    "columns": {
        "user_id": "customer_id", "ts": "invoice_date", "item_id": "stock_code", "title": "description",
        "quantity": "quantity", "price": "price", "order_id": "invoice",
    },
    "constants": {"action": "purchase", "currency": "GBP"},
}  # fmt: skip


def read(tmp_path, *entries, **config):
    events = [{**entry, "path": str(DATA / entry["path"])} for entry in entries]
    log = ingest_config(tmp_path, {"events": events, **config})
    quality = log.quality
    assert quality.rows_read == quality.rows_kept + quality.duplicates_merged + quality.rows_rejected
    assert quality.rows_kept == sum(quality.actions.values()) == log.users()["n_events"].sum()
    return log


def test_taobao(tmp_path):
    log = read(tmp_path, {"path": "taobao_userbehavior_100k/events.parquet", **TAOBAO})
    quality = log.quality
    assert (quality.rows_read, quality.duplicates_merged, quality.rejected) == (100_001, 1, {})
    assert quality.actions == {"view": 89_709, "cart": 5_446, "favorite": 2_744, "purchase": 2_101}
    assert (quality.n_users, quality.n_items, quality.n_categories) == (983, 64_467, 3_128)
    # 44 events lie weeks before the others: the observed window leaves them out.
    assert quality.end_ms - quality.start_ms < 9 * 86_400_000 < quality.last_ms - quality.first_ms


def test_rees46(tmp_path):
    log = read(tmp_path, {"path": "rees46_oct2019_head/events.parquet", **REES46})
    quality = log.quality
    assert quality.rows_read == 17_434
    assert quality.duplicates_merged == 14
    assert quality.actions == {"view": 17_045, "purchase": 214, "cart": 161}
    causal = capabilities(quality, _config(log))[0]
    assert not causal.can
    assert "2.8 hours, shorter than lookback 7d plus horizon 7d" in causal.why


def _config(log):
    from whybuy.config import config_from_dict

    return config_from_dict({"events": [{"path": "log.parquet"}]}, base=log.folder)


def test_online_retail_in_two_halves(tmp_path):
    first = {"path": "online_retail_ii/year_2009_2010.parquet", "where": "invoice_date < '2010-12-01'", **RETAIL}
    log = read(tmp_path, first, {"path": "online_retail_ii/year_2010_2011.parquet", **RETAIL}, timezone="Europe/London")
    quality = log.quality
    assert quality.rows_read == 1_034_220
    assert quality.rejected == {"no user id": 233_565}
    assert quality.n_users == 5_941
    assert quality.actions == {"purchase": 779_492, "return": 9_518}
    with duckdb.connect() as con:
        shards = [str(shard) for shard in log.shards]
        query = "SELECT count(DISTINCT order_id), count(DISTINCT (user_id, moment)), min(quantity) FROM read_parquet(?)"
        n_orders, n_moments, least = con.execute(query, [shards]).fetchone()
        # Lines of one invoice carry up to two minutes; invoices of the same minute are one moment.
        assert n_moments <= n_orders
        assert least > 0
        query = (
            "SELECT count(*) FROM (SELECT order_id FROM read_parquet(?) GROUP BY ALL HAVING count(DISTINCT moment) > 1)"
        )
        assert con.execute(query, [shards]).fetchone() == (0,)


def test_a_session_stands_for_the_user_in_yoochoose(tmp_path):
    columns = {"session_id": "session_id", "ts": "timestamp", "item_id": "item_id"}
    entry = {"path": "yoochoose_clicks_100k/clicks.parquet", "columns": columns, "constants": {"action": "view"}}
    log = read(tmp_path, entry)
    assert log.quality.n_users == log.quality.n_sessions == 21_210
    assert "a session id (session_id) stands for the user" in log.quality.notes[0]
    causal = capabilities(log.quality, _config(log))[0]
    assert (causal.can, causal.why) == (False, "no purchases, so there is no outcome to cause")


def test_positions_of_amazon_reviews(tmp_path):
    columns = {"user_id": "user_id", "item_id": "item_id", "ts": "position"}
    path = "amazon_video_games_sequences/interactions.parquet"
    log = read(tmp_path, {"path": path, "columns": columns, "constants": {"action": "purchase"}, "time": "order"})
    assert (log.quality.rows_kept, log.quality.n_users, log.quality.n_items) == (287_107, 31_013, 23_715)
    assert log.quality.n_moments == 287_107
    assert not capabilities(log.quality, _config(log))[0].can


def test_households_and_campaigns_of_complete_journey(tmp_path):
    journey = "completejourney"
    buys = {"user_id": "household_id", "ts": "transaction_timestamp", "item_id": "product_id", "order_id": "basket_id"}
    sent = {"user_id": "household_id", "campaign_id": "campaign_id", "ts": "start_date"}
    join = {"path": str(DATA / journey / "campaign_descriptions.parquet"), "on": ["campaign_id"]}
    log = read(
        tmp_path,
        {"path": f"{journey}/transactions_sample.parquet", "columns": buys, "constants": {"action": "purchase"}},
        {"path": f"{journey}/campaigns.parquet", "columns": sent, "constants": {"action": "campaign"}, "join": join},
        items={
            "path": str(DATA / journey / "products.parquet"),
            "columns": {"item_id": "product_id", "category": "path", "brand": "brand"},
            "derive": {"path": "concat_ws('/', department, product_category)"},
        },
        users={"path": str(DATA / journey / "demographics.parquet"), "columns": {"user_id": "household_id"}},
        protected=["age"],
    )
    assert log.quality.rows_read == 75_000 + 6_589
    assert log.quality.actions["campaign"] == 6_589
    assert len(log.quality.campaigns) == 27
    assert "income" in log.quality.attributes
    assert log.users()["age"].notna().sum() == 801
