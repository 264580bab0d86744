"""What foretold effects are worth, on people who taught and chose nothing.

Average, curve and tenths are doubly robust, so they hold for known and for estimated propensities. Their nuisances come
from these people alone, out of fold: with those of the people who taught, an error of theirs would stand in the ranking
and in what judges it, and agree with itself. Unknown propensities are a linear logit and then trees, as everywhere in
this room: trees alone turn a score into steps and leave some confounding in.

Curves that count are shown beside them only where everybody had one known chance of being treated.
"""

from dataclasses import dataclass

import numpy as np

from whybuy.campaign.nuisance import People, crossfit
from whybuy.campaign.uplift.counts import Normalization
from whybuy.campaign.uplift.curves import UpliftCurves, counted_curves
from whybuy.campaign.uplift.deciles import DecileEffect, decile_effects, mean_score
from whybuy.campaign.uplift.learners import Foretold, Lesson
from whybuy.campaign.uplift.rate import UNCONFOUNDED, RankedEffects, doubly_robust_scores, ranked_effects
from whybuy.campaign.uplift.rows import UpliftRows
from whybuy.causal.average import MIN_SHARE
from whybuy.causal.checks import PairData, supported
from whybuy.causal.clusters import Float64, Ints
from whybuy.causal.effects import Estimate
from whybuy.causal.grounds import MIN_EFFECTIVE_USERS
from whybuy.causal.linear_predictor import Calibration, calibration
from whybuy.errors import ArraysError

RANDOMIZED = "Randomized, with the propensities that were passed."


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepingDogs:
    """The people whom the treatment is foretold to put off.

    Attributes
    ----------
    share : of those who judge
    effect : their mean effect; None where they are fewer than 30 users' worth
    """

    share: float
    n_users: int
    effect: Estimate

    @property
    def found(self) -> bool:
        """Whether the whole interval of their mean effect lies below 0."""
        return self.effect.ci_high is not None and self.effect.ci_high < 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """What foretold effects are worth.

    Attributes
    ----------
    average : the mean effect of everybody
    ranked : what treating in the foretold order adds, doubly robust
    curves : uplift, gain and Qini as they are counted; None where that would compare unlike people
    deciles : foretold and found effects by tenth of the ranking, doubly robust
    calibration : whether effects differ as foretold, overlap-weighted
    sleeping_dogs : those of a foretold effect below 0
    assumption : what the numbers rest on
    share_supported : share of the people with a propensity in [.01, .99], to whom all this is confined
    """

    average: Estimate
    ranked: RankedEffects
    curves: UpliftCurves | None
    deciles: tuple[DecileEffect, ...]
    calibration: Calibration
    sleeping_dogs: SleepingDogs
    assumption: str
    share_supported: float


def judge(rows: UpliftRows, tau: Float64, *, normalization: Normalization, seed: int) -> Judgment:
    """Return what the foretold effects ``tau`` (n,) are worth.

    Parameters
    ----------
    rows : people who taught nothing

    Raises
    ------
    ArraysError
        Fewer than 95% have a propensity in [.01, .99].
    """
    seen, rng = expected(rows, seed=seed), np.random.default_rng(seed)
    inside = supported(seen.e)
    _require_overlap(float(inside.mean()), randomized=rows.e is not None)
    rows, tau = rows.keep(inside), tau[inside]
    seen = Foretold(seen.e[inside], seen.mu0[inside], seen.mu1[inside])
    scores = doubly_robust_scores(rows.T, rows.Y, seen.e, seen.mu0, seen.mu1)
    assumption = UNCONFOUNDED if rows.e is None else RANDOMIZED
    together = np.zeros(len(tau), np.int64)
    return Judgment(
        average=mean_score(scores, rows.user, np.arange(len(tau))),
        ranked=ranked_effects(scores, tau, rows.user, rng=rng, assumption=assumption),
        curves=counted_curves(rows, tau, normalization=normalization, rng=rng) if rows.equal_chance else None,
        deciles=decile_effects(tau, rows.T, rows.user, lambda at: mean_score(scores, rows.user, at)),
        calibration=calibration(PairData(rows.T, rows.Y, seen.e, seen.m, rows.user), tau, together),
        sleeping_dogs=_sleeping(scores, tau, rows.user),
        assumption=assumption,
        share_supported=float(inside.mean()),
    )


def expected(rows: UpliftRows, *, seed: int) -> Foretold:
    """Return what is expected of people by others of them."""
    lesson = Lesson(rows, seed=seed)
    if rows.e is not None:
        return lesson.own
    people = People.of(rows.X.astype(np.float32), rows.names[rows.user])
    e = crossfit(people, rows.T > 0, np.ones(len(rows.T), bool), seed=seed)
    return Foretold(e, *(lesson.bins.out_of_fold(arm) for arm in lesson.arms))


def _sleeping(scores: Float64, tau: Float64, user: Ints) -> SleepingDogs:
    asleep = tau < 0
    n_users = len(np.unique(user[asleep]))
    effect = mean_score(scores, user, asleep) if n_users >= MIN_EFFECTIVE_USERS else Estimate(estimand="ate")
    return SleepingDogs(share=float(asleep.mean()), n_users=n_users, effect=effect)


def _require_overlap(share: float, *, randomized: bool) -> None:
    if share >= MIN_SHARE:
        return
    raise ArraysError.of(
        found=f"No overlap: {100 * share:.1f}% of the people have {'a' if randomized else 'an estimated'} propensity "
        "in [.01, .99]",
        needed=f"{100 * MIN_SHARE:.0f}%: of the others nobody says what they would do in the other arm",
        do="Ask about the people who could have been in either arm, or hold some out at random next time",
    )
