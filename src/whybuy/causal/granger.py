"""A Granger view: whether the recent past of b moves the rate of a beyond a's own past, any activity, and the clock.

The log is read as a multivariate point process. The rate of a for a user at time t is log-linear,

    log lambda_a(t) = mu + clock(t) + sum over behaviors b and half-lives k of gamma_bk log(1 + x_bk(t))
                         + sum over k of delta_k log(1 + x_any,k(t)),

with ``x_bk(t)`` the decayed count of b's moments before t (a Hawkes process with exponential kernels whose memory
saturates and whose effects may lower a rate as well as raise it). Counts of any moment stand beside the behaviors',
because whoever is active now does everything more often; gamma says what b does beyond any moment.

Bins would be too wide within a visit and too many between visits. Dummy points are drawn instead, at a known rate
rho(t), half of them evenly and half soon after moments, and a logistic regression tells the moments of a from them:
P(a | a point at t) = lambda / (lambda + rho), so its offset is -log rho and its coefficients are those of log lambda.
Errors cluster by user. One number per pair, with its sign: the sum over k of gamma_bk, each times the mean of
log(1 + x_bk) over the moments of a that had b within the horizon before.

It assumes that nothing unlogged moves both, that memory has these half-lives, and that all users have the same rates
given their past.

Source: Granger (Econometrica, 1969); Hawkes (Biometrika, 1971); for the dummy points Baddeley and others, Logistic
regression for spatial Gibbs point processes (Biometrika, 2014), with time in place of space.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whybuy.causal.histories import Histories, independent_columns
from whybuy.events.features import clock_waves, decayed_counts
from whybuy.events.moments import Moments
from whybuy.events.sequences import Ints
from whybuy.progress import Report, quiet

Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

HALF_LIVES_PER_HORIZON = (1 / 168, 1 / 7, 1.0)
"""An hour, a day and a week where the horizon is a week."""
N_DUMMIES = 30_000
MIN_CASE_USERS = 20
"""Users with the outcome, and with both behaviors within a horizon, for a pair to be asked."""


@dataclass(frozen=True)
class Influence:
    """What b's recent past does to the log rate of a.

    Attributes
    ----------
    change : mean change of log lambda_a, beyond what any moment brings, at the moments of a that had b within the
        horizon before
    std_error : clustered by user
    """

    treatment: str
    outcome: str
    change: float
    std_error: float


@dataclass(frozen=True)
class Points:
    """Times at which rates are looked at: moments and dummies, sorted by user and time.

    Attributes
    ----------
    user, ts_ms : (n,)
    moment : (n,) the moment that a point is, -1 for a dummy
    log_rho : (n,) log of the dummies' rate there, per millisecond
    past : (n, n_half_lives, n_behaviors + 1) log(1 + decayed count) of every behavior, and of any moment last
    """

    user: Ints
    ts_ms: Ints
    moment: Ints
    log_rho: Float64
    past: npt.NDArray[np.float32]


def granger(
    histories: Histories,
    outcomes: tuple[str, ...],
    *,
    horizon_ms: int,
    lookback_ms: int,
    rng: np.random.Generator,
    report: Report = quiet,
) -> list[Influence]:
    """Return the influence of every behavior on every outcome but itself; pairs with too little to go by are left out.

    Parameters
    ----------
    outcomes : names among the histories' behaviors
    lookback_ms : the first part of the observed window has no history and is not looked at
    """
    points = draw_points(histories, horizon_ms=horizon_ms, lookback_ms=lookback_ms, rng=rng)
    found: list[Influence] = []
    for done, outcome in enumerate(outcomes):
        found += _influences(histories, points, histories.names.index(outcome))
        report("point process", done + 1, len(outcomes))
    return found


def draw_points(
    histories: Histories, *, horizon_ms: int, lookback_ms: int, rng: np.random.Generator, n_dummies: int = N_DUMMIES
) -> Points:
    """Return all moments and about ``n_dummies`` dummies after the lookback.

    Half of the dummies lie evenly over every user's time since the first moment; the other half follow moments after
    exponential waits, at most one per moment and half-life, so that their rate is a multiple of the decayed count.
    """
    h, half_lives = histories, [max(1, round(horizon_ms * share)) for share in HALF_LIVES_PER_HORIZON]
    begin = np.maximum(h.start_ms + lookback_ms, h.ts_ms[np.minimum(h.offsets[:-1], len(h.ts_ms) - 1)])
    length = np.maximum(h.end_ms - begin, 0) * (np.diff(h.offsets) > 0)
    n_even = n_dummies // 2
    even_rate = n_even / max(int(length.sum()), 1)
    per_user = rng.poisson(even_rate * length)
    even_user = np.repeat(np.arange(h.n_users), per_user)
    even_ts = begin[even_user] + (rng.random(len(even_user)) * length[even_user]).astype(np.int64)
    share = min(1.0, (n_dummies - n_even) / (len(half_lives) * max(len(h.ts_ms), 1)))
    users, times = [h.user, even_user], [h.ts_ms, even_ts]
    for half_life in half_lives:
        parents = np.flatnonzero(rng.random(len(h.ts_ms)) < share)
        wait = rng.standard_exponential(len(parents)) * half_life / np.log(2)
        users.append(h.user[parents])
        times.append(h.ts_ms[parents] + 1 + wait.astype(np.int64))
    user, ts = np.concatenate(users), np.concatenate(times)
    moment = np.concatenate([np.arange(len(h.ts_ms)), np.full(len(ts) - len(h.ts_ms), -1)])
    # A first moment is there by construction, not by its rate: time starts after it.
    kept = np.flatnonzero((ts > begin[user]) & (ts <= h.end_ms))
    order = kept[np.lexsort((ts[kept], user[kept]))]
    user, ts, moment = user[order], ts[order], moment[order]
    counts = _decayed(h, user, ts, half_lives)
    follow_rate = (counts[:, :, -1] * (share * np.log(2) / np.asarray(half_lives))).sum(axis=1)
    return Points(user, ts, moment, np.log(even_rate + follow_rate), np.log1p(counts))


def _decayed(h: Histories, user: Ints, ts_ms: Ints, half_lives: list[int]) -> npt.NDArray[np.float32]:
    """Return (n, n_half_lives, n_behaviors + 1) decayed counts of what lies strictly before each point."""
    first = h.before(user, ts_ms)
    at = Moments(user=user, ts_ms=ts_ms, first=first, end=first, key=ts_ms, span=0, origin=0)
    hits = np.concatenate([h.hits, np.ones((len(h.hits), 1), np.uint8)], axis=1)
    return np.stack([decayed_counts(hits, h.offsets, h.ts_ms, at, half_life) for half_life in half_lives], axis=1)


def _influences(h: Histories, points: Points, a: int) -> list[Influence]:
    """Return the influences on one outcome: a logistic regression of its moments against the dummies."""
    is_moment = points.moment >= 0
    is_case = np.zeros(len(points.user), bool)
    is_case[is_moment] = h.hits[points.moment[is_moment], a] > 0
    rows = np.flatnonzero(is_case | ~is_moment)
    user, cases, past = points.user[rows], is_case[rows], points.past[rows].astype(float)
    if _n_different(user[cases]) < MIN_CASE_USERS:
        return []
    X = np.concatenate([past.reshape(len(rows), -1), clock_waves(points.ts_ms[rows])], axis=1)
    fit = _rate_regression(X, cases, -points.log_rho[rows], user)
    if fit is None:
        return []
    coefficients, covariance = fit
    found = []
    n_half_lives, n_columns = past.shape[1:]
    for b, name in enumerate(h.names):
        recent = cases & (past[:, -1, b] >= np.log1p(0.5))  # a moment of b one horizon ago counts one half
        if b == a or _n_different(user[recent]) < MIN_CASE_USERS:
            continue
        columns = np.arange(n_half_lives) * n_columns + b
        weight = past[recent][:, :, b].mean(axis=0)
        variance = float(weight @ covariance[np.ix_(columns, columns)] @ weight)
        if np.isfinite(variance) and variance > 0:
            found.append(Influence(name, h.names[a], float(weight @ coefficients[columns]), variance**0.5))
    return found


def _rate_regression(X: Float64, cases: Bools, offset: Float64, user: Ints) -> tuple[Float64, Float64] | None:
    """Return (d,) coefficients and their (d, d) covariance clustered by user; None where they run away.

    A column that follows from those before it has none: NaN.
    """
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import ModelWarning

    kept = np.flatnonzero(independent_columns(X))
    scale = X[:, kept].std(axis=0)
    model = sm.GLM(
        cases.astype(float), sm.add_constant(X[:, kept] / scale), family=sm.families.Binomial(), offset=offset
    )
    with warnings.catch_warnings():
        # Separated cases and rates that overflow are only warned of; what is fitted then is no answer.
        warnings.simplefilter("error")
        try:
            fit = model.fit(cov_type="cluster", cov_kwds={"groups": user})
        except (ModelWarning, RuntimeWarning):
            return None
    coefficients, covariance = np.full(X.shape[1], np.nan), np.full((X.shape[1], X.shape[1]), np.nan)
    coefficients[kept] = fit.params[1:] / scale
    covariance[np.ix_(kept, kept)] = fit.cov_params()[1:, 1:] / np.outer(scale, scale)
    return coefficients, covariance


def _n_different(user: Ints) -> int:
    return len(np.unique(user))
