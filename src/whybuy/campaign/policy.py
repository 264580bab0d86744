"""The answer to "whom do we send it to": the plan in numbers and words, and the list of people."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy import columns as c
from whybuy.campaign.asked import Asked, missing_terms
from whybuy.campaign.assignments import Kind
from whybuy.campaign.budget import PolicyTree, spend
from whybuy.campaign.by_person import UNCONFOUNDED, ByPerson
from whybuy.campaign.inquiry import Inquiry
from whybuy.campaign.people import NOTHING, People
from whybuy.campaign.rule import not_described, rule_words
from whybuy.campaign.sending import EVERYBODY, PLAN, PROMISED, RANDOM, Choice, Sent, send
from whybuy.campaign.terms import Terms, terms_of
from whybuy.causal.effects import Estimate
from whybuy.errors import ArraysError, QuestionError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LIST_COLUMNS = (c.USER, "send", "effect", "tenth_low", "tenth_high", "value", "cost", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Whom to send a campaign to, or what is lacking to say so.

    Attributes
    ----------
    needed : what is lacking, in words
    refused : why nobody can be chosen, in words
    numbers : of the plan, as JSON
    decision : what to do, in words
    people : one row per person of the log, :data:`LIST_COLUMNS`
    """

    needed: str | None = None
    refused: str | None = None
    numbers: dict[str, Any] | None = None
    decision: tuple[str, ...] = ()
    people: pd.DataFrame | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the contract's ``policy``; ``needed`` or ``refused`` say why there is no plan."""
        if self.numbers is None:
            return {"needed": self.needed, "refused": self.refused}
        return {**self.numbers, "decision": list(self.decision), "needed": None, "refused": None}

    def to_frame(self) -> pd.DataFrame:
        """Return whom to send to, one row per person."""
        return pd.DataFrame(columns=list(LIST_COLUMNS)) if self.people is None else self.people

    def summary(self) -> str:
        """Return what to do, in words."""
        return "\n".join(self.decision) or str(self.needed or self.refused or "")

    def plot(self) -> "Figure":
        """Return a Plotly figure: what budgets add by the plan, with its band, and by other ways of choosing."""
        from whybuy.campaign.figures import budget_figure

        if self.numbers is None:
            raise QuestionError.of(
                found=f"There is no plan to draw. {self.summary()}",
                needed="a plan of whom to send to",
                do="Bring what is lacking",
            )
        return budget_figure(self.numbers)


NO_POLICY = Policy()
"""Nobody asked whom to send it to."""


def policy_of(campaign: str, people: People, found: ByPerson, kind: Kind, asked: Asked, inquiry: Inquiry) -> Policy:
    """Return whom to send a campaign to under what was asked, or what is lacking to say so."""
    config = inquiry.config
    lacking = missing_terms(asked, config.campaign, campaign)
    if lacking is not None:
        return Policy(needed=lacking)
    if found.outcome is None:
        return Policy(refused=found.refused)
    terms = terms_of(asked, config.campaign, campaign, people.arms[1:])
    try:
        sent = send(people, found, terms, protected=config.protected, seed=config.seed, report=inquiry.report)
    except ArraysError as error:  # an arm of several that is too thin to be told from the others
        return Policy(refused=str(error))
    return Policy(
        numbers=_numbers(people, sent, terms, not_described(people.groups, config.protected)),
        decision=_decision(campaign, people, sent, terms, kind),
        people=_list(people, found, sent, terms),
    )


def _numbers(people: People, sent: Sent, terms: Terms, not_asked: str) -> dict[str, Any]:
    plan, m = sent.plan, len(people.now_ids)
    return {
        "unit": sent.foretold.unit,
        "budget": terms.budget,
        "cost": dict(zip(terms.arms, terms.costs.tolist(), strict=True)),
        "value": terms.value,
        "n_people": m,
        "send": dict(zip(terms.arms, plan.sent.tolist(), strict=True)),
        "spent": float(plan.spent.sum()),
        "left_over": plan.left_over,
        "foretold": plan.value,
        "gap": plan.gap,
        "marginal_return": plan.marginal_return,
        "n_judging": sent.judges,
        "compared": [_compared(choice, m) for choice in sent.choices],
        "over_random": {**_interval(sent.over_random), **_interval(sent.over_random, m, "total_")},
        "curve": _curve(sent.curve, m),
        "next_unit": _next_unit(sent, terms),
        "rule": None if sent.rule is None else _rule(sent.rule, terms, m, not_asked),
        "flags": list(plan.flags),
    }


