"""One budget over several campaigns and channels: who is sent what, and what each campaign's own people say of it.

Every campaign that has a cost in the config and whose effects by person are told is an offer; effects of offers to one
person are taken to add up where the config allows several. What a campaign is sent for is checked on its own judging
people: those of them who are foretold to gain at least as much as the least of those it is now sent to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.analyze import by_person_of, foretelling_everybody
from whybuy.campaign.asked import Asked
from whybuy.campaign.assignments import read_assignments
from whybuy.campaign.budget import BudgetPlan, Offers, ResponseCurve, response_curve, spend
from whybuy.campaign.by_person import UNCONFOUNDED
from whybuy.campaign.history import Window
from whybuy.campaign.inquiry import Inquiry
from whybuy.campaign.people import People
from whybuy.campaign.question import DEFAULT_OUTCOME, require_offers
from whybuy.campaign.sending import PROMISED, Foretelling, Judges, foretelling, judges_of, mean_of
from whybuy.campaign.study import Study, study_of
from whybuy.campaign.terms import Terms, terms_of
from whybuy.causal.clusters import Float64
from whybuy.causal.effects import Estimate
from whybuy.config import CampaignConfig, Config, OfferConfig, duration_ms
from whybuy.errors import QuestionError
from whybuy.events.behaviors import parse_behavior
from whybuy.events.log import EventLog
from whybuy.progress import Report, quiet

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from whybuy.campaign.forecasts import Forecaster


@dataclass(frozen=True, kw_only=True, eq=False)
class _Offer:
    """One arm of one campaign, as it can be sent to everybody now.

    Attributes
    ----------
    values : (m,) what it is foretold to add to everybody now; cost : of one message
    judges : the campaign's own judging people; arm : the place of this arm in their columns
    """

    name: str
    campaign: str
    kind: str
    unit: str
    arm: int
    values: Float64
    cost: float
    judges: Judges


@dataclass(frozen=True, kw_only=True, eq=False)
class Portfolio:
    """A budget planned over all campaigns.

    Attributes
    ----------
    plan : who is sent what; curve : what other budgets would buy, None where no campaign adds anything to anybody
    found : by offer, what its own judging people say of sending it so, per person sent
    left_out : campaign -> why it is no offer
    """

    plan: BudgetPlan
    curve: ResponseCurve | None
    found: tuple[Estimate, ...]
    unit: str
    kinds: tuple[str, ...]
    users: Any
    costs: Float64
    left_out: dict[str, str]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per message: ``user_id``, ``send``, ``value``, ``cost``."""
        person, offer = np.nonzero(self.plan.chosen)
        names = np.array(self.plan.offers, object)
        return pd.DataFrame({c.USER: self.users[person], "send": names[offer], "cost": self.costs[offer]})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        plan, curve = self.plan, self.curve
        return {
            "budget": plan.budget,
            "unit": self.unit,
            "n_people": len(self.users),
            "spent": float(plan.spent.sum()),
            "left_over": plan.left_over,
            "foretold": plan.value,
            "gap": plan.gap,
            "marginal_return": plan.marginal_return,
            "limit_prices": plan.limit_prices,
            "next_unit": None if curve is None else curve.next_unit(plan.budget),
            "offers": self._by_offer(),
            "curve": [] if curve is None else curve.to_frame().to_dict("records"),
            "left_out": self.left_out,
            "flags": list(plan.flags),
            "decision": list(self._lines()),
        }

    def summary(self) -> str:
        """Return what to send, and what is left out, in words."""
        return "\n".join(self._lines())

    def plot(self) -> "Figure":
        """Return a Plotly figure: what each offer adds, with its interval, beside the money spent on it."""
        from whybuy.campaign.figures import portfolio_figure

        return portfolio_figure(self._by_offer(), unit=self.unit, budget=self.plan.budget)

    def _by_offer(self) -> list[dict[str, Any]]:
        """Return messages, money, what is promised and what is found, offer by offer."""
        plan = self.plan
        return [
            {
                "offer": name,
                "send": int(plan.sent[k]),
                "spent": float(plan.spent[k]),
                "foretold": float(plan.values[k]),
                "found": None if e.estimate is None else int(plan.sent[k]) * e.estimate,
                "found_low": None if e.ci_low is None else int(plan.sent[k]) * e.ci_low,
                "found_high": None if e.ci_high is None else int(plan.sent[k]) * e.ci_high,
            }
            for k, (name, e) in enumerate(zip(plan.offers, self.found, strict=True))
        ]

    def _lines(self) -> Iterator[str]:
        unit = "in money" if self.unit == "money" else "people with the outcome"
        yield self.plan.summary()
        told = [row for row in self._by_offer() if row["send"] and None not in (row["found"], row["found_low"])]
        for row in told:
            yield (
                f"{row['offer']}: its own people who taught nothing say {row['found']:+,.1f} "
                f"[{row['found_low']:+,.1f}, {row['found_high']:+,.1f}] {unit} for the {row['send']:,} messages."
            )
        if told:
            yield (f"Trust what they say, whose outcomes no forecast has seen: the plan's own sum is of {PROMISED}.")
        if self.curve is not None and self.plan.marginal_return:
            offer, share = max(self.curve.next_unit(self.plan.budget).items(), key=lambda pair: pair[1])
            yield f"Most of the next unit of money goes to {offer} ({100 * share:.0f}%)."
        if any(kind != "randomized" for kind in self.kinds):
            yield f"{UNCONFOUNDED} for campaigns that were not drawn at random."
        for campaign, why in self.left_out.items():
            yield f"Left out: {campaign}. {why}"


