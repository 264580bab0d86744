"""How long a campaign works, and whether it still does after many: effects by time, and by campaigns received before.

- **over time**: the outcome in (0, 1], (1, 3], (3, 7] and (7, 14] days after the assignment, each among the people whom
  the log follows to the window's end. An effect that turns negative later was brought forward, not added.
- **wear-out**: the effect among people who had received 0, 1, 2 or more other campaigns before.

Each table is one family of questions (Holm). Groups are made by what was known at the assignment.
"""

import numpy as np

from whybuy import columns as c
from whybuy.campaign.compared import Compared
from whybuy.campaign.followup import Counted, followups
from whybuy.campaign.inquiry import Inquiry
from whybuy.campaign.parts import PartEffect, part_effect, with_holm

WINDOWS_DAYS = ((0, 1), (1, 3), (3, 7), (7, 14))
RECEIVED_BEFORE = (("0", 0, 0), ("1", 1, 1), ("2", 2, 2), ("3 or more", 3, np.inf))
_DAY_MS = 86_400_000


def effects_over_time(inquiry: Inquiry, compared: Compared) -> tuple[PartEffect, ...]:
    """Return the effect on the outcome in each window of days since the assignment."""
    comparison = compared.comparison
    spans = [Counted(inquiry.window.outcome, a * _DAY_MS, b * _DAY_MS) for a, b in WINDOWS_DAYS]
    follows = followups(inquiry.log, comparison.rows, spans) > 0
    lines = []
    for (a, b), follow in zip(WINDOWS_DAYS, follows.T, strict=True):
        seen = (comparison.rows[c.TIME_MS] + b * _DAY_MS <= inquiry.observed.end_ms).to_numpy(bool)
        lines.append(part_effect(f"days {a}-{b}", comparison.keep(seen), follow[seen]))
    return with_holm(lines)


def wear_out(compared: Compared) -> tuple[PartEffect, ...]:
    """Return the effect by how many other campaigns people had received before; none where nobody had any."""
    n_before = compared.exposures.n_before
    if not n_before.any():
        return ()
    comparison, lines = compared.comparison, []
    expected = comparison.foretold(compared.outcome)
    for name, low, high in RECEIVED_BEFORE:
        rows = (n_before >= low) & (n_before <= high)
        if not rows.any():
            continue
        among, y = comparison.keep(rows), compared.outcome[rows]
        lines.append(part_effect(name, among, y, expected=expected[rows]))
    return with_holm(lines)