def _compared(choice: Choice, m: int) -> dict[str, Any]:
    """Return a way of choosing per person, and as if it were used on everybody now."""
    share = {"policy": choice.name, "share_sent": choice.sent, "spent": choice.spent * m}
    return {**share, **_interval(choice.gain), **_interval(choice.gain, m, "total_")}


def _interval(e: Estimate, factor: float = 1.0, prefix: str = "") -> dict[str, float | None]:
    found = {"estimate": e.estimate, "ci_low": e.ci_low, "ci_high": e.ci_high}
    return {prefix + name: None if x is None else factor * x for name, x in found.items()}


def _curve(frame: pd.DataFrame, m: int) -> list[dict[str, float | None]]:
    columns = ["gain", "gain_low", "gain_high", "random", "likeliest"]
    scaled = frame.assign(**{name: m * frame[name].astype(float) for name in columns})
    return [{str(k): None if v != v else float(v) for k, v in row.items()} for row in scaled.to_dict("records")]


def _next_unit(sent: Sent, terms: Terms) -> dict[str, float]:
    """Return by arm the share of the next unit of money, between this budget and one a twentieth larger."""
    if not sent.plan.marginal_return:
        return dict.fromkeys(terms.arms, 0.0)
    more = spend(sent.foretold.now, terms.offers(), budget=terms.budget * 1.05 + float(terms.costs.max()))
    change = more.spent - sent.plan.spent
    return dict(zip(terms.arms, (change / change.sum() if change.sum() else change).tolist(), strict=True))


def _rule(tree: PolicyTree, terms: Terms, m: int, not_asked: str) -> dict[str, Any]:
    """Return a rule in words and what it may not ask, its cost for everybody now, and what it adds per person."""
    costs = np.append(0.0, terms.costs)
    leaves = [tree.rule.arm[leaf] for leaf, _ in tree.rule.paths]
    shares = [tree.shares[leaf] for leaf, _ in tree.rule.paths]
    gain = tree.value.gains.get("nobody treated")
    return {
        "words": [*rule_words(tree), *filter(None, [not_asked])],
        "cost": m * float(sum(share * costs[arm] for arm, share in zip(leaves, shares, strict=True))),
        "gain": None if gain is None else _interval(gain),
        "is_told": gain is not None and (gain.ci_low or 0.0) > 0,
    }


def _decision(campaign: str, people: People, sent: Sent, terms: Terms, kind: Kind) -> tuple[str, ...]:
    """Return what to do and how sure that is, in sentences a marketer can repeat."""
    plan, m = sent.plan, len(people.now_ids)
    choices = {choice.name: choice for choice in sent.choices}
    n, spent = int(plan.sent.sum()), float(plan.spent.sum())
    unit = "in money" if sent.foretold.unit == "money" else "people with the outcome"
    if n == 0:
        taken_off = ", its cost taken off" if sent.foretold.unit == "money" else ""
        return (
            *plan.flags,
            f"On {sent.judges:,} people of the campaign who taught nothing, sending to everybody adds "
            f"{_total(choices[EVERYBODY].gain, m)} {unit}{taken_off}.",
        )
    gain = choices[PLAN].gain
    is_told = gain.ci_low is not None and gain.ci_low > 0
    differs = bool(np.ptp(sent.foretold.uplift.effect))
    head = f"Send {campaign} to" if is_told else f"If {campaign} is sent at all, it goes to"
    lines = [f"{head} {n:,} of {m:,} people, for {spent:,.2f} of {terms.budget:,.2f}."]
    if not differs:
        lines.append("Nobody can be told from anybody by how much it moves them: those chosen are drawn at random.")
    at_random = f", as many at random {_total(choices[RANDOM].gain, m)}" if differs else ""
    lines.append(
        f"On {sent.judges:,} people of the campaign who taught nothing, choosing so adds "
        f"{_total(gain, m)} {unit} over sending nothing{at_random}."
    )
    lines.append(
        f"The plan itself promises {plan.value:+,.1f}: a sum of {PROMISED}; trust the people who taught nothing, whose "
        "outcomes no forecast has seen."
    )
    if not is_told:
        lines.append("Whether it adds anything cannot be told: the interval does not leave 0 out.")
    elif (sent.over_random.ci_low or 0) > 0:
        lines.append("Whom it is sent to matters: the plan adds more than as many at random.")
    elif differs:
        lines.append("Whom it is sent to cannot be told to matter: the plan may add no more than as many at random.")
    if plan.marginal_return:
        lines.append(f"One more unit of budget is foretold to add {plan.marginal_return:.3g} {unit}.")
    if sent.foretold.unit != "money":
        lines.append("Whether that pays takes what one more person with the outcome is worth (--value V).")
    if kind != "randomized":
        lines.append(f"{UNCONFOUNDED}: nobody was drawn at random for it.")
    return (*lines, *plan.flags)


