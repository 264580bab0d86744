"""What a campaign takes from elsewhere: purchases of what it promotes (gross), of everything else, and both (net).

A coupon for one category moves purchases there. Whether it adds any is told by what people buy in all: bought instead
of something else, nothing is gained (cannibalization); bought along, more is. Purchases per person are counted, and
money where prices are logged: gross and others add up to net exactly, because all three are told from the same people.

What is promoted is the category that the config names, else the items of the table of coupons or of the campaign's
redemptions, else the category whose purchases the campaign moves most. That one is found on half of the users and told
on the other half, since the largest of many effects looks larger than it is on the people who chose it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from whybuy import columns as c
from whybuy.campaign.compare import Comparison
from whybuy.campaign.compared import Compared
from whybuy.campaign.estimate import Float64
from whybuy.campaign.followup import NO_ITEMS, Counted, followups
from whybuy.campaign.inquiry import Inquiry
from whybuy.campaign.parts import PartEffect, part_effect
from whybuy.campaign.promoted import Promoted, promoted_by
from whybuy.engine import steady_duckdb
from whybuy.events.behaviors import Behavior
from whybuy.events.log import EventLog

N_CATEGORIES = 15
MIN_PRICED = 0.95
"""Of the purchases must have a price for money to be told."""
_ANY = Behavior("purchase")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spillover:
    """Gross, others and net effect of a campaign, per person within the horizon.

    Attributes
    ----------
    promoted : what the campaign is for
    known_by : "config", "coupons", "redemptions" or "strongest" (found on the other half of the users)
    purchases : promoted, everything else, all together; events of purchase per person
    money : the same in money; empty where prices are not logged
    why : why there is no answer
    """

    promoted: str
    known_by: str
    purchases: tuple[PartEffect, ...] = ()
    money: tuple[PartEffect, ...] = ()
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON."""
        return {
            "promoted": self.promoted,
            "known_by": self.known_by,
            "purchases": [line.to_json() for line in self.purchases],
            "money": [line.to_json() for line in self.money],
            "why": self.why,
        }

    def notes(self) -> list[str]:
        """Return what the campaign adds and takes, in words."""
        numbers = [line.effect.estimate for line in self.purchases]
        if self.why or None in numbers or len(numbers) < 3:
            return []
        gross, others, net = (f"{100 * (number or 0):+.1f}" for number in numbers)
        found = " (the category that it moves most, found on the other half of the users)"
        return [
            f"Purchases of {self.promoted}{found if self.known_by == 'strongest' else ''} change by {gross} in 100 "
            f"people, of everything else by {others}: {net} net."
        ]


def spillover_of(inquiry: Inquiry, campaign: str, compared: Compared) -> Spillover | None:
    """Return gross, others and net; None where the log has neither categories nor redeemed items."""
    log, comparison = inquiry.log, compared.comparison
    promoted = promoted_by(log, inquiry.config, campaign)
    if promoted is None:
        categories = _categories(log)
        if len(categories) < 2:
            return None
        chooses = comparison.people.position < 0.5
        promoted = _strongest(inquiry, comparison.keep(chooses), categories)
        if promoted is None:
            why = "In no category did 20 of the sent and 20 of the controls buy, among the half that chooses it."
            return Spillover(promoted="", known_by="strongest", why=why)
        comparison = comparison.keep(~chooses)
    y = _purchases(inquiry, comparison, promoted, money=False)
    lines = _lines(comparison, y, promoted.name)
    money = _purchases(inquiry, comparison, promoted, money=True) if _all_priced(log) else None
    why = next((line.why for line in lines if line.why), "")
    return Spillover(
        promoted=promoted.name,
        known_by=promoted.known_by,
        purchases=lines,
        money=() if money is None else _lines(comparison, money, promoted.name),
        why=why,
    )


def _strongest(inquiry: Inquiry, comparison: Comparison, categories: list[str]) -> Promoted | None:
    """Return the category whose purchases the campaign moves most, in standard errors."""
    horizon_ms = inquiry.window.horizon_ms
    behaviors = [Behavior("purchase", "category", category) for category in categories]
    counts = followups(inquiry.log, comparison.rows, [Counted(b, 0, horizon_ms) for b in behaviors])
    strength = {}
    for behavior, y in zip(behaviors, counts.T, strict=True):
        line = part_effect(behavior.target, comparison, y)
        if line.effect.estimate is not None and line.effect.std_error:
            strength[behavior] = abs(line.effect.estimate / line.effect.std_error)
    if not strength:
        return None
    best = max(strength, key=lambda behavior: strength[behavior])
    return Promoted(best.target, "strongest", (best,))


def _purchases(inquiry: Inquiry, comparison: Comparison, promoted: Promoted, *, money: bool) -> Float64:
    """Return (n, 3): of what is promoted, of everything else, of all."""
    horizon_ms = inquiry.window.horizon_ms
    asked = [Counted(_ANY, 0, horizon_ms, money=money)]
    if promoted.items is None:
        asked += [Counted(b, 0, horizon_ms, money=money) for b in promoted.behaviors]
    else:
        asked.append(Counted(_ANY, 0, horizon_ms, among_items=True, money=money))
    items = NO_ITEMS if promoted.items is None else promoted.items
    found = followups(inquiry.log, comparison.rows, asked, items=items)
    gross = found[:, 1:].sum(axis=1)
    return np.stack([gross, found[:, 0] - gross, found[:, 0]], axis=1)


def _lines(comparison: Comparison, y: Float64, name: str) -> tuple[PartEffect, ...]:
    """Return gross, others and net.

    They add up: residuals of the net are the sum of the parts', and regressions on one covariate are linear in what is
    regressed.
    """
    parts = np.stack([comparison.foretold(y[:, 0]), comparison.foretold(y[:, 1])], axis=1)
    net = parts.sum(axis=1, keepdims=True)
    expected = np.tile(net, 3) if comparison.e is None else np.hstack([parts, net])
    labels = (name, "everything else", "net")
    return tuple(
        part_effect(label, comparison, y[:, k], expected=expected[:, k], estimand="per person")
        for k, label in enumerate(labels)
    )


def _categories(log: EventLog) -> list[str]:
    """Return the commonest categories."""
    totals = log.items().groupby(c.CATEGORY)[c.N_EVENTS].sum().reset_index()
    ordered = totals.sort_values([c.N_EVENTS, c.CATEGORY], ascending=[False, True])
    return [str(name) for name in ordered[c.CATEGORY].head(N_CATEGORIES)]


def _all_priced(log: EventLog) -> bool:
    """Return whether nearly all purchases have a price, all in one currency."""
    sql = f"""
        SELECT count({c.PRICE}) >= {MIN_PRICED} * count(*) AND count(DISTINCT {c.CURRENCY}) <= 1
        FROM read_parquet($shards) WHERE {c.ACTION} = 'purchase'
    """
    with steady_duckdb() as connection:
        row = connection.execute(sql, {"shards": [str(shard) for shard in log.shards]}).fetchone()
    return bool(row is not None and row[0])
