"""The stored truth of the demo shop: computed once by :mod:`whybuy.worlds.intervene`, kept beside the equations.

``python -m whybuy.worlds.truth`` computes it anew (about ten minutes on two cores) and must be run when a constant of
:mod:`whybuy.worlds.demo` changes: the file carries a fingerprint of the equations, and a stale one is refused.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from whybuy.errors import ModelError
from whybuy.progress import Report, quiet
from whybuy.worlds import demo as world
from whybuy.worlds.intervene import OUTCOMES, Population, RatioSums, spring_effects

Kind = Literal["cause", "wrong sign", "no cause", "displacement"]
HORIZON = "7d"
PATH = Path(__file__).with_name("demo_truth.json")

PAIRS: dict[tuple[str, str], Kind] = {
    ("view:boots", "purchase:shoes"): "wrong sign",
    ("view:books", "purchase:bags"): "no cause",
    ("favorite:books", "purchase:bags"): "no cause",
    ("favorite:cases", "purchase:bags"): "no cause",
    ("favorite:phones", "purchase:boots"): "no cause",
    ("favorite:books", "purchase:boots"): "no cause",
    ("favorite:cases", "purchase:books"): "no cause",
    ("favorite:phones", "purchase:books"): "no cause",
    ("view:phones", "purchase:cases"): "cause",
    ("purchase:phones", "purchase:cases"): "cause",
    ("purchase:phones", "purchase:phones"): "cause",
    ("purchase:phones", "purchase:bags"): "cause",
    ("purchase:phones", "purchase:shoes"): "cause",
    ("search:boots", "purchase:boots"): "cause",
    ("search:boots", "purchase:shoes"): "cause",
    ("search:boots", "purchase:bags"): "cause",
    ("search:books", "purchase:books"): "cause",
    ("search:books", "purchase:bags"): "cause",
    ("cart:bags", "purchase:bags"): "cause",
    ("cart:bags", "purchase:*"): "cause",
    ("cart:cases", "purchase:cases"): "cause",
    ("cart:cases", "purchase:*"): "cause",
    ("remove:bags", "purchase:bags"): "cause",
    ("view:boots", "purchase:boots"): "cause",
    ("view:boots", "purchase:*"): "cause",
    ("view:phones", "purchase:shoes"): "displacement",
    ("view:phones", "purchase:boots"): "displacement",
    ("favorite:phones", "purchase:cases"): "displacement",
    ("favorite:phones", "purchase:shoes"): "displacement",
    ("search:books", "purchase:cases"): "displacement",
}
"""The pairs with stored truth. ``cause``: a path of arrows leads from the treatment to the outcome; ``wrong sign``: so,
and co-occurrence has the opposite sign; ``displacement``: no arrow, but the usual alternatives have one; ``no cause``:
no arrow, and what is displaced balances out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueEffect:
    """One known effect: change in the chance of the outcome within the horizon, overlap-weighted.

    Attributes
    ----------
    truth : the effect; std_error : of its simulation, clustered by user
    naive : P(outcome | treatment) - P(outcome | another event that is not the outcome), in the same population
    lift : P(outcome | treatment) / P(outcome), in the same population
    """

    treatment: str
    outcome: str
    horizon: str
    truth: float
    std_error: float
    naive: float
    lift: float
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueCampaign:
    """A campaign's known effect on the chance of at least one purchase within the horizon of the assignment.

    Attributes
    ----------
    segment : ``new`` or ``loyal``; ``*`` for all users
    """

    campaign: str
    outcome: str
    horizon: str
    segment: str
    truth: float
    std_error: float


def demo_truth() -> tuple[TrueEffect, ...]:
    """Return the known effects.

    Raises
    ------
    ModelError
        The stored truth belongs to other equations.
    """
    return tuple(TrueEffect(**raw) for raw in _stored()["effects"])


def campaign_truth() -> tuple[TrueCampaign, ...]:
    """Return the known effects of the campaigns.

    Raises
    ------
    ModelError
        The stored truth belongs to other equations.
    """
    return tuple(TrueCampaign(**raw) for raw in _stored()["campaigns"])


