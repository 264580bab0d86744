"""From plain arrays to whom a treatment moves: learned and chosen on one part of the users, judged on the other."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from whybuy.campaign.uplift.choice import Chosen, choose
from whybuy.campaign.uplift.counts import Normalization
from whybuy.campaign.uplift.curves import require_countable
from whybuy.campaign.uplift.judge import Judgment, judge
from whybuy.campaign.uplift.learners import LEARNERS
from whybuy.campaign.uplift.result import Uplift
from whybuy.campaign.uplift.rows import Bools, UpliftRows
from whybuy.causal.grounds import MIN_OUTCOME_USERS
from whybuy.errors import ArraysError, nearest

N_SLICES = 10


def uplift(  # noqa: PLR0913 - the columns, their design, and what is tried
    X: npt.ArrayLike,
    treatment: npt.ArrayLike,
    outcome: npt.ArrayLike,
    propensity: float | npt.ArrayLike | None = None,
    users: npt.ArrayLike | None = None,
    *,
    learners: Sequence[str] = tuple(LEARNERS),
    share_judging: float = 0.5,
    normalization: Normalization = "per person",
    seed: int = 7,
) -> Uplift:
    """Return by how much a treatment changes each person's outcome, and whether treating in that order is worth it.

    A part of the users teaches the learners and chooses one (:mod:`whybuy.campaign.uplift.choice`); every number of the
    result is computed on the others.

    Parameters
    ----------
    X : (n, d) what was known before the assignment, numpy or pandas
    treatment : (n,) 1 where treated, else 0; outcome : (n,) what came of it, binary or not
    propensity : the probability of being treated that people were assigned with, one number or (n,); None where they
        were not assigned at random: it is then estimated, unconfoundedness is assumed and said, and raw counts are not
        shown
    users : (n,) whom folds, parts and errors are by; every row is its own user where None
    learners : of "sxr" (half S, a quarter X and R each), "s", "t", "x", "r", "dr"; the first stays unless another beats
        it in both questions of :mod:`whybuy.campaign.uplift.choice`
    share_judging : of the users, from .1 to .9
    normalization : of the areas of counted curves, "per person", "perfect" (scikit-uplift's) or "final" (CausalML's)
    seed : of trees and half-samples

    Raises
    ------
    ArraysError
        One arm only or one of fewer than 100 users; outcomes missing in an arm or never seen in it; propensities of 0
        or 1, or contradicted by the arms; no overlap: fewer than 95% of the people have a propensity, estimated where
        none was passed, in [.01, .99]; an unknown learner; and the defects of :meth:`whybuy.causal.array_rows.Rows.of`.

    Source: the learners' stand in :mod:`whybuy.campaign.uplift.learners`, the curves' in
    :mod:`whybuy.campaign.uplift.rate` and :mod:`whybuy.campaign.uplift.counts`; calibration by Chernozhukov et al.
    (Econometrica, 2025), best linear predictor.
    """
    _require_settings(learners, share_judging)
    rows = UpliftRows.of(X, treatment, outcome, propensity, users)
    if rows.equal_chance:
        require_countable(rows, normalization)
    judging = rows.folds(N_SLICES) < round(N_SLICES * share_judging)
    _require_responses(rows, judging)
    chosen = choose(rows.keep(~judging), tuple(learners), seed=seed)
    judges = rows.keep(judging)
    tau = chosen.model(judges.X)
    effect = np.empty(len(rows.T))
    effect[judging], effect[~judging] = tau, chosen.foretold
    judgment = judge(judges, tau, normalization=normalization, seed=seed)
    return Uplift(
        learner=chosen.learner,
        candidates=chosen.candidates,
        effect=effect,
        judging=judging,
        judgment=judgment,
        model=chosen.model,
        reasons=tuple(_notes(rows, chosen, judgment)),
        n_rows=len(rows.T),
        n_users=rows.n_users,
    )


def _require_settings(learners: Sequence[str], share_judging: float) -> None:
    unknown = [name for name in learners if name not in LEARNERS]
    if unknown or not learners:
        near = nearest(unknown[0], LEARNERS) if unknown else None
        raise ArraysError.of(
            found=f"learners={list(learners)!r}",
            needed=f"one or more of {', '.join(LEARNERS)}",
            do=f"Use {near!r}" if near else "Leave it away to have all of them tried",
        )
    if not 1 <= round(N_SLICES * share_judging) < N_SLICES:
        raise ArraysError.of(
            found=f"share_judging={share_judging:g}",
            needed="a share from .1 to .9: some users teach and choose, others judge",
            do="Leave it at .5",
        )


def _require_responses(rows: UpliftRows, judging: Bools) -> None:
    """Raise ArraysError where the outcome is all but unseen in an arm of a part."""
    for arm, name in ((1, "treated"), (0, "control")):
        mine = (arm == rows.T) & (rows.Y != 0)
        n = min(len(np.unique(rows.user[mine & part])) for part in (judging, ~judging))
        if n < MIN_OUTCOME_USERS:
            total = len(np.unique(rows.user[mine]))
            raise ArraysError.of(
                found=f"{total} users of the {name} arm have an outcome other than 0"
                + (f", {n} of them in the smaller part" if total else ""),
                needed=f"at least {MIN_OUTCOME_USERS} in the part that teaches and in the part that judges",
                do="See whether the outcome was logged for both arms; else wait for more, or ask about one that is "
                "more frequent",
            )


def _notes(rows: UpliftRows, chosen: Chosen, judgment: Judgment) -> list[str]:
    """Return what weakens the answer, in words."""
    notes = []
    best = next(c for c in chosen.candidates if c.learner == chosen.learner)
    if best.excess_loss >= 0:
        notes.append(
            "Among the people who taught it, it foretells effects no better than one effect for everybody would."
        )
    in_both = np.intersect1d(rows.user[rows.T > 0], rows.user[rows.T < 1]).size
    if in_both:
        notes.append(
            f"{in_both:,} of {rows.n_users:,} users have rows in both arms: one arm may carry over to the other."
        )
    if judgment.share_supported < 1:
        notes.append(
            f"{100 * (1 - judgment.share_supported):.1f}% of those who judge are left out: their propensity lies "
            "outside [.01, .99]."
        )
    return notes
