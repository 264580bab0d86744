"""How large an experiment must be, from outcomes that the log already holds: a formula, and the same counted on the
log.

The formula knows means and variances. The simulation draws units from the log, assigns them, plants an effect and
estimates it as the analysis will, so that skewed amounts, few regions and unequal ones are in its power and the
formula's promise is checked where it is used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from whybuy.campaign.difference import MIN_UNITS, UNITS_PER_COLUMN, cluster_means, lin_difference
from whybuy.campaign.experiment.assign import draw_arms, require_shares
from whybuy.campaign.experiment.plan_result import Day, ExperimentPlan, Simulated
from whybuy.campaign.experiment.power import Comparison, Outcome, planted, power_of, smallest_effect, units_needed
from whybuy.causal.clusters import Float64, Ints
from whybuy.errors import ArraysError
from whybuy.progress import Report, quiet

_SIMULATED_AT = (0.0, 0.5, 1.0, 1.5)
"""Effects that are planted, in units of the one that is planned for; 0 tells how often nothing is called something."""
_N_CURVE = 60


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an experiment shall do.

    Attributes
    ----------
    shares : of the units by arm, the controls first
    effect : the smallest that is worth seeing, in units of the outcome; None asks which one can be seen
    n_units : in all arms together; None asks how many are needed, or takes all there are where no effect is given
    power : probability of seeing the effect
    peek : whether intervals shall hold at every look
    simulations : experiments drawn for every planted effect
    """

    shares: Sequence[float] = (0.5, 0.5)
    effect: float | None = None
    n_units: int | None = None
    power: float = 0.8
    peek: bool = False
    simulations: int = 400
    seed: int = 7

    def __post_init__(self) -> None:
        require_shares(self.shares)
        if not 0.5 <= self.power < 1:
            raise ArraysError.of(
                found=f"A power of {self.power:g} was asked for", needed="from .5 to below 1", do="Take .8, as is usual"
            )
        if self.effect == 0 or (self.effect is not None and not math.isfinite(self.effect)):
            raise ArraysError.of(
                found=f"An effect of {self.effect:g} was asked for",
                needed="the smallest effect worth seeing, other than 0",
                do="Say from which effect on you would act, or leave it out to learn what can be seen",
            )
        if self.simulations < 100:
            raise ArraysError.of(
                found=f"{self.simulations} simulated experiments were asked for",
                needed="at least 100, for a Monte Carlo error of at most .05",
                do="Take 400",
            )

    @property
    def test(self) -> Comparison:
        """What is asked of the smallest treated arm; with several arms each gets its part of the 5%."""
        return Comparison(min(self.shares[1:]), self.shares[0], 1 - 0.05 / (len(self.shares) - 1), self.peek)


def plan_experiment(
    outcome: npt.ArrayLike,
    wanted: Wanted,
    *,
    covariates: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    arriving: npt.ArrayLike | None = None,
    report: Report = quiet,
) -> ExperimentPlan:
    """Return size, power and smallest visible effect of an experiment on units like those given.

    Parameters
    ----------
    outcome : (n,) as it was without the treatment; 0 and 1 are taken for a share
    covariates : (n, d) known before, the outcome's own past first
    clusters : (n,) what will be assigned as one; every row where None. There are no more clusters than these
    arriving : (n_days,) how many units have entered by the end of each day, for durations

    Raises
    ------
    ArraysError
        The arrays have a defect, the outcome never varies, or the units are too few for the arms or the effect.
    """
    rows = _Rows.of(outcome, covariates, clusters)
    counted, test = rows.counted, wanted.test
    removed = rows.variance_removed
    left = 1 - max(removed or 0.0, 0.0)
    by_day = None if arriving is None else np.asarray(arriving, float)
    most = len(rows.y) if by_day is None or clusters is not None else int(by_day[-1])
    effect, needed, n_units = _size(wanted, counted, left, most)
    _require_arms(wanted, n_units)
    if clusters is not None and n_units > len(rows.y):
        raise ArraysError.of(
            found=f"There are {len(rows.y)} units, and an effect of {effect:g} needs {n_units:,}",
            needed="as many units as there are",
            do="Run it longer, assign smaller units, or plan for a larger effect",
        )
    effects = np.linspace(0, 2 * effect, _N_CURVE + 1)[1:]
    effects = effects[np.abs(effects) < (counted.most if effect > 0 else counted.mean)]
    simulated = _simulate(rows, wanted, effect, n_units, report)
    return ExperimentPlan(
        n_log=len(rows.y),
        baseline=counted.mean,
        std_dev=math.sqrt(counted.variance),
        moved_by=counted.moved_by,
        design_effect=rows.design_effect,
        variance_removed=removed,
        shares=tuple(wanted.shares),
        power=wanted.power,
        peek=wanted.peek,
        effect=effect,
        effect_given=wanted.effect is not None,
        n_units=n_units,
        n_needed=needed,
        n_needed_plain=_needed(wanted, counted, 1.0, effect),
        n_available=most,
        smallest=smallest_effect(test, counted, n_units, power=wanted.power, left=left),
        smallest_plain=smallest_effect(test, counted, n_units, power=wanted.power),
        curve_effects=effects,
        curve=np.array([power_of(test, counted, n_units, d, left=left) for d in effects]),
        curve_plain=np.array([power_of(test, counted, n_units, d) for d in effects]),
        simulated=simulated,
        days=() if by_day is None or clusters is not None else _days(wanted, counted, left, effect, by_day),
    )


