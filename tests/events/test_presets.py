"""The known logs as data: every part is consistent, and each log's own header is recognized."""

import re

import pytest

from whybuy.columns import ACTIONS, ITEM_COLUMNS, MAPPABLE_COLUMNS, USER
from whybuy.events.presets import Part, fill, known_parts, plain, quote_name, recognize, resolve, used_by

PARTS = [pytest.param(part, id=f"{part.log}: {part.name}") for part in known_parts()]
EVENTS = [pytest.param(part, id=f"{part.log}: {part.name}") for part in known_parts() if part.role == "events"]


def sources_of(part: Part) -> dict[str, str]:
    """A file that has every column which the part names anywhere."""
    named = [*part.known_by, *(value for value in part.columns.values() if value not in part.derive)]
    named += [name for text in part.derive.values() for name in re.findall(r"\{([a-z0-9|]+)\??\}", text)]
    return {alternative: alternative for name in named for alternative in name.split("|")}


@pytest.mark.parametrize("part", PARTS)
def test_every_column_of_a_part_is_one_of_the_contract(part: Part) -> None:
    allowed = {"events": MAPPABLE_COLUMNS, "items": ITEM_COLUMNS, "users": (USER,)}.get(part.role, ())
    assert set(part.columns) <= set(allowed)
    assert set(part.constants) <= set(allowed)
    assert set(part.actions.values()) <= set(ACTIONS)
    assert bool(part.note) == (part.role in ("join", "other"))


@pytest.mark.parametrize("part", PARTS)
def test_every_name_of_a_part_is_plain(part: Part) -> None:
    names = [name for entry in (*part.known_by, *part.never) for name in entry.split("|")]
    names += [name for name, _ in part.headless]
    assert names == [plain(name) for name in names]


@pytest.mark.parametrize("part", PARTS)
def test_every_expression_of_a_part_can_be_filled(part: Part) -> None:
    sources = sources_of(part)
    for template in part.derive.values():
        filled = fill(template, sources)
        assert filled is not None
        assert "{" not in filled


@pytest.mark.parametrize("part", EVENTS)
def test_every_events_part_names_a_user_and_an_action(part: Part) -> None:
    assert USER in part.columns
    assert ("action" in part.columns) != ("action" in part.constants)


@pytest.mark.parametrize("part", EVENTS)
def test_a_joined_part_is_known(part: Part) -> None:
    names = {other.name for other in known_parts() if other.log == part.log and other.role == "join"}
    assert part.join is None or part.join in names


