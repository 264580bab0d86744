"""Who was assigned to which campaign, when and to which arm, and whether that was done at random.

One opportunity is a user's first event of a campaign. Randomized means declared so in the config, or logged
propensities that are constant within every arm and that the observed split agrees with; balance alone proves nothing.
A split that disagrees with what was logged (a sample-ratio mismatch) says that somebody was lost on the way into one
arm, so it stops every verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from whybuy import columns as c
from whybuy.config import Config
from whybuy.engine import steady_duckdb
from whybuy.events.log import EventLog
from whybuy.events.order import natural

Kind = Literal["randomized", "targeted", "unknown"]

MIN_RATIO_P = 0.001
"""A sample-ratio check fails below this; the usual level, since the check is made for every campaign."""
_SAME_PROPENSITY = 1e-6
_WHOLE = 1e-3
CONTROL, TREATED, N_ARMS = "is_control", "treated", "n_arms"

_FIRST = f"ORDER BY {c.TIME_MS}, {c.SOURCE}, {c.ROW}"
_ASSIGNED_SQL = f"""
    SELECT {c.CAMPAIGN}, {c.USER},
           min({c.TIME_MS}) AS {c.TIME_MS},
           first({c.ARM} {_FIRST}) AS {c.ARM},
           first({c.PROPENSITY} {_FIRST}) AS {c.PROPENSITY},
           count(DISTINCT lower(trim({c.ARM}))) AS {N_ARMS}
    FROM read_parquet($shards)
    WHERE {c.ACTION} = 'campaign' AND {c.CAMPAIGN} IS NOT NULL
    GROUP BY {c.CAMPAIGN}, {c.USER}
    ORDER BY {c.CAMPAIGN}, {c.USER}
"""
_REDEEMED_SQL = f"""
    SELECT DISTINCT {c.CAMPAIGN}, {c.USER}, {c.TIME_MS}
    FROM read_parquet($shards)
    WHERE {c.ACTION} = 'redeem' AND {c.CAMPAIGN} IS NOT NULL
