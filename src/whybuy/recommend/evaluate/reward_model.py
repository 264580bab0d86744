"""Expected rewards of every action, learned on other users: what the direct method and doubly robust estimators need.

An action is a column of its own to the trees (categorical) and an indicator to the regression, so that the model knows
of an action what its own rows say; rows of the same user never teach what judges them.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge

from whybuy.causal.array_learners import boosting
from whybuy.causal.array_rows import folds_by_group, is_binary
from whybuy.causal.clusters import Float64, Ints
from whybuy.errors import ArraysError
from whybuy.recommend.evaluate.log import LoggedFeedback

RewardLearner = Literal["lightgbm", "linear"]


def cross_fitted_rewards(
    log: LoggedFeedback,
    X: npt.ArrayLike,
    *,
    Z: npt.ArrayLike | None = None,
    n_actions: int | None = None,
    learner: RewardLearner = "lightgbm",
    folds: int | npt.ArrayLike = 5,
) -> Float64:
    """Return (n, n_actions) the expected reward of every action in every row, by models that saw none of its user.

    Parameters
    ----------
    X : (n, d) what was known before the action was shown; the row's slot is added where the log has slots
    Z : (n, n_actions, d) what was known of every action for the row's user: a taste, a price, earlier views
    n_actions : of the policies to be judged; as many as were logged where None
    learner : "lightgbm", or "linear": logistic regression of rewards that are 0 or 1, ridge of others
    folds : how many, or (n,) the fold of every row, constant within a user

    Raises
    ------
    ArraysError
        Covariates that do not fit the log, an unknown learner, folds that split a user, a fold without a reward of
        either kind to learn from.

    Source: Narita, Yasui and Yata, Debiased off-policy evaluation for recommendation systems (RecSys 2021): the fold
    that is judged teaches nothing.
    """
    context = _context(log, X)
    n_actions = int(log.action.max()) + 1 if n_actions is None else n_actions
    of_action = np.empty((log.n_rows, n_actions, 0)) if Z is None else _of_action(log, Z, n_actions)
    fold = folds_by_group(folds, log.user, np.arange(log.n_users, dtype=object))
    known = np.hstack([context, of_action[np.arange(log.n_rows), log.action]])
    predicted = np.empty((log.n_rows, n_actions))
    for k in range(int(fold.max()) + 1):
        taught, judged = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        _require_both(log.reward[taught], k)
        fitted = _fit(learner, known[taught], log.action[taught], log.reward[taught], n_actions)
        for action in range(n_actions):
            asked, shown = np.hstack([context[judged], of_action[judged, action]]), np.full(len(judged), action)
            predicted[judged, action] = _answer(fitted, _columns(learner, asked, shown, n_actions))
    return predicted


def _context(log: LoggedFeedback, X: npt.ArrayLike) -> Float64:
    given = np.asarray(X, float)
    if given.ndim != 2 or len(given) != log.n_rows or not np.isfinite(given).all():
        raise ArraysError.of(
            found=f"X has the shape {given.shape}" if np.isfinite(given).all() else "NaN or infinite values in X",
            needed=f"finite numbers known before the action: ({log.n_rows}, d)",
            do="Align it with the log, and encode what is missing in a column of its own",
        )
    return given if log.slot is None else np.column_stack([given, log.slot])


def _of_action(log: LoggedFeedback, Z: npt.ArrayLike, n_actions: int) -> Float64:
    given = np.asarray(Z, float)
    if given.ndim != 3 or given.shape[:2] != (log.n_rows, n_actions) or not np.isfinite(given).all():
        raise ArraysError.of(
            found=f"Z has the shape {given.shape}" if np.isfinite(given).all() else "NaN or infinite values in Z",
            needed=f"finite numbers known of every action: ({log.n_rows}, {n_actions}, d)",
            do="Align it with the log, as in Z[:, :, None] for one number an action, and pass n_actions=...",
        )
    return given


def _columns(learner: str, context: Float64, action: Ints, n_actions: int) -> Any:
    """Return the context with the action: a last column of codes for trees, indicators for the regression."""
    if learner == "lightgbm":
        return np.column_stack([context, action])
    n = len(action)
    indicators = sparse.csr_matrix((np.ones(n), (np.arange(n), action)), shape=(n, n_actions))
    return sparse.hstack([sparse.csr_matrix(context), indicators], format="csr")


def _fit(learner: str, context: Float64, action: Ints, reward: Float64, n_actions: int) -> Any:
    columns, binary = _columns(learner, context, action, n_actions), is_binary(reward)
    if learner == "linear":
        return (LogisticRegression(max_iter=1_000) if binary else Ridge()).fit(columns, reward)
    if learner != "lightgbm":
        raise ArraysError.of(
            found=f"learner={learner!r}", needed="one of 'lightgbm' and 'linear'", do="Use one of them"
        )
    trees: Any = boosting(binary=binary)
    return trees.fit(columns, reward, categorical_feature=[context.shape[1]])


def _answer(fitted: Any, columns: Any) -> Float64:
    return fitted.predict_proba(columns)[:, 1] if hasattr(fitted, "predict_proba") else fitted.predict(columns)


def _require_both(reward: Float64, fold: int) -> None:
    if np.ptp(reward) == 0:
        raise ArraysError.of(
            found=f"The reward is {reward[0]:g} in every row outside fold {fold}",
            needed="rewards that vary, to learn from",
            do="Use fewer folds, or bring more rows",
        )