def plan_campaigns(
    log: EventLog,
    config: Config,
    budget: float,
    *,
    forecaster: "Forecaster | None" = None,
    report: Report = quiet,
) -> Portfolio:
    """Return the best use of a budget over all campaigns that have a cost in the config.

    Raises
    ------
    QuestionError
        No campaign has a cost, none can be told by person, or some are worth money and others are not.
    """
    require_offers(log, config)
    window = Window(parse_behavior(DEFAULT_OUTCOME), duration_ms(config.campaign.horizon))
    inquiry = foretelling_everybody(Inquiry(log, config, window, report=report, forecaster=forecaster))
    assignments, asked = read_assignments(log), Asked(budget=budget)
    offers: list[_Offer] = []
    left_out: dict[str, str] = {}
    users: Any = None
    for done, campaign in enumerate(assignments.campaigns):
        report("campaigns", done, len(assignments.campaigns), f"what {campaign} adds to each person")
        if config.campaign.offers.get(campaign, OfferConfig()).cost is None:
            left_out[campaign] = f"[campaign.offers.{campaign}] of whybuy.toml has no cost."
            continue
        study = study_of(inquiry, assignments, campaign)
        found, people = by_person_of(inquiry, study, is_for_sending=True)
        if people is None or found.outcome is None:
            left_out[campaign] = str(found.refused)
            continue
        terms = terms_of(asked, config.campaign, campaign, people.arms[1:])
        foretold = foretelling(people, found, terms, seed=config.seed)
        judges = judges_of(people, foretold, terms, seed=config.seed)
        offers += _offers(study, campaign, people, foretold, judges, one_each=config.campaign.per_person > 1)
        users = people.now_ids
    n_known = len(assignments.campaigns)
    report("campaigns", n_known, n_known, "the plan over all of them")
    _require_comparable(offers, left_out)
    return _planned(offers, config.campaign, budget, users, left_out)


def _offers(
    study: Study, campaign: str, people: People, foretold: Foretelling, judges: Judges, *, one_each: bool
) -> list[_Offer]:
    """Return the arms of a campaign; only the best one where somebody could get several."""
    terms: Terms = judges.terms
    best = int(foretold.then[~foretold.uplift.judging].mean(axis=0).argmax())
    return [
        _Offer(
            name=campaign if len(terms.arms) == 1 else f"{campaign}/{arm}",
            campaign=campaign,
            kind=study.result.kind,
            unit=foretold.unit,
            arm=k,
            values=foretold.now[:, k],
            cost=float(terms.costs[k]),
            judges=judges,
        )
        for k, arm in enumerate(people.arms[1:])
        if not one_each or k == best
    ]


def _require_comparable(offers: list[_Offer], left_out: dict[str, str]) -> None:
    if not offers:
        why = "; ".join(f"{campaign}: {reason}" for campaign, reason in left_out.items())
        raise QuestionError.of(
            found=f"No campaign can be planned with. {why}",
            needed="one campaign with a cost whose effects by person are told",
            do="See `whybuy campaign ID` for what is lacking",
        )
    if len({offer.unit for offer in offers}) > 1:
        without = sorted({offer.campaign for offer in offers if offer.unit != "money"})
        raise QuestionError.of(
            found=f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} no value, others have one",
            needed="one unit for all that compete for the budget",
            do="Give every campaign a value in whybuy.toml, or none",
        )


def _planned(
    offers: list[_Offer], config: CampaignConfig, budget: float, users: Any, left_out: dict[str, str]
) -> Portfolio:
    values = np.stack([offer.values for offer in offers], axis=1)
    rules = _rules(offers, config)
    plan = spend(values, rules, budget=budget)
    curve = response_curve(values, rules) if (values > 0).any() else None
    return Portfolio(
        plan=plan,
        curve=curve,
        found=tuple(_found(offer, plan.chosen[:, k]) for k, offer in enumerate(offers)),
        unit=offers[0].unit,
        kinds=tuple(offer.kind for offer in offers),
        users=users,
        costs=rules.costs[0],
        left_out=left_out,
    )


def _rules(offers: list[_Offer], config: CampaignConfig) -> Offers:
    """Return costs and limits: of offers, of channels, and per person."""
    channels = [config.offers[offer.campaign].channel or f"channel of {offer.campaign}" for offer in offers]
    limits = {offer.name: most for offer in offers if (most := config.offers[offer.campaign].at_most) is not None} | {
        name: channel.at_most for name, channel in config.channels.items() if channel.at_most and name in channels
    }
    return Offers(
        cost=[offer.cost for offer in offers],
        names=[offer.name for offer in offers],
        channels=channels,
        at_most=limits,
        per_person=config.per_person,
        per_channel={
            name: channel.per_person
            for name, channel in config.channels.items()
            if channel.per_person and name in channels
        },
    )


def _found(offer: _Offer, sent: Any) -> Estimate:
    """Return what the campaign's judging people say per message, those who are foretold to gain as much."""
    if not sent.any():
        return Estimate(estimand=offer.name)
    judges = offer.judges
    alike = judges.values[:, offer.arm] >= offer.values[sent].min()
    if alike.sum() < 2:
        return Estimate(estimand=offer.name)
    _, user = np.unique(judges.user[alike], return_inverse=True)
    return mean_of(offer.name, judges.gains[alike, offer.arm], user)
