"""What three methods say of the same pairs, and why they differ where they do: results and wording."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from whybuy.causal.effects import Estimate, Verdict
from whybuy.causal.pc import Arrow

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Sign = Literal["+", "-", "0"]

ASSUMES = {
    "ours": "No unlogged cause of both the decision and what follows, given everything logged before the decision.",
    "PC": (
        "One random window per user: no hidden common cause of the counts (a behavior that is not compared is one), no "
        "effects that cancel, independent users, log counts close to jointly normal. A direct dependence, not a whole "
        "effect."
    ),
    "Granger": (
        "Every moment of a sample of users: no unlogged state, attribute or behavior that is not compared moves both "
        "rates, memory fades as assumed. A change of the rate at each time, beyond what any moment brings, given all "
        "that came before."
    ),
}
"""What each answer stands on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinions:
    """What three methods say of one pair.

    Attributes
    ----------
    verdict, effect : ours
    arrow : PC's: ``->``, ``<-``, ``--`` (no direction), empty (no edge); None where a count does not vary
    influence : Granger's change of the log rate with its 95% interval; None where there was too little to go by
    sign : of the influence: ``0`` where its q-value is .05 or more; None where there is none
    pc_agrees, granger_agrees : whether they say what we say; None where one of us says nothing
    why : where they differ, what the assumptions make of it
    """

    treatment: str
    outcome: str
    verdict: Verdict
    effect: Estimate
    arrow: Arrow | None
    influence: Estimate | None
    sign: Sign | None
    pc_agrees: bool | None
    granger_agrees: bool | None
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOpinion:
    """Three answers on every confirmed pair of the behaviors that can be compared.

    Attributes
    ----------
    pairs : those we have an answer to come first
    behaviors : those compared; left_out : those of confirmed pairs that are not
    n_users, n_moments : the sample that both methods saw; n_rows : users with a window for PC
    """

    horizon: str
    pairs: tuple[Opinions, ...]
    behaviors: tuple[str, ...]
    left_out: tuple[str, ...]
    n_users: int
    n_moments: int
    n_rows: int

    @property
    def apart(self) -> tuple[Opinions, ...]:
        """The pairs on which one of them differs from us."""
        return tuple(p for p in self.pairs if p.why)

    def agreement(self, method: Literal["pc", "granger"]) -> tuple[int, int]:
        """Return on how many pairs a method says what we say, and on how many both say something."""
        said = [s for p in self.pairs if (s := p.pc_agrees if method == "pc" else p.granger_agrees) is not None]
        return sum(said), len(said)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pair: names and numbers, nothing worded."""
        rows = [
            {
                "treatment": p.treatment,
                "outcome": p.outcome,
                "horizon": self.horizon,
                "verdict": p.verdict,
                "estimate": p.effect.estimate,
                "pc": p.arrow,
                "granger": None if p.influence is None else p.influence.estimate,
                "granger_low": None if p.influence is None else p.influence.ci_low,
                "granger_high": None if p.influence is None else p.influence.ci_high,
                "granger_sign": p.sign,
                "pc_agrees": p.pc_agrees,
                "granger_agrees": p.granger_agrees,
            }
            for p in self.pairs
        ]
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return how far the methods agree."""
        pc, granger_ = self.agreement("pc"), self.agreement("granger")
        return (
            f"PC agrees on {pc[0]} of {pc[1]} pairs that both answer, the Granger view on {granger_[0]} of "
            f"{granger_[1]} ({len(self.behaviors)} behaviors, {self.n_users:,} users, {self.n_moments:,} moments)."
        )

    def plot(self) -> "Figure":
        """Return a Plotly figure: Granger's factor of the rate with its 95% interval, colored by whether we agree."""
        import plotly.graph_objects as go

        figure = go.Figure()
        kinds = {True: ("agrees", "#0072B2"), False: ("differs", "#D55E00"), None: ("we cannot tell", "#8A929C")}
        for agrees, (name, color) in kinds.items():
            drawn = [(p, p.influence) for p in self.pairs if p.influence is not None and p.granger_agrees is agrees]
            x = [np.exp(np.array([i.estimate, i.ci_low, i.ci_high], float)) for _, i in drawn]
            figure.add_scatter(
                x=[at for at, _, _ in x],
                y=[f"{p.treatment} → {p.outcome}" for p, _ in drawn],
                error_x={"array": [high - at for at, _, high in x], "arrayminus": [at - low for at, low, _ in x]},
                mode="markers",
                name=name,
                marker={"color": color, "size": 9},
                hovertext=[f"ours: {p.verdict}, PC: {p.arrow or 'no edge'}" for p, _ in drawn],
            )
        figure.add_vline(x=1, line_width=1)
        figure.update_xaxes(type="log", title_text="Granger: factor of the outcome's rate after the behavior")
        return figure.update_layout(height=160 + 24 * len(self.pairs), yaxis_autorange="reversed")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "SecondOpinion":
        """Read what :meth:`to_json` wrote."""
        pairs = tuple(
            Opinions(
                **{
                    **p,
                    "effect": Estimate(**p["effect"]),
                    "influence": None if p["influence"] is None else Estimate(**p["influence"]),
                    "why": tuple(p["why"]),
                }
            )
            for p in raw["pairs"]
        )
        lists = {name: tuple(raw[name]) for name in ("behaviors", "left_out")}
        return cls(**{**raw, **lists, "pairs": pairs})


def why_pc_differs(ours: Sign, arrow: Arrow) -> str:
    """Return what the assumptions make of PC saying ``arrow`` where we say ``ours``."""
    if ours == "0":
        return (
            "PC has an edge: it assumes no hidden common cause, so a lasting taste that raises both counts draws one; "
            "the trials compare decisions with the same logged history."
        )
    if arrow == "<-":
        return (
            "PC has the opposite direction: within a window its counts have no order, and it goes by patterns of "
            "independence; the trials go by what came first."
        )
    return (
        "PC has no edge: it asks for a dependence that no few other counts explain, so what runs through another of "
        "these behaviors is none; the effect is the whole one. One window a user also leaves it less power."
    )


def why_granger_differs(ours: Sign, sign: Sign) -> str:
    """Return what the assumptions make of the Granger view saying ``sign`` where we say ``ours``."""
    if ours == "0":
        return (
            "Granger sees an influence: it assumes that no unlogged state moves both rates, and does not ask how large "
            "it is; the trials compare decisions with the same logged history, and small is none."
        )
    if sign == "0":
        return (
            "Granger sees no influence: it is given all that came after the behavior too, so what runs through later "
            "behaviors is theirs; the effect counts all of it."
        )
    return (
        "Granger has the opposite sign: it takes a behavior for a cause where a state, an attribute or a behavior that "
        "is not compared moves both rates, and compares with a moment of any kind; the effect compares with the usual "
        "alternatives of this user."
    )
