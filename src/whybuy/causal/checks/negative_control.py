"""Negative controls: outcomes after the decision that the behavior should not reach.

A wish that was not logged and drives the behavior drives more than one outcome: where the behavior "changes" something
that it has no way to change, the comparison is not free of such wishes (Lipsitch, Tchetgen Tchetgen and Cohen,
Epidemiology, 2010). A confounder of this one pair alone leaves no trace here: silence proves nothing.

Who says that the behavior has no way? Only a person can. Controls that the config names are therefore decisive, and
where it names none a rule proposes some: outcomes in other top-level categories than the behavior's and the asked
outcome's, so that no funnel joins them; of those the ones that co-occur with the behavior most, since a confounder
shows where there is much to confound. What the rule proposes can be a real effect: one category leads to another (a
phone to its case), and a decision for one thing is a decision against the others, so that a fall is expected. So it
warns, and weakens nothing, and only where most of its controls rise: a mood to buy lifts all of them, a real path one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whybuy.causal.checks.pair import CHANCE, Bools, PairData, effect_among, in_hundred
from whybuy.causal.effects import Naive
from whybuy.causal.residuals import Float64
from whybuy.events.behaviors import Behavior, contains, is_funnel

N_BY_RULE = 5
MIN_RISING = 2
"""One control that rises is as well a path as a confounder."""

N_CANDIDATES = 8
"""Outcomes that the rule chooses from: each is held in memory beside the trials."""


@dataclass(frozen=True)
class Control:
    """A control outcome on the trials of one pair.

    Attributes
    ----------
    own : (n,) the decision is the outcome itself; e_own : (n,) its probability
    followed : (n,) the outcome follows the decision; m : (n,) its expectation, out of fold
    """

    outcome: str
    own: Bools
    e_own: Float64
    followed: Bools
    m: Float64

    def naive(self, treated: Bools) -> Naive:
        """Return the naive evidence among decisions that are not the control itself."""
        arm, after = treated & ~self.own, self.followed & ~self.own
        counts = {"n": ~self.own, "treated": arm, "outcome": after, "joint": arm & after}
        return Naive.of_counts(**{name: int(np.count_nonzero(rows)) for name, rows in counts.items()})

    def among(self, rows: Bools) -> "Control":
        """Return the control on some of the trials."""
        return Control(self.outcome, self.own[rows], self.e_own[rows], self.followed[rows], self.m[rows])

    def association(self, treated: Bools) -> float:
        """Return the absolute naive difference in standard deviations of the control; 0 where there is none."""
        naive = self.naive(treated)
        p = naive.p_outcome or 0.0
        return abs(naive.difference or 0.0) / math.sqrt(p * (1 - p)) if 0 < p < 1 else 0.0


def is_candidate(outcome: Behavior) -> bool:
    """Return whether the rule may propose this outcome to any pair: one of a top-level category."""
    return outcome.kind == "category" and "/" not in outcome.target


def proposed(pair: tuple[Behavior, Behavior], candidates: Sequence[Behavior]) -> list[Behavior]:
    """Return the candidates that the rule allows for a pair: nothing where it cannot tell categories apart.

    What is aimed at anything (``view:*``) reaches everything, and every purchase is a part of ``purchase:*``.
    """
    if any(behavior.kind != "category" for behavior in pair):
        return []
    own = {behavior.target.partition("/")[0] for behavior in pair}
    return [c for c in candidates if is_candidate(c) and c.target not in own and not is_funnel(pair[0], c)]


def asked(pair: tuple[Behavior, Behavior], named: Sequence[Behavior]) -> list[Behavior]:
    """Return the named controls that are a control for this pair: not its outcome, and not what the treatment is."""
    return [c for c in named if c != pair[1] and not contains(c, pair[0])]


def negative_control(
    data: PairData, controls: Sequence[Control], *, named: bool, smallest_effect: float
) -> dict[str, Any]:
    """Return the effect on every control with the score of the pair, and which of them fire.

    A control fires where its effect is larger than ``smallest_effect`` and its p-value, times the number of controls,
    below .01. ``passed`` is for named controls: none fires, and all could be judged. ``warns`` is for the rule's: at
    least two and more than half of them fire by rising.

    Notes
    -----
    Decisions that are the control itself are left out, as for any outcome. Among the others the propensity is
    (e - P(b | own) e_own) / (1 - e_own); e_own is scaled to how often it happens among these trials.
    """
    rows = [_judged(data, control, len(controls), smallest_effect) for control in controls]
    found: dict[str, Any] = {"kind": "named" if named else "rule", "controls": rows, "passed": None, "warns": False}
    if not rows:
        return {**found, "why": "No outcome is a control for this pair."}
    if named:
        return {**found, "passed": all(row["fired"] is False for row in rows)}
    n_rising = sum(bool(row["fired"]) and row["estimate"] > 0 for row in rows)
    return {**found, "warns": n_rising >= MIN_RISING and 2 * n_rising > len(rows)}


def _judged(data: PairData, control: Control, n_controls: int, smallest_effect: float) -> dict[str, Any]:
    share, expected = float(control.own.mean()), float(control.e_own.mean())
    e_own = np.minimum(control.e_own * (share / expected if expected > 0 else 0.0), 0.95)
    shared = float(data.T[control.own].mean()) if share > 0 else 0.0
    e = np.clip((data.e - shared * e_own) / (1 - e_own), data.e.min(), data.e.max())
    after = PairData(data.T, control.followed.astype(float), e, control.m, data.user)
    group = effect_among(after, ~control.own)
    p = group.p_value
    fired = None
    if group.estimate is not None and p is not None:
        fired = p * n_controls < CHANCE and abs(group.estimate) > smallest_effect
    return {
        "outcome": control.outcome,
        "naive": control.naive(data.T > 0).difference,
        **group.to_json(),
        "p_value": p,
        "fired": fired,
    }


def negative_control_failures(found: dict[str, Any]) -> list[str]:
    """Return what is wrong, in words: named controls that fired or could not be judged."""
    if found["kind"] != "named":
        return []
    told = []
    for row in found["controls"]:
        if row["fired"]:
            told.append(
                f"Negative control: it also seems to change {row['outcome']}, {in_hundred(row)}, which the config says "
                "it cannot change: something that was not logged moves both."
            )
        elif row["fired"] is None:
            told.append(f"Control {row['outcome']}, named in the config, could not be judged: {row['why']}")
    return told


def negative_control_warnings(found: dict[str, Any]) -> list[str]:
    """Return what to keep in mind, in words: most of the rule's controls rise."""
    if not found["warns"]:
        return []
    rows = found["controls"]
    rising = [row for row in rows if row["fired"] and row["estimate"] > 0]
    first = f"{rising[0]['outcome']}: {in_hundred(rising[0])}"
    return [
        f"Warning, negative controls: it also seems to raise {len(rising)} of {len(rows)} outcomes in other categories "
        f"({first}), as a mood to buy that was not logged would. Outcomes that it cannot change, named as "
        "`negative_controls` under [causal], would settle it."
    ]