HEADERS = [
    ("RetailRocket", "events", "timestamp,visitorid,event,itemid,transactionid"),
    ("RetailRocket", "item properties", "timestamp,itemid,property,value"),
    (
        "REES46",
        "events",
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session",
    ),
    ("Taobao UserBehavior", "events", "user_id,item_id,category_id,behavior,timestamp"),
    ("Tianchi mobile", "events", "user_id,item_id,behavior_type,user_geohash,item_category,time"),
    ("Tmall user log", "events", "user_id,item_id,cat_id,seller_id,brand_id,time_stamp,action_type"),
    ("YooChoose", "clicks", "session_id,timestamp,item_id,category"),
    ("YooChoose", "buys", "Session ID,Timestamp,Item ID,Price,Quantity"),
    ("Diginetica", "item views", "sessionId,userId,itemId,timeframe,eventdate"),
    ("Diginetica", "purchases", "sessionId,userId,timeframe,eventdate,ordernumber,itemId"),
    (
        "Diginetica",
        "queries",
        "queryId,sessionId,userId,timeframe,duration,eventdate,searchstring.tokens,categoryId,items,is.test",
    ),
    ("Diginetica", "clicks", "queryId,timeframe,itemId"),
    ("Diginetica", "products", "itemId,pricelog2,product.name.tokens"),
    ("Diginetica", "product categories", "itemId,categoryId"),
    (
        "Online Retail",
        "invoice lines",
        "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country",
    ),
    (
        "Online Retail",
        "invoice lines",
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
    ),
    (
        "Online Retail",
        "invoice lines",
        "invoice,stock_code,description,quantity,invoice_date,price,customer_id,country",
    ),
    (
        "Complete Journey",
        "transactions",
        "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,transaction_timestamp",
    ),
    ("Complete Journey", "campaigns", "campaign_id,household_id"),
    ("Complete Journey", "coupon redemptions", "household_id,coupon_upc,campaign_id,redemption_date"),
    (
        "Complete Journey (original files)",
        "transactions",
        "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE,STORE_ID,RETAIL_DISC,TRANS_TIME,WEEK_NO",
    ),
    ("Complete Journey (original files)", "campaigns", "DESCRIPTION,household_key,CAMPAIGN"),
    ("Complete Journey (original files)", "coupon redemptions", "household_key,DAY,COUPON_UPC,CAMPAIGN"),
    ("Complete Journey (original files)", "campaign descriptions", "DESCRIPTION,CAMPAIGN,START_DAY,END_DAY"),
    ("Open Bandit", "log", ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0"),
    ("MovieLens", "ratings", "userId,movieId,rating,timestamp"),
    ("MovieLens", "movies", "movieId,title,genres"),
    ("MovieLens", "tags", "userId,movieId,tag,timestamp"),
    ("Coat", "ratings", "user_id,item_id,rating,split,propensity"),
    ("Amazon reviews", "order only sequences", "user_id,item_id,position"),
    ("Amazon reviews", "reviews", "reviewerID,asin,reviewerName,helpful,reviewText,overall,summary,unixReviewTime"),
    (
        "Amazon reviews",
        "reviews of 2023",
        "rating,title,text,images,asin,parent_asin,user_id,timestamp,helpful_vote,verified_purchase",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("log", "name", "header"), HEADERS)
def test_a_known_header_is_recognized(log: str, name: str, header: str) -> None:
    part = recognize(header.split(","))
    assert part is not None
    assert (part.log, part.name) == (log, name)


@pytest.mark.parametrize(
    "header",
    [
        "user_id,ts,action,item_id",
        "user_id,ts,action,item_id,rating,session_id",
        "customer_id,date,quantity,amount_usd",
        "household_key,CAMPAIGN,CAMPAIGN_TYPE,Exposed,Pre_Spend,Post_Spend",
        "session_id,item_id,timestamp,action",
    ],
)
def test_another_header_is_not_recognized(header: str) -> None:
    assert recognize(header.split(",")) is None


def test_the_first_alternative_that_is_there_is_taken() -> None:
    assert resolve("invoice|invoiceno", {"invoiceno": "InvoiceNo"}) == "InvoiceNo"
    assert resolve("invoice|invoiceno", {"invoiceno": "b", "invoice": "a"}) == "a"
    assert resolve("price", {}) is None


def test_an_expression_is_filled_with_quoted_columns() -> None:
    assert fill("{a} / {b|c}", {"a": "A a", "c": 'say "c"'}) == '"A a" / "say ""c"""'


def test_an_expression_without_its_column_is_none_unless_it_may_be_missing() -> None:
    assert fill("{a} + {b}", {"a": "a"}) is None
    assert fill("concat({a}, {b?})", {"a": "a"}) == 'concat("a", NULL)'


def test_used_columns_are_those_that_are_there() -> None:
    assert used_by("{a} + {b?} + {c|d}", {"a": "A", "d": "D"}) == {"A", "D"}


def test_names_are_quoted_for_sql() -> None:
    assert quote_name('a "b"') == '"a ""b"""'


def test_open_bandit_is_read_a_second_time_for_its_clicks() -> None:
    part = recognize(["timestamp", "item_id", "position", "click", "propensity_score"])
    assert part is not None
    assert part.also is not None
    assert part.also.where == "{click} = 1"
    assert part.also.constants == {"action": "click"}
    assert "propensity" not in part.also.columns
