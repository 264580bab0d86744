"""Which other campaigns reached the people who are compared: before their moment, or within the horizon after it.

Received *before*, another campaign is a covariate: it may have decided who is sent this one, and what they do now.
Received *within* the window it is a second treatment, whose effect must not be counted as this one's.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.assignments import Assignments
from whybuy.campaign.history import Bools, Floats
from whybuy.campaign.nuisance import Ints

MIN_PEOPLE = 30
"""Another campaign counts where it reached at least so many people and at least so many were not reached."""
AT_ONCE_MS, MAX_LATE = 86_400_000, 0.05
"""A campaign came at once where at most this share of its people received it more than a day after the moment."""
MAX_BEFORE = 30
"""At most so many earlier campaigns are covariates of their own; all of them are in the number received."""


@dataclass(frozen=True)
class Exposures:
    """Other campaigns and who among (n,) rows received them.

    Attributes
    ----------
    before : campaign -> (n,) received before the moment
    within : campaign -> (n,) received for the first time at the moment or within the horizon after it
    n_before : (n,) number of other campaigns received before
    later : campaigns of the window that reached people days after the moment
    """

    before: dict[str, Bools]
    within: dict[str, Bools]
    n_before: Ints
    later: frozenset[str] = frozenset()

    def covariates(self) -> tuple[Floats, list[str]]:
        """Return (n, k) covariates and their names; none where nobody received any before."""
        common = sorted(self.before, key=lambda name: (-int(self.before[name].sum()), name))[:MAX_BEFORE]
        columns = [self.before[name].astype(np.float32) for name in common]
        names = [f"received {name}" for name in common]
        if self.n_before.any():
            columns.append(np.log1p(self.n_before).astype(np.float32))
            names.append("campaigns received")
        block = np.stack(columns, axis=1) if columns else np.empty((len(self.n_before), 0), np.float32)
        return block, names

    def share(self, who: Bools) -> float:
        """Return the share of people who received another campaign within the window."""
        return float(np.logical_or.reduce(list(self.within.values()))[who].mean()) if self.within else 0.0

    def keep(self, which: Bools) -> "Exposures":
        """Return the exposures of some rows."""
        before, within = ({k: v[which] for k, v in part.items()} for part in (self.before, self.within))
        return Exposures(before, within, self.n_before[which], self.later)


def exposures_of(
    assignments: Assignments, controls: list[str], campaign: str, rows: pd.DataFrame, horizon_ms: int
) -> Exposures:
    """Return the exposures of ``rows`` (``user_id``, ``ts_ms``) to every other campaign.

    A control arm received nothing.

    Parameters
    ----------
    controls : names of control arms
    """
    assigned = assignments.assigned
    folded = assigned[c.ARM].astype("string").str.strip().str.casefold()
    received = ~folded.isin({name.strip().casefold() for name in controls}).fillna(value=False).astype(bool)
    sent = assigned.loc[received & (assigned[c.CAMPAIGN] != campaign), [c.CAMPAIGN, c.USER, c.TIME_MS]]
    mine = pd.DataFrame({"row": np.arange(len(rows)), c.USER: rows[c.USER].to_numpy(), "at_ms": rows[c.TIME_MS]})
    met = mine.merge(sent, on=c.USER)
    after = met[c.TIME_MS] - met["at_ms"]
    before = met[after < 0]
    within = met[(after >= 0) & (after <= horizon_ms)]
    n_before = np.bincount(before["row"], minlength=len(rows))
    is_late = after[within.index] > AT_ONCE_MS
    share_late = is_late.groupby(within[c.CAMPAIGN], observed=True).mean()
    later = frozenset(str(name) for name in share_late.index[share_late > MAX_LATE])
    return Exposures(_by_campaign(before, len(rows)), _by_campaign(within, len(rows)), n_before, later)


def _by_campaign(met: pd.DataFrame, n: int) -> dict[str, Bools]:
    found = {}
    for name, rows in met.groupby(c.CAMPAIGN, observed=True)["row"]:
        received = np.zeros(n, bool)
        received[rows.to_numpy()] = True
        if MIN_PEOPLE <= received.sum() <= n - MIN_PEOPLE:
            found[str(name)] = received
    return found
