"""The answer for one user: K items, each with its lift, its interval, its evidence and its reason."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from whybuy import columns as c
from whybuy.recommend.terms import Basis

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One item for one user.

    Attributes
    ----------
    rank : from 1
    lift : purchases of the item added per showing within the horizon; None where it cannot be told
    lift_low, lift_high : 95% interval of the lift, given that items of a category differ as measured
    p_buy : P(buy the item within the horizon | shown); None with the lift
    basis : "impression", or "view" where looking stands in for being shown (at most suggestive)
    ranked_by : what its place rests on, one of :data:`whybuy.recommend.reasons.RANKED_BY`
    reason : plain words
    propensity : probability of the item in this slot; 1.0, as the policy is deterministic
    """

    item_id: str
    rank: int
    lift: float | None
    lift_low: float | None
    lift_high: float | None
    p_buy: float | None
    basis: Basis
    ranked_by: str
    reason: str
    propensity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendations:
    """The items for one user, best first.

    Attributes
    ----------
    notes : what was said of the list as a whole (fewer items than asked for, impressions left out)
    """

    user_id: str
    horizon: str
    items: tuple[Recommendation, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the contract's JSON object, which has no ``ranked_by``."""
        items = [asdict(item) for item in self.items]
        return {c.USER: self.user_id, "items": [{k: v for k, v in x.items() if k != "ranked_by"} for x in items]}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per item; numbers that cannot be told are NaN."""
        names = list(Recommendation.__slots__)
        frame = pd.DataFrame([asdict(item) for item in self.items], columns=names)
        numbers = ["lift", "lift_low", "lift_high", "p_buy", c.PROPENSITY]
        frame = frame.astype(dict.fromkeys(numbers, "float64"))
        frame.insert(0, c.USER, self.user_id)
        return frame

    def summary(self) -> str:
        """Return the list in words, a line for each item."""
        lines = [f"{item.rank}. {item.item_id}: {_figure(item, self.horizon)} {item.reason}" for item in self.items]
        head = f"Recommended to {self.user_id}:" if lines else f"Nothing can be recommended to {self.user_id}."
        return "\n".join([head, *lines, *self.notes])

    def plot(self) -> "Figure":
        """Return a Plotly figure: the lifts with their intervals, best on top; items without a lift are not drawn."""
        import plotly.graph_objects as go

        drawn = [
            (item.item_id, item.lift, item.lift_high - item.lift, item.lift - item.lift_low)
            for item in self.items
            if item.lift is not None and item.lift_low is not None and item.lift_high is not None
        ]
        figure = go.Figure()
        if drawn:
            names, lifts, above, below = zip(*drawn, strict=True)
            figure.add_scatter(
                x=lifts, y=names, mode="markers", error_x={"array": above, "arrayminus": below, "type": "data"}
            )
        figure.add_vline(x=0, line_width=1)
        figure.update_yaxes(autorange="reversed", type="category")
        figure.update_layout(
            title=f"Recommended to {self.user_id}", xaxis_title=f"purchases added per showing within {self.horizon}"
        )
        return figure


def _figure(item: Recommendation, horizon: str) -> str:
    if item.lift is None or item.lift_low is None or item.lift_high is None:
        return "lift not known."
    low, high = 100 * item.lift_low, 100 * item.lift_high
    return f"{100 * item.lift:+.2f} [{low:+.2f}, {high:+.2f}] purchases in 100 within {horizon}."
