"""The effect of a campaign by user attribute, one family of questions per campaign (Holm)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from whybuy import columns as c
from whybuy.campaign.estimate import holm
from whybuy.campaign.history import Bools, common_levels
from whybuy.campaign.result import SegmentEffect
from whybuy.campaign.rule import not_described
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_OUTCOME_USERS
from whybuy.causal.verdict import Q_LIMIT
from whybuy.events.log import EventLog


def segment_effects(
    log: EventLog,
    user_ids: pd.Series,
    treated: Bools,
    outcome: Bools,
    estimate: Callable[[Bools], Estimate],
    *,
    estimand: str,
) -> tuple[SegmentEffect, ...]:
    """Return the effect on the people with each common value of each attribute.

    Parameters
    ----------
    user_ids, treated, outcome : (n,) the people compared
    estimate : returns the effect among the rows with (n,) True; asked only where 20 people in each arm had the outcome
    estimand : what it estimates
    """
    found = []
    for attribute, value, rows in _segments(log, user_ids):
        sent, others = treated & rows, ~treated & rows
        thin = min(outcome[sent].sum(), outcome[others].sum()) < MIN_OUTCOME_USERS
        effect = Estimate(estimand=estimand) if thin else estimate(rows)
        found.append(
            SegmentEffect(attribute=attribute, value=value, n=int(rows.sum()), n_treated=int(sent.sum()), effect=effect)
        )
    adjusted = holm([segment.effect.p_value for segment in found])
    return tuple(replace(segment, p_holm=p) for segment, p in zip(found, adjusted, strict=True))


def segment_notes(segments: tuple[SegmentEffect, ...], protected: Sequence[str]) -> list[str]:
    """Return what the segments say, in words; people are not described by ``protected`` attributes."""
    notes = []
    moved = [
        f"{s.attribute} = {s.value} ({100 * s.effect.estimate:+.1f} in 100)"
        for s in segments
        if s.effect.estimate is not None
        and s.p_holm is not None
        and s.p_holm < Q_LIMIT
        and s.attribute not in protected
    ]
    if moved:
        notes.append(f"By segment, after Holm's correction, it moves people with {', '.join(moved)}.")
    left_out = not_described({s.attribute for s in segments}, protected)
    if left_out:
        notes.append(left_out)
    thin = sum(segment.effect.estimate is None for segment in segments)
    if thin:
        notes.append(
            f"{thin} of {len(segments)} segments are too thin to judge "
            f"(fewer than {MIN_OUTCOME_USERS} people with the outcome in an arm)."
        )
    return notes


def _segments(log: EventLog, user_ids: pd.Series) -> Iterator[tuple[str, str, Bools]]:
    users = log.users().set_index(c.USER)
    for attribute in log.quality.attributes:
        values = users[attribute].reindex(user_ids)
        for level in common_levels(values):
            yield attribute, level, (values == level).to_numpy(bool, na_value=False)
