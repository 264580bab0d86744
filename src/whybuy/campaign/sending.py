"""Whom to send a campaign to under a budget, and what that is worth on people who taught nothing.

Two peoples are kept apart. The *judging* people of the campaign say, by doubly robust scores, what a way of choosing is
worth: the plan, everybody, nobody, as many at random, and those likeliest to buy (what a response model would mail),
all under the same budget per head. Everybody in the log *now* is whom the plan is made for.

The unit is money where an outcome's worth is known (``value``), or where the log has prices and the config a margin;
then costs are taken off, and nobody is sent what costs more than it brings. Else it is the outcome, costs only limit
how many are sent it, and nothing says whether it pays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from whybuy.campaign.budget import BudgetPlan, Offers, PolicyTree, spend
from whybuy.campaign.by_person import ByPerson
from whybuy.campaign.history import Bools
from whybuy.campaign.people import People
from whybuy.campaign.rule import readable_rule
from whybuy.campaign.terms import Terms
from whybuy.campaign.uplift import Uplift
from whybuy.campaign.uplift.boosters import OUTCOME
from whybuy.campaign.uplift.choice import choose
from whybuy.campaign.uplift.judge import expected
from whybuy.campaign.uplift.learners import Foretold, Lesson
from whybuy.campaign.uplift.rows import UpliftRows
from whybuy.causal.array_rows import is_binary
from whybuy.causal.checks import supported
from whybuy.causal.clusters import Float64, Ints, clustered_ratio
from whybuy.causal.effects import Estimate
from whybuy.progress import Report, quiet

PLAN, EVERYBODY, NOBODY, RANDOM, RESPONSE = "plan", "everybody", "nobody", "at random", "likeliest to buy"
PROMISED = (
    "forecasts for everybody now, too low where they are drawn together and too high where luck picked the highest"
)
"""What the value of a plan is a sum of."""

_N_BUDGETS = 20
_N_BEFORE = 3
_N_STEPS = _N_BEFORE + _N_BUDGETS + 1
"""Of the progress: what is foretold, who judges, who is sent it; every budget of the curve; the rule."""


@dataclass(frozen=True, kw_only=True)
class Foretelling:
    """What sending each arm adds to people, in the unit of the plan.

    Attributes
    ----------
    then : (n, K) to the campaign's people; now : (m, K) to everybody as they are now
    uplift : of sending anything; unit : "money" or the outcome
    worth : what one unit of the outcome is worth in the plan's unit, 1 where that is the outcome
    Y : (n,) what is added up, before it is multiplied by ``worth``
    """

    then: Float64
    now: Float64
    uplift: Uplift
    unit: str
    worth: float
    Y: Float64


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One way of choosing whom to send to, on the judging people.

    Attributes
    ----------
    sent : share of the people; spent : per person
    gain : over sending nothing, per person
    gains : (n,) person by person
    """

    name: str
    sent: float
    spent: float
    gain: Estimate
    gains: Float64


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The plan for everybody now, and what it is made of.

    Attributes
    ----------
    plan : who is sent what
    foretold : what that is made from
    choices : ways of choosing under the budget, the plan first; ``over_random`` the plan less as many at random
    curve : one row per budget: ``budget`` for everybody now, gain per person of every way of choosing
    rule : two questions that come near; None where nothing is worth asking
    judges : how many people say so
    """

    plan: BudgetPlan
    foretold: Foretelling
    choices: tuple[Choice, ...]
    over_random: Estimate
    curve: pd.DataFrame
    rule: PolicyTree | None
    judges: int


def foretelling(people: People, found: ByPerson, terms: Terms, *, seed: int) -> Foretelling:
    """Return what sending adds to each person, by learners that did not see their outcome where that judges."""
    outcome = found.outcome
    assert outcome is not None, "refused before"
    by_margin = terms.value is None and found.margin is not None and found.revenue is not None
    uplift = found.revenue if by_margin and found.revenue is not None else outcome
    worth = terms.value if terms.value is not None else (found.margin or 1.0) if by_margin else 1.0
    Y = people.revenue if by_margin and people.revenue is not None else people.outcome.astype(float)
    then, now = _by_arm(people, uplift, Y, columns=found.columns, seed=seed)
    money = terms.value is not None or by_margin
    costs = terms.costs if money else 0.0
    return Foretelling(
        then=worth * then - costs,
        now=worth * now - costs,
        uplift=uplift,
        unit="money" if money else "outcome",
        worth=worth,
        Y=Y,
    )


def _by_arm(
    people: People, uplift: Uplift, Y: Float64, *, columns: tuple[int, ...], seed: int
) -> tuple[Float64, Float64]:
    """Return (n, K) and (m, K) foretold effects of every arm; of several, each is learned against the controls."""
    X, now = people.X[:, columns].astype(float), people.now[:, columns].astype(float)
    if len(people.arms) == 2:
        return uplift.effect[:, None], (uplift.predict(now) if len(now) else np.empty(0))[:, None]
    then, later = [], []
    for k in range(1, len(people.arms)):
        mine = np.isin(people.arm, (0, k))
        taught = ~uplift.judging & mine
        assert people.shares is not None, "arms are told apart where they were drawn"
        e = float(people.shares[k] / (people.shares[0] + people.shares[k]))
        rows = UpliftRows.of(X[mine], (people.arm[mine] == k).astype(float), Y[mine], e, people.user_ids[mine])
        chosen = choose(rows.keep(taught[mine]), (uplift.learner,), seed=seed)
        effect = chosen.model(X)
        effect[taught] = chosen.foretold
        then.append(effect)
        later.append(chosen.model(now) if len(now) else np.empty(0))
    return np.stack(then, axis=1), np.stack(later, axis=1)


@dataclass(frozen=True, kw_only=True)
class Judges:
    """The people who say what a way of choosing is worth.

    Attributes
    ----------
    scores : (n, 1 + K) doubly robust, in the plan's unit, costs taken off where that is money
    values : (n, K) foretold; response : (n,) foretold chance of the outcome if nothing is sent
    user : (n,) numbered from 0
    X : (n, d) covariates
    n_now : how many people the plan is made for
    """

    scores: Float64
    values: Float64
    response: Float64
    user: Ints
    X: Float64
    terms: Terms
    n_now: int

    @property
    def gains(self) -> Float64:
        """(n, K) what every arm adds to each person over nothing."""
        return self.scores[:, 1:] - self.scores[:, :1]

    def choices(self, per_head: float, best_arm: int) -> tuple[Choice, ...]:
        """Return the plan with ``per_head`` to spend a person, and other ways of choosing for what the plan spends."""
        n, costs = len(self.scores), self.terms.costs
        plan = self._planned(per_head, best_arm)
        share = float(min(1.0, plan.spent / costs[best_arm]))
        likeliest = np.zeros(n, np.int64)
        likeliest[np.argsort(-self.response, kind="stable")[: int(share * n + 1e-9)]] = 1 + best_arm
        all_of_them = self.gains[:, best_arm]
        return (
            plan,
            self._told(RANDOM, share, share * float(costs[best_arm]), share * all_of_them),
            self._of_arms(RESPONSE, likeliest),
            self._told(EVERYBODY, 1.0, float(costs[best_arm]), all_of_them),
            self._told(NOBODY, 0.0, 0.0, np.zeros(n)),
        )

    def _planned(self, per_head: float, best_arm: int) -> Choice:
        """Return the plan; where nobody is told from anybody it is a draw, whose mean over all draws is told."""
        n, costs = len(self.scores), self.terms.costs
        if np.ptp(self.values, axis=0).any():
            offers = self.terms.offers(n / self.n_now)
            return self._of_arms(PLAN, planned(self.values, offers, per_head * n).arm)
        share = float(min(1.0, per_head / costs[best_arm])) if self.values[0, best_arm] > 0 else 0.0
        return self._told(PLAN, share, share * float(costs[best_arm]), share * self.gains[:, best_arm])

    def _of_arms(self, name: str, arm: Ints) -> Choice:
        padded = np.column_stack([np.zeros(len(arm)), self.gains])
        spent = np.append(0.0, self.terms.costs)[arm]
        return self._told(name, float((arm > 0).mean()), float(spent.mean()), padded[np.arange(len(arm)), arm])

    def _told(self, name: str, sent: float, spent: float, gains: Float64) -> Choice:
        return Choice(name=name, sent=sent, spent=spent, gain=mean_of(name, gains, self.user), gains=gains)


def planned(values: Float64, offers: Offers, budget: float) -> BudgetPlan:
    """Return who is sent what; of people who cannot be told apart, some drawn at random, not the first ones."""
    order = np.random.default_rng(0).permutation(len(values))
    plan = spend(values[order], offers, budget=budget)
    chosen = np.empty_like(plan.chosen)
    chosen[order] = plan.chosen
    return replace(plan, chosen=chosen)


def mean_of(name: str, values: Float64, user: Ints) -> Estimate:
    """Return the mean with its interval by user; nothing varies where nobody is sent anything."""
    found = clustered_ratio(values, 1.0, user)
    if found.std_error == 0:
        return Estimate(estimand=name, estimate=found.value, std_error=0.0, ci_low=found.value, ci_high=found.value)
    return Estimate.of(name, found.value, found.std_error)


def judges_of(people: People, foretold: Foretelling, terms: Terms, *, seed: int) -> Judges:
    """Return the judging people of a campaign, with nuisances of their own."""
    judging, e = foretold.uplift.judging, people.chance
    X, sent = people.X.astype(float), people.sent.astype(float)
    outcome = people.outcome.astype(float)
    teachers = UpliftRows.of(X, sent, outcome, e, people.user_ids).keep(~judging)
    rows = UpliftRows.of(X, sent, foretold.Y, e, people.user_ids).keep(judging)
    scores, inside = _scores(people, rows, judging, seed=seed)
    response = Lesson(teachers, seed=seed).arms[0](rows.X)
    costs = terms.costs if foretold.unit == "money" else np.zeros(len(terms.costs))
    kept = rows.keep(inside)
    return Judges(
        scores=(foretold.worth * scores - np.append(0.0, costs))[inside],
        values=foretold.then[judging][inside],
        response=response[inside],
        user=kept.user,
        X=kept.X,
        terms=terms,
        n_now=len(people.now_ids),
    )


def _scores(people: People, rows: UpliftRows, judging: Bools, *, seed: int) -> tuple[Float64, Bools]:
    """Return (n, 1 + K) doubly robust scores of the outcome under every arm, and who has a chance of each."""
    if len(people.arms) == 2:
        seen = expected(rows, seed=seed)
        return two_scores(rows, seen), supported(seen.e)
    lesson, arm = Lesson(rows, seed=seed), people.arm[judging]
    assert people.shares is not None, "arms are told apart where they were drawn"
    scores = []
    for k, share in enumerate(people.shares):
        taught = lesson.bins.learn(rows.Y, OUTCOME, use=arm == k, binary=is_binary(rows.Y))
        mu = lesson.bins.out_of_fold(taught)
        scores.append(mu + (arm == k) / share * (rows.Y - mu))
    return np.stack(scores, axis=1), np.ones(len(arm), bool)


def two_scores(rows: UpliftRows, seen: Foretold) -> Float64:
    """Return (n, 2) doubly robust scores of not being sent it, and of being sent it."""
    e = np.clip(seen.e, 0.01, 0.99)
    not_sent = seen.mu0 + (1 - rows.T) / (1 - e) * (rows.Y - seen.mu0)
    return np.stack([not_sent, seen.mu1 + rows.T / e * (rows.Y - seen.mu1)], axis=1)


def send(
    people: People, found: ByPerson, terms: Terms, *, protected: Sequence[str], seed: int, report: Report = quiet
) -> Sent:
    """Return whom to send to now, and what that way of choosing is worth on the judging people."""
    report("plan", 0, _N_STEPS, "what sending adds to each person")
    foretold = foretelling(people, found, terms, seed=seed)
    report("plan", 1, _N_STEPS, "the people who judge it")
    judges = judges_of(people, foretold, terms, seed=seed)
    report("plan", 2, _N_STEPS, "who is sent it")
    m, best_arm = len(people.now_ids), int(foretold.then[~foretold.uplift.judging].mean(axis=0).argmax())
    plan = planned(foretold.now, terms.offers(), terms.budget)
    choices = judges.choices(terms.budget / m, best_arm)
    by_name = {choice.name: choice for choice in choices}
    curve = _curve(judges, best_arm, m, report)
    report("plan", _N_STEPS - 1, _N_STEPS, "a rule that people can read")
    rule = readable_rule(people, judges.X, judges.scores, judges.user, protected=protected)
    report("plan", _N_STEPS, _N_STEPS)
    return Sent(
        plan=plan,
        foretold=foretold,
        choices=choices,
        over_random=mean_of("over random", by_name[PLAN].gains - by_name[RANDOM].gains, judges.user),
        curve=curve,
        rule=rule,
        judges=int(judges.user.max()) + 1,
    )


def _curve(judges: Judges, best_arm: int, m: int, report: Report) -> pd.DataFrame:
    """Return the gain of every way of choosing at budgets up to that of sending to everybody."""
    most = float(judges.terms.costs[best_arm])
    rows = []
    for done, per_head in enumerate(np.linspace(0, most, _N_BUDGETS + 1)[1:]):
        report("plan", _N_BEFORE + done, _N_STEPS, "what other budgets would add")
        found = {choice.name: choice for choice in judges.choices(float(per_head), best_arm)}
        plan = found[PLAN].gain
        rows.append(
            {
                "budget": per_head * m,
                "spent": found[PLAN].spent * m,
                "gain": plan.estimate,
                "gain_low": plan.ci_low,
                "gain_high": plan.ci_high,
                "random": found[RANDOM].gain.estimate,
                "likeliest": found[RESPONSE].gain.estimate,
            }
        )
    return pd.DataFrame(rows)
