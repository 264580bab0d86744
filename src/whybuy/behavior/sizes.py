"""Sizes of the behavior model as recipes, and what is trained how long."""

from dataclasses import dataclass, field

from whybuy.behavior.examples import Examples
from whybuy.behavior.model import ModelShape
from whybuy.behavior.transformer import TrunkShape

_STEPS_OF_A_PASS, _TOKENS_OF_A_STEP = 40, 4_096


@dataclass(frozen=True)
class Weights:
    """What a nat of each loss counts in the sum that is minimized."""

    propensity: float = 1.0
    outcome: float = 1.0
    outcome_anywhere: float = 0.3
    forecast: float = 0.3
    amount: float = 0.02
    gap: float = 0.1
    action: float = 0.3
    category: float = 0.1
    item: float = 0.1


@dataclass(frozen=True)
class TrainingPlan:
    """How much is trained, and how.

    Attributes
    ----------
    trunk : sizes of the Transformer
    context : tokens that one state can look back on
    rows : packed rows of one step, all processes together
    accumulate : parts that a step's rows are read in, one after another, where they do not fit at once
    epochs : passes over the training users
    learning_rate : peak of the schedule
    patience : passes without a better held-out loss after which training stops
    weights : of the losses
    judged_by : the losses whose held-out sum chooses the pass that is kept
    negatives : items sampled per step; None for the whole catalog
    """

    trunk: TrunkShape = field(default_factory=TrunkShape)
    context: int = 256
    rows: int = 16
    accumulate: int = 1
    epochs: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    patience: int = 3
    seed: int = 7
    weights: Weights = field(default_factory=Weights)
    judged_by: tuple[str, ...] = ("propensity", "outcome")
    negatives: int | None = None


def rows_of_a_step(n_events: int, length: int) -> int:
    """Return how many packed rows of ``length`` a step should read.

    A pass of a small log takes small steps, so that it is of dozens all the same; no step is larger than 4,096 tokens.
    """
    most = max(2, _TOKENS_OF_A_STEP // length)
    return max(2, min(most, n_events // (_STEPS_OF_A_PASS * length)))


def model_shape(examples: Examples, plan: TrainingPlan, *, n_text: int) -> ModelShape:
    """Return the shape of a model of these examples."""
    heads, entities = examples.heads, examples.codes.entities
    return ModelShape(
        n_small=examples.codes.fields.n_rows,
        n_entity_rows=entities.n_rows,
        n_items=entities.n_items,
        n_categories=entities.n_categories,
        n_behaviors=heads.n_behaviors,
        n_outcomes=heads.n_outcomes,
        n_wide=examples.wide.shape[1],
        n_forecasts=heads.n_forecasts,
        n_horizons=len(heads.forecasts_ms),
        n_text=n_text,
        trunk=plan.trunk,
    )


@dataclass(frozen=True)
class Recipe:
    """A size by name."""

    trunk: TrunkShape
    context: int
    learning_rate: float


RECIPES = {
    "tiny": Recipe(TrunkShape(width=64, depth=2, heads=4), 256, 3e-3),
    "small": Recipe(TrunkShape(width=128, depth=4, heads=4), 256, 2e-3),
    "base": Recipe(TrunkShape(width=384, depth=8, heads=6), 512, 1e-3),
    "large": Recipe(TrunkShape(width=1024, depth=16, heads=16), 1024, 4e-4),
    "xl": Recipe(TrunkShape(width=2048, depth=20, heads=16), 1024, 2e-4),
}
"""About 0.1 million, 0.8 million, 14 million, 200 million and 1 billion parameters beside the embeddings."""
