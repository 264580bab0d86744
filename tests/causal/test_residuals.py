"""The sums against plain loops, by hand, and against DoubleML; clustering must matter where it should."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whybuy.causal.array_scan import scan_arrays
from whybuy.causal.masked import MaskedTrials, masked_pair_sums
from whybuy.causal.residuals import plain_pair_sums, user_chunks


def trials(seed: int, n_users: int = 12) -> MaskedTrials:
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(0, n_users, 90))
    own = (rng.random((90, 2)) < 0.2).astype(float)
    T = (rng.random((90, 3)) < 0.4).astype(float)
    return MaskedTrials(
        T=T,
        E=rng.uniform(0.1, 0.6, (90, 3)),
        own=own,
        e_own=rng.uniform(0.05, 0.3, (90, 2)),
        RY=rng.normal(size=(90, 2)),
        Y=(rng.random((90, 2)) < 0.3).astype(float),
        shared=rng.uniform(0, 0.5, (3, 2)),
        user=user,
    )


def by_loop(t: MaskedTrials, b: int, a: int) -> tuple[float, float, int, int]:
    N, D = {}, {}
    for i in range(len(t.user)):
        if t.own[i, a]:
            continue
        e = (t.E[i, b] - t.shared[b, a] * t.e_own[i, a]) / (1 - t.e_own[i, a])
        u = t.user[i]
        N[u] = N.get(u, 0) + (t.T[i, b] - e) * t.RY[i, a]
        D[u] = D.get(u, 0) + (t.T[i, b] - e) ** 2
    theta = sum(N.values()) / sum(D.values())
    U = len(N)
    spread = sum((N[u] - theta * D[u]) ** 2 for u in N)
    se = (U / (U - 1) * spread) ** 0.5 / sum(D.values())
    kept = t.own[:, a] == 0
    return theta, se, int((t.T[kept, b]).sum()), int((t.T[kept, b] * t.Y[kept, a]).sum())


def test_masked_sums_equal_a_plain_loop():
    t = trials(0)
    sums, counts = masked_pair_sums(t)
    for b in range(3):
        for a in range(2):
            theta, se, treated, joint = by_loop(t, b, a)
            assert sums.estimate[b, a] == pytest.approx(theta, rel=1e-10)
            assert sums.std_error[b, a] == pytest.approx(se, rel=1e-9)
            assert (counts.treated[b, a], counts.joint[b, a]) == (treated, joint)


def test_counts_of_users_equal_a_plain_loop():
    t = trials(5, n_users=40)
    _, counts = masked_pair_sums(t)
    for b in range(3):
        for a in range(2):
            hit = (t.own[:, a] == 0) & (t.Y[:, a] > 0)
            after, other = (set(t.user[hit & (t.T[:, b] == treated)]) for treated in (1, 0))
            assert (counts.treated_outcome_users[b, a], counts.control_outcome_users[b, a]) == (len(after), len(other))
            assert counts.trials[b, a] == (t.own[:, a] == 0).sum()
            assert counts.outcomes[b, a] == hit.sum()


def test_a_behavior_that_nobody_does_has_no_counts_and_a_block_without_any_has_sums():
    t = trials(6)
    idle = MaskedTrials(np.zeros_like(t.T), t.E, t.own, t.e_own, t.RY, t.Y, t.shared, t.user)
    sums, counts = masked_pair_sums(idle)
    assert not counts.treated.any()
    assert not counts.treated_outcome_users.any()
    assert (sums.D > 0).all()


def test_sums_add_over_blocks_of_users():
    t = trials(1)
    whole, _ = masked_pair_sums(t)
    first = t.user < 5
    parts = [
        masked_pair_sums(
            MaskedTrials(*(getattr(t, f)[m] if f != "shared" else t.shared for f in t.__dataclass_fields__))
        )[0]
        for m in (first, ~first)
    ]
    total = parts[0] + parts[1]
    np.testing.assert_allclose(total.estimate, whole.estimate, rtol=1e-12)
    np.testing.assert_allclose(total.std_error, whole.std_error, rtol=1e-10)


def test_by_hand():
    # Two users, two decisions each: RT RY sums to 1/2 and -1/4, RT^2 to 1/2 and 1/2; theta = 1/4.
    RT = np.array([[0.5], [-0.5], [0.5], [0.5]])
    RY = np.array([[0.5], [-0.5], [-0.25], [-0.25]])
    found = plain_pair_sums(RT, RY, np.array([0, 0, 1, 1]))
    assert found.estimate[0, 0] == pytest.approx(1 / 4)
    # N - theta D = 3/8 and -3/8; variance = 2 x 2 x 9/64 / 1.
    assert found.std_error[0, 0] == pytest.approx((2 * 2 * 9 / 64) ** 0.5)
    assert found.effective_users[0, 0] == pytest.approx(2.0)


def test_every_trial_is_in_one_chunk():
    user = np.repeat(np.arange(50), np.random.default_rng(0).integers(1, 40, 50))
    for sizes in (
        {"bytes_per_user": 20_000_000},
        {"bytes_per_user": 500_000},
        {"bytes_per_user": 8, "bytes_per_row": 8},
    ):
        seen = np.concatenate([chunk.rows[chunk.valid] for chunk in user_chunks(user, **sizes)])
        assert sorted(seen.tolist()) == list(range(len(user)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_scaling_the_outcome_scales_estimate_and_error(seed, factor):
    t = trials(seed)
    one = plain_pair_sums(t.T - t.E, t.RY, t.user)
    other = plain_pair_sums(t.T - t.E, factor * t.RY, t.user)
    np.testing.assert_allclose(other.estimate, factor * one.estimate, rtol=1e-9)
    np.testing.assert_allclose(other.std_error, factor * one.std_error, rtol=1e-7)


def test_repeating_rows_of_the_same_users_does_not_shrink_the_error():
    t = trials(2)
    twice = np.repeat(np.arange(len(t.user)), 2)
    one = plain_pair_sums(t.T - t.E, t.RY, t.user)
    other = plain_pair_sums((t.T - t.E)[twice], t.RY[twice], t.user[twice])
    np.testing.assert_allclose(other.std_error, one.std_error, rtol=1e-9)


def arrays(seed: int, n_users: int = 200, each: int = 10):
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), each)
    taste = rng.normal(size=(n_users, 4))
    X = taste[user] + rng.normal(size=(len(user), 4))
    T = (rng.random((len(user), 3)) < 1 / (1 + np.exp(-X[:, :3]))).astype(float)
    Y = X[:, :2] + 0.3 * T[:, :2] + rng.normal(size=(len(user), 2)) + 0.5 * taste[user][:, 2:]
    return X, T, Y, user, user % 4


def test_equals_doubleml_with_the_same_ridge_and_folds():
    from doubleml import DoubleMLData, DoubleMLPLR
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, T, Y, user, folds = arrays(0)
    ours = scan_arrays(X, T, Y, groups=user, folds=folds, penalty=3.0)
    learner = make_pipeline(StandardScaler(), Ridge(alpha=3.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for b, a in ((0, 0), (2, 1)):
            model = DoubleMLPLR(DoubleMLData.from_arrays(X, Y[:, a], T[:, b]), learner, learner, n_folds=4)
            model.set_sample_splitting([[(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(4)]])
            model.fit()
            assert abs(ours.estimate[b, a] - model.coef[0]) < 1e-6 * ours.std_error[b, a]


def test_clustering_by_user_is_wider_where_users_differ():
    rng = np.random.default_rng(4)
    user = np.repeat(np.arange(100), 20)
    RT = np.repeat(rng.normal(size=100), 20)[:, None]
    RY = np.repeat(rng.normal(size=100), 20)[:, None]
    clustered = plain_pair_sums(RT, RY, user).std_error[0, 0]
    as_if_independent = plain_pair_sums(RT, RY, np.arange(2_000)).std_error[0, 0]
    assert clustered > 3 * as_if_independent
