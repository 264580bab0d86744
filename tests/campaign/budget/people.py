"""People and offers for the tests of budgets, and the whole integer program beside ours."""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from whybuy.campaign.budget import Offers

COST = np.array([0.1, 0.3, 0.5, 0.8, 1.2])


def draw_values(n: int, seed: int, n_offers: int = 5) -> np.ndarray:
    """Values that differ by person and offer, some of them harmful."""
    rng = np.random.default_rng(seed)
    return rng.gamma(0.7, 1.0, (n, 1)) * rng.uniform(0.2, 1.5, n_offers) + 0.3 * rng.standard_normal((n, n_offers))


def two_channels(n: int, per_person: int = 1, per_channel: dict[str, int] | None = None) -> Offers:
    limits = {"mail": n // 5 + 1, "post": n // 20 + 1, "offer 1": n // 10 + 1}
    channels = ["mail", "mail", "mail", "post", "post"]
    return Offers(cost=COST, channels=channels, at_most=limits, per_person=per_person, per_channel=per_channel or {})


def best_value(values: np.ndarray, offers: Offers, budget: float) -> float:
    """The value of the best plan, by HiGHS on everybody at once."""
    n, K = values.shape
    cost = np.broadcast_to(offers.costs, values.shape)
    rows = [cost.ravel(), *np.tile(offers.members, n), *np.kron(np.eye(n), np.ones(K))]
    room = [budget, *offers.at_most.values(), *[offers.per_person] * n]
    for name, most in offers.per_channel.items():
        rows += [*np.kron(np.eye(n), [float(channel == name) for channel in offers.channels])]
        room += [most] * n
    found = milp(
        -values.astype(float).ravel(),
        constraints=LinearConstraint(np.array(rows), -np.inf, room),
        integrality=np.ones(n * K),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    return -float(found.fun)
