"""Flexible predictions of who is sent a campaign and who buys, each person by learners that did not see them.

A linear logistic model first (targeting rules are mostly scores), then boosted trees started from its logit for what it
misses. Penalty and number of trees are chosen on a fifth of the training users, then both are fitted on all of them.
Boosting alone was rejected: with a few thousand people it turns a score into steps and leaves some confounding in.
"""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

from whybuy.behavior.folds import folds_of_users
from whybuy.campaign.history import Bools, Floats

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_Parameters = dict[str, object]

N_FOLDS = 5
_PENALTIES = (0.003, 0.03, 0.3)
_MIN_CASES = 10
_CHOICE_SHARE = 0.2
_ONE_THREAD_ROWS = 20_000
_MAX_ROUNDS = 60
_BLAS = ThreadpoolController()


@dataclass(frozen=True)
class Nuisances:
    """Predictions out of fold.

    Attributes
    ----------
    e : (n,) probability of being sent it
    m : (n,) probability of the outcome
    m_control : (n,) probability of the outcome if not sent
    """

    e: Float64
    m: Float64
    m_control: Float64


@dataclass(frozen=True)
class People:
    """The rows that are predicted.

    Attributes
    ----------
    X : (n, d) covariates
    fold : (n,) fold of the user
    position : (n,) of the user in [0, 1): who is held out for choices
    """

    X: Floats
    fold: Ints
    position: Float64

    @classmethod
    def of(cls, X: Floats, user_ids: npt.NDArray[np.object_]) -> "People":
        """Return the rows with folds decided by the users' ids."""
        folds = folds_of_users(user_ids, n_subfolds=N_FOLDS)
        return cls(X, folds.subfold, folds.position)


def fit_nuisances(people: People, treated: Bools, outcome: Bools, *, seed: int) -> Nuisances:
    """Return all predictions of a targeted campaign."""
    everybody = np.ones(len(treated), bool)
    return Nuisances(
        e=crossfit(people, treated, everybody, seed=seed),
        m=crossfit(people, outcome, everybody, seed=seed),
        m_control=crossfit(people, outcome, ~treated, seed=seed),
    )


def crossfit(people: People, y: Bools, teach: Bools, *, seed: int, boost: bool = True) -> Float64:
    """Return (n,) probabilities of ``y``, each row predicted by a learner of the other folds' users.

    Parameters
    ----------
    teach : (n,) rows that may teach; all rows are predicted
    boost : whether trees follow the linear model
    """
    out = np.empty(len(y))
    for k in range(N_FOLDS):
        test = people.fold == k
        train = np.flatnonzero(~test & teach)
        if test.any():
            out[test] = _fit_one(people, y, train, seed=seed, boost=boost)(people.X[test])
    return out


class _Learner:
    """A linear logit plus, where it helped, trees."""

    def __init__(self, X: Floats, y: Bools, penalty: float) -> None:
        self.scaler = StandardScaler().fit(X)
        # Quasi-Newton: on a few thousand rows and 200 columns 5 times faster than Newton's own steps, and as good.
        self.linear = LogisticRegression(C=penalty, solver="lbfgs", max_iter=1_000, tol=1e-3)
        # A second thread gains nothing up to 60,000 x 150 values; on a busy machine it spins, 6 times slower.
        with _BLAS.limit(limits=1, user_api="blas"):
            self.linear.fit(self.scaler.transform(X), y)
        self.trees: lgb.Booster | None = None

    def logit(self, X: Floats) -> Float64:
        found: Float64 = self.linear.decision_function(self.scaler.transform(X)).astype(float)
        if self.trees is not None:
            found = found + self.trees.predict(X, raw_score=True)
        return found

    def __call__(self, X: Floats) -> Float64:
        found: Float64 = expit(self.logit(X))
        return found


def _fit_one(people: People, y: Bools, train: Ints, *, seed: int, boost: bool) -> "_Learner | _Rate":
    fits = train[people.position[train] >= _CHOICE_SHARE]
    judges = train[people.position[train] < _CHOICE_SHARE]
    if min(_cases(y[fits]), _cases(y[judges])) < _MIN_CASES:
        return _Rate((y[train].sum() + 0.5) / (len(train) + 1))
    tried = [_Learner(people.X[fits], y[fits], penalty) for penalty in _PENALTIES]
    losses = [_log_loss(y[judges], learner.logit(people.X[judges])) for learner in tried]
    best = int(np.argmin(losses))
    rounds = _rounds(people, y, fits, judges, tried[best], _parameters(len(fits), seed)) if boost else 0
    learner = _Learner(people.X[train], y[train], _PENALTIES[best])
    if rounds:
        parameters = _parameters(len(train), seed)
        learner.trees = lgb.train(parameters, _data(people, y, train, learner, parameters), num_boost_round=rounds)
    return learner


@dataclass(frozen=True)
class _Rate:
    """Too few cases to learn from: the base rate."""

    rate: float

    def __call__(self, X: Floats) -> Float64:
        return np.full(len(X), self.rate)


def _rounds(people: People, y: Bools, fits: Ints, judges: Ints, start: _Learner, parameters: _Parameters) -> int:
    """Return how many trees predict the held-out users best; 0 where none helps."""
    held_out = _data(people, y, judges, start, parameters)
    losses: dict[str, dict[str, list[float]]] = {}
    lgb.train(
        {**parameters, "metric": "binary_logloss"},
        _data(people, y, fits, start, parameters),
        num_boost_round=_MAX_ROUNDS,
        valid_sets=[held_out],
        valid_names=["held out"],
        callbacks=[lgb.record_evaluation(losses)],
    )
    curve = [_log_loss(y[judges], start.logit(people.X[judges])), *losses["held out"]["binary_logloss"]]
    return int(np.argmin(curve))


def _parameters(n_rows: int, seed: int) -> _Parameters:
    """Return LightGBM's parameters; deterministic, so that a rerun gives the same numbers."""
    return {
        "objective": "binary",
        # On few rows a second thread costs more in waiting than it brings.
        "num_threads": 1 if n_rows < _ONE_THREAD_ROWS else 2,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "max_bin": 63,
        "boost_from_average": False,
        "learning_rate": 0.08,
        "num_leaves": 7,
        "min_data_in_leaf": int(np.clip(n_rows // 40, 15, 100)),
        "feature_fraction": 0.4,
        "lambda_l2": 10.0,
    }


def _data(people: People, y: Bools, rows: Ints, start: _Learner, parameters: _Parameters) -> lgb.Dataset:
    X = people.X[rows]
    return lgb.Dataset(X, label=y[rows].astype(float), init_score=start.logit(X), params=parameters)


def _cases(y: Bools) -> int:
    return int(min(y.sum(), (~y).sum()))


def _log_loss(y: Bools, logits: Float64) -> float:
    return float((np.logaddexp(0, logits) - y * logits).mean())