"""


@dataclass(frozen=True)
class Assignments:
    """The assignments and redemptions of every campaign of a log.

    Attributes
    ----------
    assigned : one row per campaign and user: time and arm of the first event, number of different arms
    redeemed : one row per redemption that names a campaign
    """

    assigned: pd.DataFrame
    redeemed: pd.DataFrame

    @property
    def campaigns(self) -> list[str]:
        """Campaigns with at least one assignment, in the order of their ids, 2 before 10."""
        return sorted(map(str, self.assigned[c.CAMPAIGN].unique()), key=natural)

    def of(self, campaign: str) -> pd.DataFrame:
        """Return the assignments of one campaign, by user."""
        return self.assigned[self.assigned[c.CAMPAIGN] == campaign].reset_index(drop=True)

    def redeemed_of(self, campaign: str) -> pd.DataFrame:
        """Return the redemptions of one campaign."""
        return self.redeemed[self.redeemed[c.CAMPAIGN] == campaign].reset_index(drop=True)


def read_assignments(log: EventLog) -> Assignments:
    """Return who was assigned to what and who redeemed what, in one pass over the log each."""
    if not log.shards:
        empty = pd.DataFrame(columns=[c.CAMPAIGN, c.USER, c.TIME_MS, c.ARM, c.PROPENSITY, N_ARMS])
        return Assignments(empty, empty[[c.CAMPAIGN, c.USER, c.TIME_MS]])
    shards = {"shards": [str(shard) for shard in log.shards]}
    with steady_duckdb() as connection:
        assigned = connection.execute(_ASSIGNED_SQL, shards).df()
        redeemed = connection.execute(_REDEEMED_SQL, shards).df()
    return Assignments(assigned, redeemed)


@dataclass(frozen=True)
class Design:
    """How a campaign was assigned, as far as the log and the config say.

    Attributes
    ----------
    rows : the assignments that count, with ``treated``; people in two arms are left out
    everyone : all assignments, those set aside included
    has_controls : whether a control arm is logged
    sample_ratio : the check of the split, see :func:`sample_ratio`
    set_aside : reason -> number of people
    notes : plain words
    """

    kind: Kind
    rows: pd.DataFrame
    everyone: pd.DataFrame
    has_controls: bool
    sample_ratio: dict[str, Any]
    set_aside: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def treated_arms(self) -> list[str]:
        """Names of the arms that were sent something."""
        return sorted(self.rows.loc[self.rows[TREATED], c.ARM].dropna().unique())


def design_of(rows: pd.DataFrame, config: Config, campaign: str) -> Design:
    """Return how ``campaign``, whose assignments are ``rows``, was assigned."""
    everyone = rows
    folded = rows[c.ARM].astype("string").str.strip().str.casefold()
    controls = {name.strip().casefold() for name in config.campaign.controls}
    is_control = folded.isin(controls).fillna(value=False).astype(bool)
    rows = rows.assign(**{c.ARM: folded.astype(object).where(folded.notna(), None), CONTROL: is_control})
    notes: list[str] = []
    set_aside: dict[str, int] = {}
    in_two = rows[N_ARMS] > 1
    if in_two.any():
        set_aside["in_two_arms"] = int(in_two.sum())
        notes.append(f"Set aside because logged in more than one arm: {in_two.sum():,}.")
    has_controls = bool(rows[CONTROL].any())
    no_arm = folded.isna() & has_controls
    if no_arm.any():
        set_aside["without_arm"] = int(no_arm.sum())
        notes.append(f"Set aside because logged without an arm: {no_arm.sum():,}.")
    rows = rows[~(in_two | no_arm)].reset_index(drop=True)
    rows[TREATED] = ~rows[CONTROL]
    has_controls = bool(rows[CONTROL].any())
    kind, ratio, more = _kind(rows, has_controls, declared=campaign in config.campaign.randomized)
    return Design(kind, rows, everyone, has_controls, ratio, set_aside, (*notes, *more))


def _kind(rows: pd.DataFrame, has_controls: bool, *, declared: bool) -> tuple[Kind, dict[str, Any], list[str]]:
    if not has_controls:
        notes = ["Only people who were sent it are logged: the controls are others at comparable moments."]
        if declared:
            notes.append("It is declared randomized, but no control arm is logged: log the people held out too.")
        return "targeted", sample_ratio({}, None), notes
    observed = {str(arm): int(n) for arm, n in rows[c.ARM].value_counts().items()}
    shares, why_not = logged_shares(rows)
    ratio = sample_ratio(observed, shares)
    if declared:
        note = [] if shares else [f"Declared randomized; the intended split could not be checked: {why_not}"]
        return "randomized", ratio, note
    if shares is None:
        return "unknown", ratio, [f"Nothing shows that the arms were drawn at random: {why_not}"]
    if not ratio["passed"]:
        return "unknown", ratio, []
    return "randomized", ratio, ["Randomized by its logged propensities, which the observed split agrees with."]


def logged_shares(rows: pd.DataFrame) -> tuple[dict[str, float] | None, str]:
    """Return the share of each arm by the logged propensities, or None and why there is none."""
    known = rows[c.PROPENSITY]
    if known.isna().all():
        return None, "no propensity is logged."
    if known.isna().any():
        return None, f"the propensity is missing for {known.isna().sum():,} of {len(rows):,} people."
    if ((known <= 0) | (known > 1)).any():
        return None, "some propensities lie outside (0, 1]."
    by_arm = known.groupby(rows[c.ARM])
    if (by_arm.max() - by_arm.min() > _SAME_PROPENSITY).any():
        return None, "the propensities differ between people of one arm."
    shares = {str(arm): float(share) for arm, share in by_arm.mean().items()}
    total = sum(shares.values())
    if abs(total - 1) > _WHOLE:
        return None, f"the propensities of the arms are inconsistent: they sum to {total:.3g}, not to 1."
    return {arm: share / total for arm, share in shares.items()}, ""


def sample_ratio(observed: Mapping[str, int], shares: Mapping[str, float] | None) -> dict[str, Any]:
    """Return the chi-square check of the observed split against the intended shares.

    ``passed`` is None where there is no intended split to compare with.
    """
    facts: dict[str, Any] = {"observed": {str(arm): int(n) for arm, n in sorted(observed.items())}}
    if shares is None or len(shares) < 2:
        return {**facts, "expected": None, "p_value": None, "passed": None}
    arms = sorted(shares)
    counts = np.array([observed[arm] for arm in arms], float)
    expected = np.array([shares[arm] for arm in arms]) * counts.sum()
    p = float(stats.chisquare(counts, expected).pvalue)
    return {
        **facts,
        "expected": dict(zip(arms, expected.tolist(), strict=True)),
        "p_value": p,
        "passed": bool(p >= MIN_RATIO_P),
    }
