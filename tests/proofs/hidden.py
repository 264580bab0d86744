"""Whole runs of shops whose users hide a wish: what is said of a pair that the wish alone ties together."""

from pathlib import Path

import pandas as pd

from whybuy.causal.checks import failures
from whybuy.config import load_config
from whybuy.pipeline import Pipeline
from whybuy.workspace import Workspace
from whybuy.worlds.registry import World

STRENGTHS = {"weak": (0.3, False), "with a trace": (1.0, True), "without a trace": (1.0, False)}
"""Log odds per standard deviation of the wish, and whether it drives an outcome that is named as a negative control."""


def answers_under_a_wish(world: World, seed: int, kind: str, folder: Path) -> pd.DataFrame:
    """Return what `whybuy` says of every pair without cause, one row each; ``is_wished`` marks the pair of the wish."""
    strength, trace = STRENGTHS[kind]
    shop = world.draw(seed, hidden=strength, trace=trace)
    truths = world.truth(hidden=strength)
    config = load_config(world.write(shop, folder))
    update = {"confirm": [(t.treatment, t.outcome) for t in truths], "confirm_behaviors": 1}
    if trace:
        update["negative_controls"] = [world.wish.trace]
    config = config.model_copy(update={"causal": config.causal.model_copy(update=update)})
    pipeline = Pipeline(config, Workspace(folder / "workspace"))
    pipeline.run("confirm")
    found = {(e.treatment, e.outcome): e for e in pipeline.effects()}
    rows = []
    for truth in truths:
        effect = found[truth.treatment, truth.outcome]
        rows.append(
            {
                "world": world.name,
                "seed": seed,
                "wish": kind,
                "treatment": truth.treatment,
                "outcome": truth.outcome,
                "is_wished": (truth.treatment, truth.outcome) == (world.wish.treatment, world.wish.outcome),
                "estimate": effect.effect.estimate,
                "std_error": effect.effect.std_error,
                "verdict": effect.verdict,
                "failed": "; ".join(failures(effect)),
            }
        )
    return pd.DataFrame(rows)
