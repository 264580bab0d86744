"""What if this person did that now: the model's answer for one person.

Two answers of the same model are set side by side. The *heads* read the forced event and say the chance of the
outcome within the horizon; the *rollouts* sample what would follow, event by event, and count. Both compare the
behavior with this person's usual alternatives: any other event now that is not the outcome itself, as the trials do.
Where the two agree the model is at least of one mind. Neither is a causal effect: what moved people to do the thing in
the log moves the model too, and only the effects' doubly robust estimates take that away.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from whybuy.behavior.examples import PackedUsers
from whybuy.behavior.folds import folds_of_users
from whybuy.behavior.rollout import Person, Simulator
from whybuy.behavior.twins import TwinModels
from whybuy.config import duration_text
from whybuy.errors import QuestionError, nearest
from whybuy.events.behaviors import Behavior, category_within
from whybuy.events.sequences import Sequences

N_FUTURES = 400


@dataclass(frozen=True)
class Arm:
    """The chance of the outcome in one arm.

    Attributes
    ----------
    heads : mean over the forced events of what the forecast head says
    rollouts, rollouts_low, rollouts_high : share of the sampled futures, with a 95% Wilson interval of the sampling
    """

    heads: float
    rollouts: float
    rollouts_low: float
    rollouts_high: float


@dataclass(frozen=True)
class WhatIf:
    """The answer for one person.

    Attributes
    ----------
    with_do, without : the two arms
    difference_heads, difference_rollouts : of the arms
    agreement : |difference by heads - difference by rollouts|
    agrees : whether that is within what sampling the futures explains (95%)
    n_futures : sampled per arm
    n_history : events of the person that were read
    """

    user_id: str
    do: str
    outcome: str
    horizon: str
    with_do: Arm
    without: Arm
    difference_heads: float
    difference_rollouts: float
    agreement: float
    agrees: bool
    n_futures: int
    n_history: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {**asdict(self), "basis": "model", "note": NOTE}

    def to_frame(self) -> pd.DataFrame:
        """Return a row per arm."""
        return pd.DataFrame([{"arm": "with", **asdict(self.with_do)}, {"arm": "without", **asdict(self.without)}])

    def summary(self) -> str:
        """Return the answer in words."""
        word = "agree" if self.agrees else "do not agree: rely on neither"
        return (
            f"{self.outcome} within {self.horizon} after {self.do} now: {self.with_do.heads:.1%}, after this person's "
            f"usual alternatives {self.without.heads:.1%}: {100 * self.difference_heads:+.1f} points by the heads, "
            f"{100 * self.difference_rollouts:+.1f} by {self.n_futures} sampled futures; the two {word}.\n{NOTE}"
        )


NOTE = "This is what the model expects, not a causal effect: see `whybuy effects` for those."


@dataclass(frozen=True)
class Intervention:
    """What is asked of one person: do ``do`` at ``now_ms``, does ``outcome`` follow within ``horizon_ms``."""

    do: Behavior
    outcome: Behavior
    horizon_ms: int
    now_ms: int


def what_if(twins: TwinModels, history: Sequences, asked: Intervention, *, seed: int) -> WhatIf:
    """Return the chance of the outcome with and without the behavior.

    Parameters
    ----------
    history : one user's events, none after ``asked.now_ms``; the twin that was not trained on the user answers

    Raises
    ------
    QuestionError
        The model has no head for the outcome or the horizon, or the log has no usual alternative.
    """
    do, outcome, until_ms = asked.do, asked.outcome, asked.now_ms + asked.horizon_ms
    _require_simulable(twins, do)
    column = _forecast_column(twins, outcome, asked.horizon_ms)
    model = twins.models[int(folds_of_users(history.user_ids).twin[0])]
    random = torch.Generator().manual_seed(seed)
    simulator = Simulator(model, twins.codes, twins.heads.spec, twins.item_price, random)
    user = PackedUsers.latest(history, twins.codes, context=twins.context)
    ts = np.full(N_FUTURES, asked.now_ms)
    arms: list[tuple[Arm, Tensor]] = []
    with torch.inference_mode():
        person = simulator.read(user, N_FUTURES)
        following = simulator.now(person, ts)
        forced, other = simulator.of_behavior(following, ts, do), simulator.others(following, ts, (do, outcome))
        if other is None:
            raise QuestionError.of(
                found=f"This person hardly ever does anything but {do} or {outcome} at such a moment",
                needed="a usual alternative to compare with",
                do="Ask about a narrower behavior, as one category of it",
            )
        for event in (forced, other):
            after = simulator.append(person, event)
            arms.append(_arm(simulator, after, outcome, until_ms=until_ms, column=column))
    (with_do, met), (without, met_without) = arms
    by_heads, by_rollouts = with_do.heads - without.heads, with_do.rollouts - without.rollouts
    error = float(torch.sqrt((met.var() + met_without.var()) / N_FUTURES))
    return WhatIf(
        user_id=str(history.user_ids[0]),
        do=str(do),
        outcome=str(outcome),
        horizon=duration_text(asked.horizon_ms),
        with_do=with_do,
        without=without,
        difference_heads=by_heads,
        difference_rollouts=by_rollouts,
        agreement=abs(by_heads - by_rollouts),
        agrees=abs(by_heads - by_rollouts) <= 1.96 * error,
        n_futures=N_FUTURES,
        n_history=history.n_events,
    )


def _arm(simulator: Simulator, after: Person, outcome: Behavior, *, until_ms: int, column: int) -> tuple[Arm, Tensor]:
    head = simulator.model.forecast
    assert head is not None
    heads = float(head.expected(head(after.state))[0][:, column].mean())
    met = simulator.happens(after, outcome, until_ms).float()
    low, high = _wilson(float(met.mean()), len(met))
    return Arm(heads, float(met.mean()), low, high), met


def _require_simulable(twins: TwinModels, do: Behavior) -> None:
    vocabulary = twins.heads.index.vocabulary
    names = {"any": ["*"], "category": vocabulary.categories, "item": [str(item) for item in vocabulary.items]}
    has = {
        "any": True,
        "category": any(category_within(path, do.target) for path in vocabulary.categories),
        "item": bool((vocabulary.items == do.target).any()),
    }
    if not has.get(do.kind, False):
        what = "is not in the log" if do.kind in has else f"is a behavior of a {do.kind}"
        near = nearest(do.target, names.get(do.kind, []))
        raise QuestionError.of(
            found=f"{do} {what}",
            needed="an action on *, a category or an item of the log",
            do=f"Did you mean {replace(do, target=near)}?" if near else "Write view:*, view:CATEGORY or view:item=ID",
        )


def _forecast_column(twins: TwinModels, outcome: Behavior, horizon_ms: int) -> int:
    heads = twins.heads
    outcomes = [heads.index.behaviors[a] for a in heads.outcomes]
    if not outcomes:
        raise QuestionError.of(
            found="The model has no outcomes: nothing in this log happens often enough to be foretold",
            needed="an outcome with 50 events by 20 users",
            do="Bring a longer log",
        )
    if outcome not in outcomes:
        raise QuestionError.of(
            found=f"The model has no head for {outcome}",
            needed=f"one of {', '.join(map(str, outcomes[:12]))}",
            do=f"{_did_you_mean(outcome, outcomes)}Name one of these, or add it to [causal] outcomes and categories in "
            "whybuy.toml and train again",
        )
    if horizon_ms not in heads.forecasts_ms:
        raise QuestionError.of(
            found=f"The model does not forecast {duration_text(horizon_ms)} ahead",
            needed=f"one of {', '.join(duration_text(h) for h in heads.forecasts_ms)}",
            do="Name one of these, or add it to `horizons` in whybuy.toml and train again",
        )
    return heads.forecasts_ms.index(horizon_ms) * len(outcomes) + outcomes.index(outcome)


def _did_you_mean(behavior: Behavior, known: list[Behavior]) -> str:
    near = nearest(str(behavior), [str(other) for other in known])
    return "" if near is None else f"Did you mean {near}? "


def _wilson(p: float, n: int) -> tuple[float, float]:
    """95% interval of a share (Wilson, 1927)."""
    z2 = 1.96**2
    center, half = (p + z2 / (2 * n)) / (1 + z2 / n), 1.96 * np.sqrt(p * (1 - p) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return float(max(0.0, center - half)), float(min(1.0, center + half))
