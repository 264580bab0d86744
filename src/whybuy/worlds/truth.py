"""The stored truth of the worlds: computed once by :mod:`whybuy.worlds.intervene`, kept beside the equations.

``python -m whybuy.worlds NAME`` computes it anew (some ten minutes) and must be run when a constant of the
world's equations changes: the file carries a fingerprint of the equations, and a stale one is refused.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from whybuy.errors import ModelError
from whybuy.progress import Report, quiet
from whybuy.worlds.chain import Equations, Kind
from whybuy.worlds.demo_equations import DEMO
from whybuy.worlds.intervene import Population, RatioSums

HORIZON = "7d"
FOLDER = Path(__file__).parent
CampaignSums = Callable[[int, np.random.Generator], dict[tuple[str, str], RatioSums]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueEffect:
    """One known effect: change in the chance of the outcome within the horizon, overlap-weighted.

    Attributes
    ----------
    truth : the effect; std_error : of its simulation, clustered by user
    naive : P(outcome | treatment) - P(outcome | another event that is not the outcome), in the same population
    lift : P(outcome | treatment) / P(outcome), in the same population
    kind : ``cause``: a path of arrows leads from the treatment to the outcome; ``wrong sign``: so, and co-occurrence
        has the opposite sign; ``displacement``: no arrow, but the usual alternatives have one; ``no cause``: no arrow,
        and what is displaced balances out
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
    """Return the known effects of the demo shop.

    Raises
    ------
    ModelError
        The stored truth belongs to other equations.
    """
    return stored_effects(DEMO)


def campaign_truth() -> tuple[TrueCampaign, ...]:
    """Return the known effects of the demo shop's campaigns.

    Raises
    ------
    ModelError
        The stored truth belongs to other equations.
    """
    return tuple(TrueCampaign(**raw) for raw in read_truth(DEMO)["campaigns"])


def stored_effects(equations: Equations) -> tuple[TrueEffect, ...]:
    """Return the known effects of a world.

    Raises
    ------
    ModelError
        The stored truth belongs to other equations.
    """
    return tuple(TrueEffect(**raw) for raw in read_truth(equations)["effects"])


def truth_path(equations: Equations) -> Path:
    """Return where a world's truth is stored."""
    return FOLDER / f"{equations.name}_truth.json"


def read_truth(equations: Equations, path: Path | None = None) -> dict[str, Any]:
    """Read a stored truth and check that it belongs to the equations as they are now."""
    path = path or truth_path(equations)
    found = _parsed(path)
    now = fingerprint(equations.constants)
    if found["fingerprint"] != now:
        raise ModelError.of(
            found=f"{path.name} holds the truth of equations {found['fingerprint']}, the world has {now}",
            needed="the truth of the equations as they are",
            do=f"Run `python -m whybuy.worlds {equations.name}`",
        )
    return found


@cache
def _parsed(path: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return parsed


def fingerprint(equations: ModuleType) -> str:
    """Return a short hash of every constant of the module that holds the equations."""
    constants = {
        name: sorted((str(k), v) for k, v in value.items()) if isinstance(value, dict) else value
        for name, value in vars(equations).items()
        if name.isupper() and not name.startswith("_") and not isinstance(value, np.ndarray)
    }
    text = json.dumps(constants, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is simulated: ``n_chunks * users_per_chunk`` users, so many decisions per treatment in each chunk."""

    n_chunks: int = 24
    users_per_chunk: int = 3_000
    draws_per_chunk: int = 14_000


def compute_truth(
    equations: Equations, campaigns: CampaignSums | None = None, *, effort: Effort | None = None, report: Report = quiet
) -> dict[str, Any]:
    """Return the truth as it is stored; ``campaigns`` simulates the effects of the world's campaigns."""
    effort = effort or Effort()
    treatments = sorted({treatment for treatment, _ in equations.pairs})
    sums: dict[str, list[RatioSums]] = defaultdict(list)
    rates: dict[str, list[Any]] = defaultdict(list)
    sent: dict[tuple[str, str], list[RatioSums]] = defaultdict(list)
    for chunk, rng in enumerate(np.random.default_rng(20_250_303).spawn(effort.n_chunks)):
        population = Population.draw(equations, effort.users_per_chunk, rng)
        for treatment in treatments:
            sums[treatment].append(population.effects(treatment, effort.draws_per_chunk, rng))
            rates[treatment].append(population.naive(treatment))
        for key, part in campaigns(effort.users_per_chunk, rng).items() if campaigns else ():
            sent[key].append(part)
        report("truth", chunk + 1, effort.n_chunks)
    effects = [
        _effect(equations, pair, RatioSums.together(sums[pair[0]]), np.mean(rates[pair[0]], axis=0))
        for pair in equations.pairs
    ]
    return {
        "fingerprint": fingerprint(equations.constants),
        "n_users": effort.n_chunks * effort.users_per_chunk,
        "n_decisions_per_treatment": effort.n_chunks * effort.draws_per_chunk,
        "effects": [asdict(effect) for effect in effects],
        "campaigns": [asdict(_campaign(*key, RatioSums.together(parts))) for key, parts in sent.items()],
    }


def _effect(equations: Equations, pair: tuple[str, str], sums: RatioSums, rates: Any) -> TrueEffect:
    treatment, outcome = pair
    a = equations.outcomes.index(outcome)
    treated, control, anyone = rates[:, a]
    return TrueEffect(
        treatment=treatment,
        outcome=outcome,
        horizon=HORIZON,
        truth=round(float(sums.effect[a]), 6),
        std_error=round(float(sums.std_error[a]), 6),
        naive=round(float(treated - control), 4),
        lift=round(float(treated / anyone), 3),
        kind=equations.pairs[pair],
    )


def _campaign(campaign: str, segment: str, sums: RatioSums) -> TrueCampaign:
    return TrueCampaign(
        campaign=campaign,
        outcome="purchase:*",
        horizon=HORIZON,
        segment=segment,
        truth=round(float(sums.effect[0]), 6),
        std_error=round(float(sums.std_error[0]), 6),
    )


def write_truth(equations: Equations, campaigns: CampaignSums | None = None, *, effort: Effort) -> None:
    """Compute the truth of a world and store it."""
    path = truth_path(equations)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(compute_truth(equations, campaigns, effort=effort), indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)
