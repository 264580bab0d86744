"""The effect of a group of trials: equal to the whole's estimator, to a plain loop, and honest about its grounds."""

import numpy as np
import pytest

from tests.causal.checks.simulated import World, trials, whole
from whybuy.causal.checks import effect_among
from whybuy.causal.checks.pair import difference
from whybuy.causal.confirm import clustered_ato


@pytest.mark.parametrize("n_users", [60, 400])  # few users get the jackknife
def test_the_group_of_all_trials_is_the_whole(n_users):
    data, _ = trials(0, World(), n_users=n_users)
    estimate, se, effective = clustered_ato(data)
    assert (effective < 100) == (n_users == 60)
    assert whole(data).estimate == pytest.approx(estimate, rel=1e-12)
    assert whole(data).std_error == pytest.approx(se, rel=1e-12)


def test_a_group_equals_a_plain_loop():
    data, _ = trials(1, World())
    rows = data.user % 2 == 0
    N, D = {}, {}
    for i in np.flatnonzero(rows):
        u, rt = data.user[i], data.T[i] - data.e[i]
        N[u] = N.get(u, 0) + rt * (data.Y[i] - data.m[i])
        D[u] = D.get(u, 0) + rt**2
    theta, U = sum(N.values()) / sum(D.values()), len(N)
    se = (U / (U - 1) * sum((N[u] - theta * D[u]) ** 2 for u in N)) ** 0.5 / sum(D.values())
    found = effect_among(data, rows)
    assert (found.estimate, found.std_error) == (pytest.approx(theta, rel=1e-10), pytest.approx(se, rel=1e-10))


def test_a_group_without_grounds_has_no_number():
    data, _ = trials(2, World())
    found = effect_among(data, data.user < 15).to_json()
    assert found["estimate"] is None
    assert "15 users had the outcome after the behavior; 20 are needed" in found["why"]


def test_the_difference_of_groups_counts_what_users_share():
    # Every user is in both groups with the same residuals: the groups do not differ, and there is no error either.
    data, _ = trials(3, World(), each=15)
    twice = type(data)(*(np.repeat(v, 2) for v in (data.T, data.Y, data.e, data.m, data.user)))
    first = np.arange(len(twice.T)) % 2 == 0
    one, other = effect_among(twice, first), effect_among(twice, ~first)
    assert one.estimate == pytest.approx(other.estimate)
    assert difference(one, other) is None
    apart, p = difference(effect_among(data, data.user % 2 == 0), effect_among(data, data.user % 2 == 1))
    assert abs(apart) < 0.05
    assert p > 0.01
