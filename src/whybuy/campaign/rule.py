"""A rule of two questions for whom it is worth sending to, in words: about a month's counts, recency and attributes.

It is asked whatever the budget. The price that a budget puts on money is no help here: where people are of a few kinds
it is what the last of them gain, and would leave nothing to any rule.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from whybuy.campaign.budget import PolicyTree, policy_tree
from whybuy.campaign.budget.tree import Question
from whybuy.campaign.people import CLOCK, NOTHING, People
from whybuy.causal.clusters import Float64, Ints

_READABLE = (" in 30d", "days since ")
_MAX_QUESTIONS = 30
"""Covariates that a rule may ask about: pairs of them are tried."""


def readable_rule(
    people: People, X: Float64, scores: Float64, user: Ints, *, protected: Sequence[str]
) -> PolicyTree | None:
    """Return the two questions that best tell who gains from being sent it; None where nothing can be asked.

    Parameters
    ----------
    X, scores, user : (n, d), (n, n_arms) and (n,) of people who taught nothing
    protected : attributes that no rule may ask about
    """
    asked = _readable(people, protected)
    if not asked:
        return None
    covariates = {name: X[:, i] for i, name in asked}
    frame = pd.DataFrame({n: x if _is_flag(x) else np.expm1(x).round(2) for n, x in covariates.items()})
    return policy_tree(frame, scores, users=user, arms=(NOTHING, *people.arms[1:]))


def _readable(people: People, protected: Sequence[str]) -> list[tuple[int, str]]:
    """Return the columns that a rule may ask about: a month's counts, recency, attributes that are not protected."""
    found = [
        (i, name)
        for i, (name, group) in enumerate(zip(people.names, people.groups, strict=True))
        if group != CLOCK
        and group not in protected
        and (name.endswith(_READABLE[0]) or name.startswith(_READABLE[1]) or " = " in name)
    ]
    return found[:_MAX_QUESTIONS]


def _is_flag(x: Float64) -> bool:
    return bool(np.isin(x, (0, 1)).all())


def rule_words(tree: PolicyTree) -> list[str]:
    """Return one line per leaf; flags are asked by name, not by number."""
    lines = []
    for leaf, asked in tree.rule.paths:
        head = " and ".join(_condition(tree, question, yes) for question, yes in asked)
        arm = tree.arms[tree.rule.arm[leaf]]
        does = "send it" if arm != NOTHING and len(tree.arms) == 2 else f"send {arm}"
        lines.append(f"{head or 'everybody'}: {does} ({100 * tree.shares[leaf]:.0f}% of people)")
    return lines


def not_described(attributes: Collection[str], protected: Sequence[str]) -> str:
    """Return which of the ``attributes`` people are not described by, in words; empty where all of them may be."""
    left_out = [name for name in protected if name in attributes]
    return f"Left out of the words because protected: {', '.join(left_out)}." if left_out else ""


def _condition(tree: PolicyTree, question: Question, yes: bool) -> str:
    name = tree.covariates[question.column]
    if " = " in name:
        attribute, level = name.split(" = ", 1)
        return f"{attribute} is {'not ' if yes else ''}{level}"
    return f"{name} {'at most' if yes else 'above'} {question.cut:g}"