def _total(e: Estimate, m: int) -> str:
    if e.estimate is None or e.ci_low is None or e.ci_high is None:
        return "an unknown number of"
    return f"{m * e.estimate:+,.1f} [{m * e.ci_low:+,.1f}, {m * e.ci_high:+,.1f}]"


def _list(people: People, found: ByPerson, sent: Sent, terms: Terms) -> pd.DataFrame:
    """Return everybody now: what to send, the foretold effect with the interval of its tenth, and why."""
    assert found.outcome is not None, "refused before"
    arm = sent.plan.arm
    effect = found.outcome.predict(people.now[:, found.columns].astype(float))
    tenth = _tenths(found, effect)
    groups = [tenth.effect for tenth in found.outcome.judgment.deciles]
    if not found.differs:
        groups = [found.outcome.judgment.average] * len(groups)
    low, high = ([getattr(e, end) for e in groups] for end in ("ci_low", "ci_high"))
    best = sent.foretold.now.argmax(axis=1)
    chosen = np.where(arm > 0, arm - 1, best)
    value = sent.foretold.now[np.arange(len(arm)), chosen]
    names = np.array([NOTHING, *terms.arms], object)
    frame = pd.DataFrame(
        {
            c.USER: people.now_ids,
            "send": names[arm],
            "effect": effect,
            "tenth_low": np.array(low, float)[tenth],
            "tenth_high": np.array(high, float)[tenth],
            "value": value,
            "cost": np.append(0.0, terms.costs)[arm],
            "reason": _reasons(arm, effect, value, tenth, differs=found.differs),
        }
    )
    return frame.sort_values("value", ascending=False, kind="stable", ignore_index=True)[list(LIST_COLUMNS)]


def _tenths(found: ByPerson, effect: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return (m,) in which tenth of the judging people's ranking, from 0, somebody of this effect would stand."""
    assert found.outcome is not None, "refused before"
    judges = np.sort(found.outcome.effect[found.outcome.judging])
    above = len(judges) - np.searchsorted(judges, effect, side="right")
    n = len(found.outcome.judgment.deciles)
    return np.minimum(above * n // len(judges), n - 1).astype(np.int64)


def _reasons(
    arm: npt.NDArray[np.int64],
    effect: npt.NDArray[np.float64],
    value: npt.NDArray[np.float64],
    tenth: npt.NDArray[np.int64],
    *,
    differs: bool,
) -> npt.NDArray[np.object_]:
    """Return in words why each person is sent it or not."""
    place = [f"is in tenth {k + 1} of 10 by how much it moves people" for k in range(10)]
    moved = (
        np.array(place, object)[tenth]
        if differs
        else np.full(len(arm), "is like everybody: nobody is told apart", object)
    )
    why_not = np.select(
        [effect < 0, value <= 0],
        ["it is foretold to put this person off", "it is foretold to bring less than it costs"],
        "the budget goes to people whom it moves more" if differs else "the budget is used up",
    ).astype(object)
    return np.where(arm > 0, moved, why_not)
