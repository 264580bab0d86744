"""Every column name of the data contract, written once.

A *mapped* event log has the columns of :data:`EVENT_COLUMNS`; a *shard* (all the events of some users, sorted by user
and time) has those of :data:`SHARD_COLUMNS`. No other module spells a column name as a string.
"""

from typing import Final

# --- events -----------------------------------------------------------------------------------------------------
USER: Final = "user_id"
TIME: Final = "ts"
ACTION: Final = "action"
ITEM: Final = "item_id"
SESSION: Final = "session_id"
ORDER: Final = "order_id"
QUERY: Final = "query"
RATING: Final = "rating"
TEXT: Final = "text"
PRICE: Final = "price"
QUANTITY: Final = "quantity"
CURRENCY: Final = "currency"
CAMPAIGN: Final = "campaign_id"
ARM: Final = "arm"
PROPENSITY: Final = "propensity"
SLOT: Final = "slot"

# --- items and users ------------------------------------------------------------------------------------------
CATEGORY: Final = "category"
BRAND: Final = "brand"
TITLE: Final = "title"
DESCRIPTION: Final = "description"
AVAILABLE: Final = "available"

# --- derived when reading -----------------------------------------------------------------------------------------
TIME_MS: Final = "ts_ms"  # int64, milliseconds since 1970-01-01 UTC; the position where time = "order"
SOURCE: Final = "source"  # which [[events]] entry the row came from, from 0
ROW: Final = "source_row"  # the row's place in its source, from 0
MOMENT: Final = "moment"  # int32, from 0 within the user: events of one time or one order share a moment
REASON: Final = "reason"  # why a row was set aside
N_EVENTS: Final = "n_events"

ACTIONS: Final = (
    "view", "search", "favorite", "cart", "remove", "purchase", "return", "review", "rating",
    "impression", "click", "campaign", "redeem",
)  # fmt: skip

REQUIRED_COLUMNS: Final = (USER, TIME, ACTION)
EVENT_COLUMNS: Final = (
    USER, TIME, ACTION, ITEM, SESSION, ORDER, QUERY, RATING, TEXT, PRICE, QUANTITY, CURRENCY,
    CAMPAIGN, ARM, PROPENSITY, SLOT,
)  # fmt: skip
ITEM_COLUMNS: Final = (ITEM, CATEGORY, BRAND, PRICE, TITLE, DESCRIPTION, AVAILABLE)
MAPPABLE_COLUMNS: Final = (*EVENT_COLUMNS, CATEGORY, BRAND, TITLE)
SHARD_COLUMNS: Final = (
    USER, TIME_MS, MOMENT, ACTION, ITEM, CATEGORY, SESSION, ORDER, QUERY, RATING, TEXT, PRICE, QUANTITY,
    CURRENCY, CAMPAIGN, ARM, PROPENSITY, SLOT, SOURCE, ROW,
)  # fmt: skip
