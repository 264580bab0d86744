"""Looking every day: 95% intervals for one look go wrong, always-valid ones do not."""

import numpy as np
import pytest
from scipy import optimize

from whybuy.campaign.always_valid import FIRST_LOOK, always_valid_factor, always_valid_p


def test_by_hand():
    """With t rho^2 = v the factor is sqrt(2 (v + 1) / v log(sqrt(v + 1) / alpha)), least at the planned end."""
    alpha = 0.05

    def factor(v):
        return np.sqrt(2 * (v + 1) / v * np.log(np.sqrt(v + 1) / alpha))

    best = optimize.minimize_scalar(factor, bounds=(1, 100), method="bounded").x
    assert always_valid_factor(1.0) == pytest.approx(factor(best), rel=1e-6)
    assert always_valid_factor(0.5) == pytest.approx(factor(best / 2), rel=1e-4)
    assert always_valid_factor(1.0) == pytest.approx(3.03, abs=0.01)


@pytest.mark.parametrize("fraction", [0.05, 0.5, 1.0, 1.5])
def test_p_is_05_where_the_interval_touches_0(fraction):
    z = always_valid_factor(fraction)
    assert always_valid_p(z, fraction) == pytest.approx(0.05)
    assert always_valid_p(0.0, fraction) == 1.0


def peeked(n_worlds: int, seed: int, *, kind: str, n: int = 5000) -> dict[str, float]:
    """Return how often a look after every unit calls nothing something, in experiments of pairs."""
    rng = np.random.default_rng(seed)
    wrong = {"always valid": 0, "for one look": 0, "at the end": 0}
    for _ in range(n_worlds):
        y = (rng.random((2, n)) < 0.1).astype(float) if kind == "share" else np.exp(rng.normal(size=(2, n)))
        k = np.arange(1, n + 1)
        mean = y.cumsum(axis=1) / k
        variance = ((y**2).cumsum(axis=1) / k - mean**2) / (k - 1).clip(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.abs(mean[0] - mean[1]) / np.sqrt(variance.sum(axis=0))
        z, fraction = z[FIRST_LOOK - 1 :], k[FIRST_LOOK - 1 :] / n
        limit = _factors(fraction)
        wrong["always valid"] += (z > limit).any()
        wrong["for one look"] += (z > 1.96).any()
        wrong["at the end"] += z[-1] > 1.96
    return {name: count / n_worlds for name, count in wrong.items()}


def _factors(fraction: np.ndarray) -> np.ndarray:
    v = fraction * optimize.brentq(lambda v: np.log((v + 1) / 0.05**2) - v, 1, 100)
    found = np.sqrt(2 * (v + 1) / v * np.log(np.sqrt(v + 1) / 0.05))
    assert found[::500] == pytest.approx([always_valid_factor(f) for f in fraction[::500]], rel=1e-6)
    return found


@pytest.mark.parametrize("kind", ["share", "amount"])
def test_looking_after_everybody(kind):
    found = peeked(400, 100, kind=kind)
    assert found["always valid"] <= 0.05
    assert found["for one look"] > 0.3
    assert found["at the end"] < 0.09


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["share", "amount"])
def test_looking_after_everybody_in_many_worlds(kind):
    found = peeked(4000, 101, kind=kind)
    assert found["always valid"] <= 0.05
    assert found["for one look"] > 0.3
    assert 0.04 < found["at the end"] < 0.06
