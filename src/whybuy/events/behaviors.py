"""The grammar of behaviors: ``action:target``, read, written canonically, and listed from a log.

=========================  ==========================================================
``view:*``                 any view
``view:shoes/boots``       a view in a category: its path and everything below it
``purchase:item=123``      a purchase of one item
``cart:brand=acme``        a cart of one brand
``search:query=boots``     a search for a text (case-folded, trimmed)
``campaign:spring``        an event of a campaign; ``campaign:spring/treated`` one arm
=========================  ==========================================================

Special characters are percent-encoded, so that every id can be written; the canonical form is what :func:`str` gives.
"""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

from whybuy.columns import ACTIONS
from whybuy.errors import BehaviorError, nearest

Kind = Literal["any", "category", "item", "brand", "query", "campaign"]
_KEYED: tuple[Kind, ...] = ("item", "brand", "query")
_EXPOSURES = ("campaign", "redeem")


@dataclass(frozen=True, slots=True, order=True)
class Behavior:
    """One behavior: an action and what it is aimed at.

    Attributes
    ----------
    action : one of :data:`whybuy.columns.ACTIONS`
    kind : what ``target`` names
    target : the decoded name; empty for ``any``
    arm : the arm of a campaign, else empty
    """

    action: str
    kind: Kind = "any"
    target: str = ""
    arm: str = ""

    def __str__(self) -> str:
        """Return the canonical form."""
        if self.kind == "any":
            return f"{self.action}:*"
        if self.kind == "category":
            return f"{self.action}:{quote(self.target, safe='/')}"
        if self.kind == "campaign":
            arm = f"/{quote(self.arm, safe='')}" if self.arm else ""
            return f"{self.action}:{quote(self.target, safe='')}{arm}"
        return f"{self.action}:{self.kind}={quote(self.target, safe='')}"


def parse_behavior(text: str) -> Behavior:
    """Return the behavior that ``text`` writes.

    Raises
    ------
    BehaviorError
        No colon, an unknown action, an empty target, or an unknown key before ``=``.
    """
    action, colon, target = text.strip().partition(":")
    action = action.strip().casefold()
    if action not in ACTIONS:
        near = nearest(action, ACTIONS)
        hint = f"Did you mean {near!r}?" if near else f"Known actions: {', '.join(ACTIONS)}."
        raise BehaviorError.of(
            found=f"{text!r} starts with {action!r}, which is no action",
            needed="action:target is needed, as in view:shoes or purchase:*",
            do=hint,
        )
    if not colon or not target.strip():
        raise BehaviorError.of(
            found=f"{text!r} names no target",
            needed="action:target is needed",
            do=f"Write {action}:* for any, {action}:CATEGORY, or {action}:item=ID",
        )
    return _parse_target(action, target.strip(), text)


def _parse_target(action: str, target: str, text: str) -> Behavior:
    if target == "*":
        return Behavior(action)
    if action in _EXPOSURES and "=" not in target:
        campaign, _, arm = target.partition("/")
        return Behavior(action, "campaign", unquote(campaign), unquote(arm))
    key, equals, value = target.partition("=")
    if not equals:
        return Behavior(action, "category", unquote(target).strip("/"))
    for kind in _KEYED:
        if key == kind and value:
            name = unquote(value)
            return Behavior(action, kind, name.strip().casefold() if kind == "query" else name)
    raise BehaviorError.of(
        found=f"{text!r} has the key {key!r}",
        needed=f"one of {', '.join(_KEYED)} with a value is needed before and after '='",
        do="Write a category without '=' (percent-encode it: %3D), or item=ID, brand=NAME, query=TEXT",
    )


def category_within(category: str, ancestor: str) -> bool:
    """Return whether ``category`` is ``ancestor`` or lies below it on its path."""
    return category == ancestor or category.startswith(f"{ancestor}/")


def contains(outer: Behavior, inner: Behavior) -> bool:
    """Return whether every event that is ``inner`` is ``outer`` too."""
    if outer.action != inner.action:
        return False
    if outer.kind == "any":
        return True
    if outer.kind == inner.kind == "category":
        return category_within(inner.target, outer.target)
    if outer.kind == inner.kind == "campaign":
        return outer.target == inner.target and outer.arm in ("", inner.arm)
    return outer == inner


FUNNEL = ("impression", "click", "view", "search", "favorite", "cart", "purchase", "review", "return")
"""The order of the stages of buying; an earlier stage of the same target is a precondition of a later one."""


def is_funnel(treatment: Behavior, outcome: Behavior) -> bool:
    """Return whether the treatment is a precondition of the outcome: an earlier stage for the same target.

    The target of the treatment must cover or equal the outcome's (``view:*`` before ``purchase:shoes`` is no
    precondition that names shoes, so ``any`` counts only against ``any``).
    """
    if treatment.action not in FUNNEL or outcome.action not in FUNNEL:
        return False
    if FUNNEL.index(treatment.action) >= FUNNEL.index(outcome.action):
        return False
    if treatment.kind != outcome.kind:
        return False
    if treatment.kind == "category":
        return category_within(treatment.target, outcome.target) or category_within(outcome.target, treatment.target)
    return treatment.target == outcome.target
