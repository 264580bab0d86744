"""Average effects over all decisions (ATE) and over the treated ones (ATT), from the parts the ATO is made of.

The overlap-weighted effect asks about the decisions that could have gone either way; a shop also asks about all of
them. That needs weights 1 / e and 1 / (1 - e), so it is answered only where almost every decision could have gone
either way, and about those alone; elsewhere it is refused. No further nuisance is fitted: with an effect tau(x) from
the R-learner the two arms' means are mu0 = m - e tau and mu1 = m + (1 - e) tau.
"""

import numpy as np

from whybuy.causal.checks import PairData, supported
from whybuy.causal.clusters import Float64, clustered_ratio
from whybuy.causal.effects import Effect, Estimate

MIN_SHARE = 0.95
ESTIMANDS = ("ate", "att")
REFUSED = tuple(Estimate(estimand=name) for name in ESTIMANDS)


def averages(data: PairData, tau: Float64) -> tuple[Estimate, ...]:
    """Return ATE and ATT of the decisions with e in [.01, .99]; both refused where those are fewer than 95%.

    Parameters
    ----------
    tau : (n,) out-of-fold effect of every decision; wrong ones cost precision, and no more where e is right
    """
    if not answerable(data):
        return REFUSED
    inside = supported(data.e)
    kept, tau = data.rows(inside), tau[inside]
    return ate(kept, tau), att(kept, tau)


def answerable(data: PairData) -> bool:
    """Return whether enough decisions could have gone either way."""
    return len(data.e) > 0 and float(supported(data.e).mean()) >= MIN_SHARE


def ate(data: PairData, tau: Float64) -> Estimate:
    """Return the effect averaged over all decisions, by augmented inverse probability weights, clustered by user.

    The score mu1 - mu0 + T (Y - mu1) / e - (1 - T) (Y - mu0) / (1 - e) with the shared parts is
    tau + (T - e) / (e (1 - e)) (RY - tau RT), because Y - mu1 (treated) and Y - mu0 (controls) are both RY - tau RT.

    Source: Robins, Rotnitzky and Zhao (JASA, 1994); Chernozhukov et al., Double/debiased machine learning (Econometrics
    Journal, 2018), section 5.1.
    """
    RT = data.RT
    score = tau + RT / (data.e * (1 - data.e)) * (data.RY - tau * RT)
    found = clustered_ratio(score, 1.0, data.user)
    return Estimate.of("ate", found.value, found.std_error)


def att(data: PairData, tau: Float64) -> Estimate:
    """Return the effect averaged over the treated decisions, by augmented weights, clustered by user.

    Treated decisions are compared with mu0 = m - e tau, controls correct it with odds e / (1 - e).

    Source: Chernozhukov et al., Double/debiased machine learning (Econometrics Journal, 2018), section 5.1.
    """
    from_control = data.RY + data.e * tau
    weight = data.T - (1 - data.T) * data.e / (1 - data.e)
    found = clustered_ratio(weight * from_control, data.T, data.user)
    return Estimate.of("att", found.value, found.std_error)


def scope(effect: Effect) -> list[str]:
    """Return in words which decisions an effect's ATE and ATT are about, or why they are not there."""
    asked = [e for e in effect.also if e.estimand in ESTIMANDS]
    if not asked:
        return []
    share = np.floor(1000 * effect.checks["overlap"]["share_within_01_99"]) / 10
    if asked[0].estimate is None:
        return [
            f"ATE and ATT are not computed: {share:.1f}% of the {effect.unit} have a propensity within "
            f"[.01, .99], {100 * MIN_SHARE:.0f}% are needed."
        ]
    return [f"ATE and ATT are those of the {share:.1f}% of {effect.unit} whose propensity lies within [.01, .99]."]