def _size(wanted: Wanted, counted: Outcome, left: float, most: int) -> tuple[float, int | None, int]:
    """Return the effect planned for, the units it needs (None where no effect was given), and the units taken."""
    if wanted.effect is None:
        n_units = wanted.n_units or most
        _require_arms(wanted, n_units)
        found = smallest_effect(wanted.test, counted, n_units, power=wanted.power, left=left)
        if found is None:
            raise ArraysError.of(
                found=f"{n_units:,} units do not see any effect with a power of {wanted.power:g}",
                needed="more units, or an outcome that varies less",
                do="Plan for a longer experiment or another outcome",
            )
        return found, None, n_units
    if counted.moved_by != "factor" and not 0 < counted.mean + wanted.effect < 1:
        raise ArraysError.of(
            found=f"The outcome is at {counted.mean:.4g}, and an effect of {wanted.effect:+g} would make it "
            f"{counted.mean + wanted.effect:.4g}",
            needed="a share between 0 and 1",
            do="Give the effect as a change of the share, as .01 for one in 100",
        )
    needed = _needed(wanted, counted, left, wanted.effect)
    return wanted.effect, needed, wanted.n_units or needed


def _needed(wanted: Wanted, counted: Outcome, left: float, effect: float) -> int:
    """Return the units that an effect needs, no fewer than the arms need for any answer."""
    fewest = math.ceil(MIN_UNITS / min(wanted.shares))
    return max(fewest, units_needed(wanted.test, counted, effect, power=wanted.power, left=left))


def _require_arms(wanted: Wanted, n_units: int) -> None:
    smallest = n_units * min(wanted.shares)
    if smallest < MIN_UNITS:
        raise ArraysError.of(
            found=f"{n_units:,} units leave {smallest:.1f} in the smallest arm",
            needed=f"at least {MIN_UNITS} in every arm",
            do="Assign smaller units (people instead of regions, hours instead of days), or even shares",
        )


def _days(wanted: Wanted, counted: Outcome, left: float, effect: float, by_day: Float64) -> tuple[Day, ...]:
    """Return what could be seen after so many days of entering."""
    fewest = MIN_UNITS / min(wanted.shares)
    found = []
    for day in _told(len(by_day)):
        n = int(by_day[day - 1])
        if n < fewest:
            continue
        found.append(
            Day(
                day=day,
                n_units=n,
                smallest_plain=smallest_effect(wanted.test, counted, n, power=wanted.power),
                smallest=smallest_effect(wanted.test, counted, n, power=wanted.power, left=left),
                power_plain=power_of(wanted.test, counted, n, effect),
                power=power_of(wanted.test, counted, n, effect, left=left),
            )
        )
    return tuple(found)


def _told(n_days: int) -> list[int]:
    """Return the days that a table tells: each of the first week, then by weeks, and the last."""
    return sorted({d for d in range(1, n_days + 1) if d <= 7 or d % 7 == 0} | {n_days})


