"""What the report says, as plain numbers and short texts: frozen dataclasses, computed before anything is drawn.

A part that cannot be shown is a :class:`Missing` with its reason, never an empty table. Lists are cut to what a person
can read, with the number left out beside them, so that a log with 20,000 pairs gives a report as light as one with 20.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from whybuy.behavior.calibration import Reliability
from whybuy.causal.certificate import Certificate
from whybuy.causal.effects import Effect
from whybuy.causal.graph import EffectGraph
from whybuy.causal.opinions import SecondOpinion

Disagreement = Literal["wrong_sign", "nothing_there", "outside", "agrees", "open"]


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a part of the report is not there, and what would bring it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its 95% interval; None where it could not be computed."""

    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Events per step of time within the observed window.

    Attributes
    ----------
    unit : the step
    starts_ms : (n_steps,) start of every step, UTC milliseconds
    counts : per action its (n_steps,) events, the commonest action first
    """

    unit: Literal["hour", "day", "week"]
    starts_ms: tuple[int, ...]
    counts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """The log as it was read: the identity of rows, what was set aside and why, what there is."""

    rows_read: int
    rows_kept: int
    duplicates_merged: int
    rejected: Mapping[str, int]
    actions: Mapping[str, int]
    n_users: int
    n_items: int
    n_categories: int
    n_sessions: int
    first_ms: int | None
    last_ms: int | None
    start_ms: int | None
    end_ms: int | None
    longest_gap_ms: int | None
    has_times: bool
    campaigns: tuple[str, ...]
    notes: tuple[str, ...]
    timeline: Timeline | Missing

    @property
    def rows_rejected(self) -> int:
        """Rows set aside, all reasons together."""
        return sum(self.rejected.values())

    @property
    def identity_holds(self) -> bool:
        """Whether rows read = rows kept + duplicates merged + rows rejected."""
        return self.rows_read == self.rows_kept + self.duplicates_merged + self.rows_rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The true effect of one pair in a simulated shop, with its Monte Carlo error."""

    truth: float
    std_error: float | None
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One question: its answer, how co-occurrence compares with it, and the truth where that is known."""

    effect: Effect
    disagreement: Disagreement
    truth: Truth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Treatments x outcomes at one horizon: the pair of each cell, None where it was not asked."""

    horizon: str
    treatments: tuple[str, ...]
    outcomes: tuple[str, ...]
    cells: tuple[tuple[Pair | None, ...], ...]
    n_treatments: int
    n_outcomes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectsPart:
    """Every question that was asked, counted; and those that are shown.

    Attributes
    ----------
    n_pairs, n_funnel, n_confirmed : questions, those whose treatment is a precondition, those confirmed
    verdicts, disagreements : counts over the pairs that are no funnel
    top : listed with all details; the first by verdict, then by the end of the interval nearest to zero
    compared : drawn naive against adjusted; every pair whose truth is known, then the most instructive
    cloud : drawn as points, naive against adjusted
    funnel : the largest funnel pairs
    worst : the pair where co-occurrence is furthest off, wrong signs first
    """

    n_pairs: int
    n_funnel: int
    n_confirmed: int
    smallest_effect: float
    horizons: tuple[str, ...]
    verdicts: Mapping[str, int]
    disagreements: Mapping[Disagreement, int]
    top: tuple[Pair, ...]
    compared: tuple[Pair, ...]
    cloud: tuple[Pair, ...]
    funnel: tuple[Pair, ...]
    grid: Grid
    worst: Pair | None

    @property
    def n_asked(self) -> int:
        """Questions whose treatment is no precondition of the outcome."""
        return self.n_pairs - self.n_funnel

    @property
    def n_answered(self) -> int:
        """Questions answered with strong, suggestive or none."""
        return self.n_asked - self.verdicts["cannot_tell"]

    @property
    def n_truths(self) -> int:
        """Drawn pairs whose true effect is known."""
        return sum(pair.truth is not None for pair in self.compared)


