"""The tables below a campaign's effect: arms, time, campaigns before and beside it, redeeming, gross and net."""

from collections.abc import Iterator
from typing import Any

from whybuy.cli.session import Session
from whybuy.cli.tables import NOTHING, Column, number, show_table

_HEADLINES = {
    "arms": "every arm against the controls:",
    "over_time": "by time since it was sent:",
    "wear_out": "by campaigns received before:",
    "others": "campaigns received within the window, all in one linear model:",
    "interactions": "what both together add to the sum of their effects:",
}
PART_COLUMNS: tuple[Column, ...] = (
    ("", "left"),
    ("people", "right"),
    ("sent", "right"),
    ("effect", "right"),
    ("low", "right"),
    ("high", "right"),
    ("p (Holm)", "right"),
    ("not told because", "left"),
)


def show_parts(session: Session, raw: dict[str, Any]) -> None:
    """Print every table that has lines."""
    for name, headline, lines in _tables(raw):
        columns = PART_COLUMNS if any(line["why"] for line in lines) else PART_COLUMNS[:-1]
        session.say()
        session.say(headline)
        show_table(session.out, ((name, "left"), *columns[1:]), [_row(line)[: len(columns)] for line in lines])
    redemption = raw.get("redemption")
    if redemption is not None:
        session.say()
        session.say("offer and redemption (an effect of redeeming assumes exclusion and monotonicity):")
        show_table(session.out, (("", "left"), *PART_COLUMNS[3:6]), list(_redemption_rows(redemption)))


def _tables(raw: dict[str, Any]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    for name, headline in _HEADLINES.items():
        if raw.get(name):
            yield name.replace("_", " "), headline, raw[name]
    spillover = raw.get("spillover") or {}
    for name in ("purchases", "money"):
        if spillover.get(name):
            yield name, f"{name} per person, promoted ({spillover['known_by']}) and elsewhere:", spillover[name]


def _row(line: dict[str, Any]) -> list[str]:
    numbers = (number(line[name]) for name in ("estimate", "ci_low", "ci_high"))
    p = NOTHING if line["p_holm"] is None else f"{line['p_holm']:.2g}"
    return [line["name"], f"{line['n']:,}", f"{line['n_treated']:,}", *numbers, p, line["why"]]


def _redemption_rows(raw: dict[str, Any]) -> Iterator[list[str]]:
    yield ["redeemers against the others (naive)", number(raw["naive"]), NOTHING, NOTHING]
    names = {"offer": "offer on the outcome", "first_stage": "offer on redeeming", "effect": "redeeming on the outcome"}
    for name, label in names.items():
        yield [label, *(number(raw[name][part]) for part in ("estimate", "ci_low", "ci_high"))]
