"""A randomized experiment with two offers whose effects by person are known, and its doubly robust scores."""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestRegressor

COST = np.array([0.0, 0.1, 0.2])


@dataclass(frozen=True)
class Experiment:
    """``X`` (n, 3); ``truth`` (n, 3) mean outcome by arm; ``scores`` (n, 3) from known propensities of a third."""

    X: np.ndarray
    truth: np.ndarray
    scores: np.ndarray
    arm: np.ndarray
    outcome: np.ndarray


def draw(n: int, seed: int) -> Experiment:
    """Offer 1 suits those with X[0] > 0 and X[1] > 0 and those with neither; offer 2 helps a few and harms the rest."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    both = (X[:, 0] > 0) == (X[:, 1] > 0)
    effects = np.column_stack([np.zeros(n), np.where(both, 0.5, -0.3), np.where(X[:, 2] > 1, 0.6, -0.2)])
    truth = X[:, [0]] + effects
    arm = rng.integers(0, 3, n)
    outcome = truth[np.arange(n), arm] + rng.standard_normal(n)
    predicted = np.repeat(X[:, [0]], 3, axis=1)  # another model's guess, right for nothing but the level
    scores = predicted + (arm[:, None] == np.arange(3)) * 3 * (outcome[:, None] - predicted)
    return Experiment(X, truth, scores, arm, outcome)


def learned(train: Experiment, X: np.ndarray, seed: int) -> np.ndarray:
    """(n, 2) the gain of each offer over nothing, learned by a forest on the scores of ``train``."""
    forest = RandomForestRegressor(n_estimators=20, min_samples_leaf=5, random_state=seed)
    return forest.fit(train.X, train.scores[:, 1:] - train.scores[:, [0]]).predict(X)
