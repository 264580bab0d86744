"""The answer to "how much less is bought when the price rises"."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from whybuy.causal.effects import Estimate

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CAP = "Assumed: what made prices differ from the calendar's and moved demand is in the log before the price was set."


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryElasticity:
    """How one category's sales answer to its price.

    Attributes
    ----------
    elasticity : percent of units for one percent of price; None where refused
    naive : what sales against prices alone would say
    n_periods, n_spells : periods, and runs of them at one price, which errors are by
    effective_spells : spells of equal weight that carry the number
    units : sold in all
    price_spread : standard deviation of the log price; share_left : of its variance, what calendar and demand leave
    reason : why there is no number, or None
    """

    category: str
    elasticity: Estimate
    naive: float | None
    n_periods: int
    n_spells: int
    effective_spells: float
    units: float
    price_spread: float
    share_left: float
    reason: str | None

    def sentence(self) -> str:
        """Return it in words."""
        e = self.elasticity
        if e.estimate is None or e.ci_low is None or e.ci_high is None:
            return f"{self.category}: cannot tell. {self.reason or 'No elasticity could be computed.'}"
        naive = "" if self.naive is None else f"; sales against prices alone say {_dearer(self.naive)}%"
        kind = _kind(e.ci_low, e.ci_high)
        return (
            f"{self.category}: 10% dearer changes what is bought by {_dearer(e.estimate)}% "
            f"[{_dearer(e.ci_low)}, {_dearer(e.ci_high)}] ({self.n_spells} prices{naive}): {kind}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceElasticity:
    """Elasticities by category.

    Attributes
    ----------
    categories : by name
    together : mean of the elasticities that have a number, weighed by one over their variances
    period : within which a price is taken to be one
    n_cells, n_spells : category-periods, and runs of them at one price
    reasons : what was left out or is assumed, in words
    """

    categories: tuple[CategoryElasticity, ...]
    together: Estimate
    period: str
    n_cells: int
    n_spells: int
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return {**asdict(self), "categories": [asdict(x) for x in self.categories], "reasons": list(self.reasons)}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per category, numbers only."""
        numbers = ("estimate", "std_error", "ci_low", "ci_high", "p_value")
        rows = []
        for found in self.categories:
            facts = asdict(found)
            e, _ = facts.pop("elasticity"), facts.pop("reason")
            category, naive = facts.pop("category"), facts.pop("naive")
            rows.append({"category": category, "naive": naive, **{name: e[name] for name in numbers}, **facts})
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return a sentence per category, and what they rest on."""
        return "\n".join([*(found.sentence() for found in self.categories), " ".join([*self.reasons, CAP])])

    def plot(self) -> "Figure":
        """Return a Plotly figure: every category's elasticity with its 95% interval beside the naive one."""
        from whybuy.campaign.figures import elasticity_figure

        return elasticity_figure(self.categories, self.together)


def _dearer(elasticity: float) -> str:
    """Return by how many percent sales change where the price is 10% higher."""
    return f"{100 * (1.1**elasticity - 1):+.1f}"


def _kind(low: float, high: float) -> str:
    """Return what the interval says of money, in words."""
    if high < -1:
        return "elastic, a lower price brings more money"
    if low > -1 and high < 0:
        return "inelastic, a lower price brings less money"
    if high < 0:
        return "people buy less when it is dearer; which price brings more money cannot be told"
    return "whether sales answer to the price at all cannot be told"
