"""What is asked of a campaign beside its effect: arms, time, other campaigns, redeeming, purchases of other things."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whybuy.campaign.arms import arm_effects, arm_notes
from whybuy.campaign.compared import Compared
from whybuy.campaign.decay import effects_over_time, wear_out
from whybuy.campaign.inquiry import Inquiry
from whybuy.campaign.joint import interactions, others_effects
from whybuy.campaign.parts import PartEffect
from whybuy.campaign.redemption import Redemption, redemption_of
from whybuy.campaign.spillover import Spillover, spillover_of
from whybuy.causal.verdict import Q_LIMIT

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Further:
    """The tables below a campaign's effect; empty where there was nothing to ask, or no effect to start from.

    Attributes
    ----------
    arms : every arm against the controls, named ``campaign:ID/arm``
    over_time : the effect by days since the assignment
    wear_out : the effect by campaigns received before
    others : the effect of the campaigns received within the window, all of them and this one in one linear model
    interactions : what both together add to the sum of their effects
    redemption : what redeeming does
    spillover : gross, others, net
    """

    arms: tuple[PartEffect, ...] = ()
    over_time: tuple[PartEffect, ...] = ()
    wear_out: tuple[PartEffect, ...] = ()
    others: tuple[PartEffect, ...] = ()
    interactions: tuple[PartEffect, ...] = ()
    redemption: Redemption | None = None
    spillover: Spillover | None = None
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return one array or object per table."""
        return {
            **{name: [line.to_json() for line in lines] for name, lines in self._tables().items()},
            "redemption": None if self.redemption is None else self.redemption.to_json(),
            "spillover": None if self.spillover is None else self.spillover.to_json(),
        }

    def plot(self) -> "Figure":
        """Return a Plotly figure: every line with its interval, one panel per table of shares."""
        from plotly.subplots import make_subplots

        tables = {
            name: lines
            for name, lines in self._tables().items()
            if any(line.effect.estimate is not None for line in lines)
        }
        names = [name.replace("_", " ") for name in tables]
        figure = make_subplots(rows=max(1, len(tables)), cols=1, subplot_titles=names, shared_xaxes=True)
        for row, lines in enumerate(tables.values(), start=1):
            told = [line.effect for line in lines]
            bars = {
                "array": [None if e.estimate is None or e.ci_high is None else e.ci_high - e.estimate for e in told],
                "arrayminus": [None if e.estimate is None or e.ci_low is None else e.estimate - e.ci_low for e in told],
            }
            x, y = [e.estimate for e in told], [line.name for line in lines]
            figure.add_scatter(x=x, y=y, error_x=bars, mode="markers", row=row, col=1)
            figure.add_vline(x=0, line_width=1, row=row, col=1)
        figure.update_yaxes(autorange="reversed")
        figure.update_layout(showlegend=False, height=120 + 180 * len(tables))
        figure.update_xaxes(title_text="difference in the chance of the outcome", row=max(1, len(tables)), col=1)
        return figure

    def _tables(self) -> dict[str, tuple[PartEffect, ...]]:
        return {
            "arms": self.arms,
            "over_time": self.over_time,
            "wear_out": self.wear_out,
            "others": self.others,
            "interactions": self.interactions,
        }


def further_of(inquiry: Inquiry, campaign: str, arms: list[str], compared: Compared) -> Further:
    """Return everything that the people of a campaign can tell beside its effect.

    Parameters
    ----------
    arms : names of the arms that were sent something
    """
    by_arm = arm_effects(campaign, arms, compared, seed=inquiry.config.seed)
    # A drawn campaign's few covariates would not do for the others, which somebody may have picked people for.
    told_jointly = compared.joint.is_material and compared.comparison.e is not None
    redemption = redemption_of(inquiry, campaign, compared)
    spillover = spillover_of(inquiry, campaign, compared)
    notes = arm_notes(by_arm, Q_LIMIT)
    notes += [] if redemption is None else redemption.notes()
    notes += [] if spillover is None else spillover.notes()
    return Further(
        arms=by_arm,
        over_time=effects_over_time(inquiry, compared),
        wear_out=wear_out(compared),
        others=others_effects(compared.comparison, compared.joint, compared.outcome) if told_jointly else (),
        interactions=interactions(compared.comparison, compared.joint, compared.outcome) if told_jointly else (),
        redemption=redemption,
        spillover=spillover,
        notes=tuple(notes),
    )
