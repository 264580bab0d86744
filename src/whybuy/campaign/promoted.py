"""What a campaign is for, as far as the config, a table of coupons or the redemptions say."""

from dataclasses import dataclass

import pandas as pd

from whybuy import columns as c
from whybuy.config import Config
from whybuy.engine import steady_duckdb
from whybuy.errors import ColumnsError
from whybuy.events.behaviors import Behavior
from whybuy.events.log import EventLog
from whybuy.events.read import absolute, open_source, readable


@dataclass(frozen=True)
class Promoted:
    """What a campaign is for.

    Attributes
    ----------
    known_by : "config", "coupons", "redemptions" or "strongest"
    behaviors : purchases that count as promoted, one per category
    items : the listed items, one column ``item_id``, where items are promoted rather than categories
    """

    name: str
    known_by: str
    behaviors: tuple[Behavior, ...] = ()
    items: pd.DataFrame | None = None


def promoted_by(log: EventLog, config: Config, campaign: str) -> Promoted | None:
    """Return what the campaign is for; None where nothing says it.

    Raises
    ------
    SourceError, ColumnsError
        The table of coupons cannot be read or lacks a column.
    """
    named = config.campaign.promoted.get(campaign)
    if named:
        behaviors = tuple(Behavior("purchase", "category", category) for category in named)
        return Promoted(", ".join(named), "config", behaviors)
    for known_by, items in (("coupons", _coupon_items(config, campaign)), ("redemptions", _redeemed(log, campaign))):
        if len(items):
            return Promoted(f"the {len(items):,} items of its {known_by}", known_by, items=items)
    return None


def _coupon_items(config: Config, campaign: str) -> pd.DataFrame:
    table = config.campaign.coupons
    if table is None:
        return pd.DataFrame({c.ITEM: []})
    names = {column: table.columns.get(column, column) for column in (c.CAMPAIGN, c.ITEM)}
    with steady_duckdb() as connection:
        source = open_source(connection, absolute(config, table.path), wanted=names.values())
        missing = [name for name in names.values() if name not in source.columns]
        if missing:
            raise ColumnsError.of(
                found=f"{source.name} has the columns {', '.join(source.columns)}",
                needed=f"{' and '.join(missing)}, to know which items a campaign is for",
                do="Name its columns under [campaign.coupons.columns] in whybuy.toml",
            )
        item, of = (f'CAST("{names[column]}" AS VARCHAR)' for column in (c.ITEM, c.CAMPAIGN))
        sql = f"SELECT DISTINCT {item} AS {c.ITEM} FROM {source.relation} WHERE {of} = $campaign"
        with readable(source.name):
            return connection.execute(sql, {"campaign": campaign}).df()


def _redeemed(log: EventLog, campaign: str) -> pd.DataFrame:
    sql = f"""
        SELECT DISTINCT {c.ITEM} FROM read_parquet($shards)
        WHERE {c.ACTION} = 'redeem' AND {c.CAMPAIGN} = $campaign AND {c.ITEM} IS NOT NULL
    """
    with steady_duckdb() as connection:
        return connection.execute(sql, {"shards": [str(shard) for shard in log.shards], "campaign": campaign}).df()
