"""The cross-fitted ridge from sums against scikit-learn's on the rows themselves."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from whybuy.causal.ridge import FoldSums, fit_folds, with_intercept

N, D, N_FOLDS, PENALTY = 3_000, 5, 3, 7.0


@pytest.mark.parametrize("block", [3_000, 211])
def test_a_target_that_leaves_its_own_decisions_out_is_fitted_on_the_others(block):
    """The first outcome is common, so its rows fill several batches; the second is so rare that none is full."""
    rng = np.random.default_rng(0)
    X, fold = rng.normal(size=(N, D)), np.arange(N) % N_FOLDS
    own = (rng.random((N, 2)) < (0.4, 0.01)).astype(np.uint8)
    plain = X[:, :1] + rng.normal(size=(N, 1))
    masked = X[:, :2] @ rng.normal(size=(2, 4)) + 3 * own[:, [0, 1, 0, 1]] + rng.normal(size=(N, 4))
    targets = np.concatenate([plain, masked], axis=1)
    sums = FoldSums.zeros(N_FOLDS, D, 1, 2, 4)
    for start in range(0, N, block):
        at = slice(start, start + block)
        sums.add(with_intercept(X[at]), targets[at], fold[at], own[at])
    beta = fit_folds(sums, [np.arange(D)] * 5, penalty=PENALTY)
    for k in range(N_FOLDS):
        for target in range(5):
            teaches = fold != k
            if target > 0:
                teaches &= own[:, (target - 1) % 2] == 0
            peer = make_pipeline(StandardScaler(), Ridge(alpha=PENALTY)).fit(X[teaches], targets[teaches, target])
            np.testing.assert_allclose(with_intercept(X) @ beta[k, :, target], peer.predict(X), atol=1e-9)