@cache
def _stored() -> dict[str, Any]:
    return read_truth(PATH)


def read_truth(path: Path) -> dict[str, Any]:
    """Read a stored truth and check that it belongs to the equations as they are now."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if found["fingerprint"] != fingerprint():
        raise ModelError.of(
            found=f"{path.name} holds the truth of equations {found['fingerprint']}, the world has {fingerprint()}",
            needed="the truth of the equations as they are",
            do="Run `python -m whybuy.worlds.truth`",
        )
    return found


def fingerprint() -> str:
    """Return a short hash of every constant of the equations."""
    constants = {
        name: sorted((str(k), v) for k, v in value.items()) if isinstance(value, dict) else value
        for name, value in vars(world).items()
        if name.isupper() and not name.startswith("_") and not isinstance(value, np.ndarray)
    }
    text = json.dumps(constants, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def compute_truth(
    *, n_chunks: int = 24, users_per_chunk: int = 3_000, draws_per_chunk: int = 14_000, report: Report = quiet
) -> dict[str, Any]:
    """Return the truth as it is stored; ``n_chunks * users_per_chunk`` users are simulated."""
    treatments = sorted({treatment for treatment, _ in PAIRS})
    sums: dict[str, list[RatioSums]] = {treatment: [] for treatment in treatments}
    rates: dict[str, list[Any]] = {treatment: [] for treatment in treatments}
    spring, loyal = [], []
    for chunk, rng in enumerate(np.random.default_rng(20_250_303).spawn(n_chunks)):
        population = Population.draw(users_per_chunk, rng)
        for treatment in treatments:
            sums[treatment].append(population.effects(treatment, draws_per_chunk, rng))
            rates[treatment].append(population.naive(treatment))
        gain, is_loyal = spring_effects(users_per_chunk, rng)
        spring.append(gain)
        loyal.append(is_loyal)
        report("truth", chunk + 1, n_chunks)
    effects = [_effect(pair, RatioSums.together(sums[pair[0]]), np.mean(rates[pair[0]], axis=0)) for pair in PAIRS]
    campaigns = _campaigns(RatioSums.together(spring), np.concatenate(loyal))
    return {
        "fingerprint": fingerprint(),
        "n_users": n_chunks * users_per_chunk,
        "n_decisions_per_treatment": n_chunks * draws_per_chunk,
        "effects": [asdict(effect) for effect in effects],
        "campaigns": [asdict(campaign) for campaign in campaigns],
    }


def _effect(pair: tuple[str, str], sums: RatioSums, rates: Any) -> TrueEffect:
    treatment, outcome = pair
    a = OUTCOMES.index(outcome)
    treated, control, anyone = rates[:, a]
    return TrueEffect(
        treatment=treatment,
        outcome=outcome,
        horizon=HORIZON,
        truth=round(float(sums.effect[a]), 6),
        std_error=round(float(sums.std_error[a]), 6),
        naive=round(float(treated - control), 4),
        lift=round(float(treated / anyone), 3),
        kind=PAIRS[pair],
    )


def _campaigns(spring: RatioSums, loyal: Any) -> list[TrueCampaign]:
    found = []
    for segment, members in (("*", np.ones(len(loyal), bool)), ("new", ~loyal), ("loyal", loyal)):
        part = RatioSums(spring.weighted[members], spring.weight[members])
        found.append(_campaign("spring", segment, float(part.effect[0]), float(part.std_error[0])))
    # Nothing in the equations reads vip: its effect is 0 exactly.
    return [*found, _campaign("vip", "*", 0.0, 0.0)]


def _campaign(campaign: str, segment: str, truth: float, std_error: float) -> TrueCampaign:
    return TrueCampaign(
        campaign=campaign,
        outcome="purchase:*",
        horizon=HORIZON,
        segment=segment,
        truth=round(truth, 6),
        std_error=round(std_error, 6),
    )


def write_truth(path: Path = PATH, *, report: Report = quiet) -> None:
    """Compute the truth and write it to ``path``."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(compute_truth(report=report), indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


if __name__ == "__main__":
    write_truth()
