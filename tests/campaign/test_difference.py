import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.campaign.experiment.people import band, covered, draw
from whybuy.errors import ArraysError
from whybuy.estimators import adjusted_difference

SHARE_EFFECT = 0.08


def test_without_covariates_it_is_welch():
    p = draw(0, n=90, kind="amount")
    found = adjusted_difference(p.Y, p.T).plain
    welch = stats.ttest_ind(p.Y[p.T > 0], p.Y[p.T < 1], equal_var=False)
    assert found.estimate == pytest.approx(p.Y[p.T > 0].mean() - p.Y[p.T < 1].mean())
    # The last term of the error, of how much effects differ between units, is 0 without covariates.
    assert found.p_value == pytest.approx(welch.pvalue, rel=1e-9)


def test_with_covariates_it_is_lin_s_regression():
    p = draw(1)
    found = adjusted_difference(p.Y, p.T, covariates=p.Z)
    centered = p.Z - p.Z.mean(axis=0)
    A = np.column_stack([np.ones(len(p.Y)), p.T, centered, centered * p.T[:, None]])
    peer = sm.OLS(p.Y, A).fit(cov_type="HC2")
    slopes = peer.params[4:]
    sampling = ((centered @ slopes) ** 2).sum() / len(p.Y) / (len(p.Y) - 1)
    assert found.adjusted.estimate == pytest.approx(peer.params[1], rel=1e-9)
    assert found.adjusted.std_error == pytest.approx(np.sqrt(peer.bse[1] ** 2 + sampling), rel=1e-9)
    assert found.variance_removed > 0.02


def test_clusters_by_hand():
    """Thirty shops of one or two people: the effect is per person, so a shop of two counts twice."""
    shop = np.repeat(np.arange(30), np.tile([1, 2], 15))
    T = (shop < 15).astype(float)
    y = shop % 7 + np.arange(len(shop)) % 3.0
    found = adjusted_difference(y, T, clusters=shop)
    assert found.plain.estimate == pytest.approx(y[T > 0].mean() - y[T < 1].mean())
    variance = 0.0
    for arm in (T > 0, T < 1):
        n, mean = arm.sum(), y[arm].mean()
        for s in np.unique(shop[arm]):
            mine = y[shop == s]
            variance += ((mine - mean).sum() / n) ** 2 / (1 - len(mine) / n)
    assert found.plain.std_error == pytest.approx(np.sqrt(variance))


def test_repeating_the_rows_of_units_does_not_shrink_the_error():
    p = draw(2, n=200)
    user = np.arange(200)
    once = adjusted_difference(p.Y, p.T, covariates=p.Z, clusters=user, strata=p.stratum)
    four = adjusted_difference(
        *(np.repeat(x, 4) for x in (p.Y, p.T)),
        covariates=np.repeat(p.Z, 4, axis=0),
        clusters=np.repeat(user, 4),
        strata=np.repeat(p.stratum, 4),
    )
    assert four.adjusted.std_error == pytest.approx(once.adjusted.std_error)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 50))
def test_scaling_swapping_and_shuffling(seed, scale):
    p = draw(seed, n=120, kind="amount")
    found = adjusted_difference(p.Y, p.T, covariates=p.Z, strata=p.stratum).adjusted
    scaled = adjusted_difference(scale * p.Y, p.T, covariates=p.Z, strata=p.stratum).adjusted
    swapped = adjusted_difference(p.Y, 1 - p.T, covariates=p.Z, strata=p.stratum).adjusted
    order = np.random.default_rng(seed).permutation(len(p.Y))
    mixed = adjusted_difference(p.Y[order], p.T[order], covariates=p.Z[order], strata=p.stratum[order]).adjusted
    assert scaled.std_error == pytest.approx(scale * found.std_error)
    assert swapped.estimate == pytest.approx(-found.estimate)
    assert mixed.estimate == pytest.approx(found.estimate)


def test_strata_too_small_for_a_slope_are_one():
    p = draw(3, n=100)
    each = adjusted_difference(p.Y, p.T, strata=np.arange(100))
    assert each.plain == adjusted_difference(p.Y, p.T).plain


def coverage(seeds: range, **world) -> dict[str, float]:
    truth, held = world.get("effect", 0.0), {"plain": 0, "adjusted": 0, "as if rows": 0}
    for seed in seeds:
        p = draw(seed, **world)
        grouped = {"clusters": p.group} if world.get("n_groups") else {"strata": p.stratum}
        Z = p.Z[:, :1] if world.get("n_groups") else p.Z
        found = adjusted_difference(p.Y, p.T, covariates=Z, **grouped)
        held["plain"] += covered(found.plain, truth)
        held["adjusted"] += covered(found.adjusted, truth)
        held["as if rows"] += covered(adjusted_difference(p.Y, p.T).plain, truth)
    return {name: n / len(seeds) for name, n in held.items()}


@pytest.mark.parametrize(("n", "n_groups"), [(300, 0), (2000, 40)])
def test_coverage(n, n_groups):
    found = coverage(range(100, 400), n=n, n_groups=n_groups, effect=0.0 if n_groups else SHARE_EFFECT)
    low, high = band(0.95, 300)
    assert low <= found["plain"] <= high
    assert low <= found["adjusted"] <= high
    if n_groups:
        assert found["as if rows"] < 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    "world",
    [
        {"n": 400, "effect": SHARE_EFFECT},
        {"n": 400, "effect": SHARE_EFFECT, "share": 0.2},
        {"n": 1200, "kind": "amount"},
        {"n": 3000, "n_groups": 60},
        {"n": 1500, "n_groups": 30},
    ],
    ids=["share", "one in five", "amount", "60 groups", "30 groups"],
)
def test_coverage_over_many_worlds(world):
    found = coverage(range(1000, 3000), **world)
    for name in ("plain", "adjusted"):
        assert 0.935 <= found[name] <= 0.965, found
    if "n_groups" in world:
        assert found["as if rows"] < 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"T": np.ones(60)}, r"Everybody \(60 units\) is treated.*Hold some out"),
        ({"T": np.zeros(60)}, r"Everybody \(60 units\) is a control"),
        ({"T": np.r_[np.ones(3), np.zeros(57)]}, r"One arm has 3 units.*at least 15.*more units"),
        ({"T": np.arange(60)}, "other than 0 and 1.*two arms at a time"),
        (
            {"Y": np.r_[np.full(5, np.nan), np.ones(55)]},
            r"missing or not finite for 5 of 30 treated and 0 of 30 controls",
        ),
        ({"Y": np.ones(59)}, "59 outcomes and 60 of treated"),
        ({"Y": np.array(["x"] * 60)}, "no number"),
        ({"covariates": np.ones((60, 4))}, "4 covariates for 30 units in the smaller arm.*Pass fewer"),
        ({"clusters": np.arange(60) % 30}, "30 of 30 clusters are in two arms"),
        ({"clusters": np.arange(60) // 2, "strata": np.arange(60) % 2}, "A cluster lies in two strata"),
        ({"strata": np.array([None] * 60)}, "strata is missing for 60 rows"),
    ],
)
def test_bad_arrays_are_refused(change, message):
    given = {"Y": np.arange(60.0), "T": np.r_[np.ones(30), np.zeros(30)], **change}
    with pytest.raises(ArraysError, match=f"(?s){message}"):
        adjusted_difference(given.pop("Y"), given.pop("T"), **given)