@dataclass(frozen=True, slots=True, kw_only=True)
class NuisanceLoss:
    """Log-loss per decision of one behavior's forecast, on users it was not trained on.

    Attributes
    ----------
    role : whether the chance of the behavior now is forecast (treatment) or within the horizon (outcome)
    base_rate : of always saying the mean
    counts_alone, with_model : of a linear learner on windowed counts, and on counts and the behavior model
    """

    behavior: str
    role: Literal["treatment", "outcome"]
    base_rate: float
    counts_alone: float
    with_model: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPart:
    """The behavior model: its size, the losses of its twins per pass, what it adds to plain counts, its calibration."""

    parameters: int | None
    n_events: int | None
    n_users: int | None
    n_behaviors: int | None
    train: tuple[tuple[float | None, ...], ...]
    validation: tuple[tuple[float | None, ...], ...]
    nuisance: tuple[NuisanceLoss, ...]
    calibration: tuple[Reliability, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The effect of a campaign on the users with one value of an attribute."""

    attribute: str
    value: str
    effect: Interval
    n: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What is added along x, with its 95% band, beside the same at random; (n,) each, from nothing on."""

    x: tuple[float | None, ...]
    estimate: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    random: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenth:
    """A tenth of the people by foretold effect: what was foretold of it, and what was found."""

    foretold: float
    effect: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplift:
    """Whom a campaign moves, on people who taught nothing.

    Attributes
    ----------
    curve : over the share of people sent it, outcomes added per person of all
    tenths : those first who are foretold to gain most
    qini : what the order adds over a random one, per person; ``auuc`` : over nobody; both averaged over all budgets
    average : effect on everybody
    differs : p-value of "people do not differ as foretold"; None where nothing differs
    put_off : effect on those who are foretold to be put off, where their interval lies below 0
    share_put_off : of the people
    revenue : money per person; None where prices are not logged
    assumption : what the numbers rest on
    """

    curve: Curve
    tenths: tuple[Tenth, ...]
    qini: Interval
    auuc: float | None
    learner: str
    average: Interval
    differs: float | None
    put_off: Interval | None
    share_put_off: float
    revenue: Interval | None
    n_judging: int
    assumption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A way of choosing whom to send to: the share sent, what it costs and adds in all."""

    name: str
    share: float
    spent: float
    total: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Whom to send a campaign to under its budget.

    Attributes
    ----------
    decision, rule : in words
    unit : what is added: money, or people with the outcome
    curve : over budgets, added in all; ``likeliest`` : the same for those likeliest to buy, one per budget
    tried : ways of choosing under the budget
    """

    decision: tuple[str, ...]
    unit: Literal["money", "outcome"]
    budget: float
    curve: Curve
    likeliest: tuple[float | None, ...]
    tried: tuple[Tried, ...]
    rule: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """One campaign: effect, co-occurrence, the effect by segment, whom it moves and whom to send it to."""

    campaign: str
    kind: str
    outcome: str
    horizon: str
    effect: Interval
    naive: float | None
    verdict: str
    reasons: tuple[str, ...]
    n_treated: int | None
    n_control: int | None
    segments: tuple[Segment, ...]
    n_segments: int
    uplift: Uplift | Missing
    sending: Sending | Missing


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendedItem:
    """One recommended item with the purchases it adds, within the horizon of showing it."""

    item_id: str
    title: str
    category: str
    rank: int
    lift: Interval
    p_buy: float | None
    basis: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one user did last, and what is recommended."""

    user_id: str
    history: tuple[str, ...]
    items: tuple[RecommendedItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One user in a few lines."""

    user_id: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilesPart:
    """How many users are in each stage of their life with the shop, and some of them in words."""

    stages: Mapping[str, int]
    examples: tuple[Profile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignsPart:
    """The campaigns shown and how many there are."""

    campaigns: tuple[Campaign, ...]
    n_campaigns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPayload:
    """Everything the report shows; each part is there or says why it is missing."""

    log: LogFacts | Missing
    effects: EffectsPart | Missing
    graph: EffectGraph | Missing
    opinion: SecondOpinion | Missing
    certificate: Certificate | Missing
    model: ModelPart | Missing
    campaigns: CampaignsPart | Missing
    samples: tuple[Sample, ...] | Missing
    profiles: ProfilesPart | Missing
    is_demo: bool = False


def disagreement(effect: Effect, *, smallest_effect: float) -> Disagreement:
    """Return how co-occurrence compares with the adjusted effect.

    ``wrong_sign``: a sizable naive difference (``smallest_effect`` or more) against an effect of the other sign whose
    verdict is strong or suggestive. ``nothing_there``: a sizable naive difference where the verdict is none.
    ``outside``: the naive difference lies outside the 95% interval. ``open``: the question has no answer.
    """
    naive, estimate = effect.naive.difference, effect.effect.estimate
    low, high = effect.effect.ci_low, effect.effect.ci_high
    if naive is None or estimate is None or low is None or high is None or effect.verdict == "cannot_tell":
        return "open"
    sizable = abs(naive) >= smallest_effect
    if sizable and effect.verdict != "none" and naive * estimate < 0:
        return "wrong_sign"
    if sizable and effect.verdict == "none":
        return "nothing_there"
    return "agrees" if low <= naive <= high else "outside"