def _simulate(rows: "_Rows", wanted: Wanted, effect: float, n_units: int, report: Report) -> tuple[Simulated, ...]:
    """Return how often planted effects are seen in experiments with units drawn from the log."""
    rng, counted, test = np.random.default_rng(wanted.seed), rows.counted, wanted.test
    pair = round(n_units * (test.share_treated + test.share_control))
    shares = np.array([test.share_control, test.share_treated]) / (test.share_control + test.share_treated)
    enough = pair * shares.min() >= UNITS_PER_COLUMN * max(rows.Z.shape[1], 1)
    Z_all = rows.Z if enough else rows.Z[:, :0]
    planted_effects = [m * effect for m in _SIMULATED_AT]
    if counted.moved_by != "factor":
        planted_effects = [d for d in planted_effects if 0 < counted.mean + d < 1]
    found = []
    for done, d in enumerate(planted_effects):
        seen = held = 0
        for _ in range(wanted.simulations):
            drawn = rng.integers(0, len(rows.y), pair)
            T = draw_arms(np.zeros(pair, np.int64), shares, rng) == 1
            y = np.where(T, planted(rows.y[drawn], d, counted, rng), rows.y[drawn])
            answer = lin_difference(y, T, Z_all[drawn], rows.weight[drawn])
            half = test.factor(answer.degrees) * answer.std_error
            seen += abs(answer.estimate) > half
            held += abs(answer.estimate - d) <= half
        found.append(Simulated(effect=d, seen=seen, held=held, n=wanted.simulations))
        report("simulate", done + 1, len(planted_effects), f"effect {d:.3g}")
    return tuple(found)


@dataclass(frozen=True)
class _Rows:
    """Units of the log, and what is known of their outcome."""

    y: Float64
    Z: Float64
    weight: Float64
    rows: Float64
    is_grouped: bool

    @classmethod
    def of(cls, outcome: npt.ArrayLike, covariates: npt.ArrayLike | None, clusters: npt.ArrayLike | None) -> "_Rows":
        y = np.asarray(outcome, float)
        Z = np.empty((len(y), 0)) if covariates is None else np.asarray(covariates, float).reshape(len(y), -1)
        if not (np.isfinite(y).all() and np.isfinite(Z).all()):
            raise ArraysError.of(
                found="Outcomes or covariates are missing or not finite", needed="numbers", do="Leave these units out"
            )
        if len(y) < 2 or np.ptp(y) == 0:
            raise ArraysError.of(
                found=f"The outcome is the same for all {len(y)} units",
                needed="an outcome that varies",
                do="Choose a commoner outcome or a longer horizon",
            )
        if clusters is None:
            return cls(y, Z, np.ones(len(y)), y, is_grouped=False)
        means, weight = cluster_means(np.column_stack([y, Z]), clusters)
        return cls(means[:, 0], means[:, 1:], weight, y, is_grouped=True)

    @property
    def counted(self) -> Outcome:
        """Mean, and the variance that makes n units' weighted mean vary as it does."""
        n, share = len(self.y), self.weight / self.weight.sum()
        mean = float(share @ self.y)
        variance = n * n / (n - 1) * float((share**2) @ (self.y - mean) ** 2)
        is_share = bool(np.isin(self.rows, (0.0, 1.0)).all())
        kind: Literal["share", "factor", "shift"] = (
            "factor" if not is_share else "shift" if self.is_grouped else "share"
        )
        return Outcome(mean, variance, kind)

    @property
    def design_effect(self) -> float | None:
        """Variance of the mean over that of as many independent rows; None where rows are the units."""
        if not self.is_grouped:
            return None
        return self.counted.variance / len(self.y) / (float(np.var(self.rows, ddof=1)) / len(self.rows))

    @property
    def variance_removed(self) -> float | None:
        """Share of the variance that covariates explain of units left out; None without covariates."""
        if self.Z.shape[1] == 0 or len(self.y) < UNITS_PER_COLUMN * self.Z.shape[1]:
            return None
        root = np.sqrt(self.weight)
        A = np.column_stack([np.ones(len(self.y)), self.Z - self.Z.mean(axis=0)]) * root[:, None]
        Q, R = np.linalg.qr(A)
        kept = np.abs(np.diag(R)) > 1e-9 * np.abs(R[0, 0])
        Q = np.linalg.qr(A[:, kept])[0]
        residual = root * self.y - Q @ (Q.T @ (root * self.y))
        left_out = residual / np.maximum(1 - (Q**2).sum(axis=1), 1e-6)
        mean = np.average(self.y, weights=self.weight)
        return 1 - float((left_out**2 * self.weight).sum() / ((root * (self.y - mean)) ** 2 * self.weight).sum())


def cumulated(entry_day: Ints, n_days: int) -> Ints:
    """Return (n_days,) how many units have entered by the end of each day, from the (n,) day of each, from 0."""
    return np.bincount(entry_day, minlength=n_days).cumsum()[:n_days]
