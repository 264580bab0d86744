"""A small model over the hand-made vocabulary, and its answers in the order of moments."""

import numpy as np
import torch

from tests.events.sequences_by_hand import DAY, vocabulary
from whybuy.behavior.examples import Codes, Examples
from whybuy.behavior.model import BehaviorModel
from whybuy.behavior.sizes import TrainingPlan, model_shape
from whybuy.behavior.targets import Heads
from whybuy.behavior.tokens import Entities, SmallFields
from whybuy.behavior.transformer import TrunkShape
from whybuy.events.behaviors import parse_behavior
from whybuy.events.features import FeatureSpec
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import Sequences

BEHAVIORS = tuple(parse_behavior(b) for b in ("view:*", "cart:*", "purchase:*", "purchase:bags"))
TRUNK = TrunkShape(width=16, depth=2, heads=2, dropout=0.0)


def heads(end_ms: int = 60 * DAY) -> Heads:
    spec = FeatureSpec((0, 1, 3, 5), BehaviorIndex.of(BEHAVIORS, vocabulary()), (DAY,))
    return Heads(spec, (2, 3), (7 * DAY,), (DAY, 7 * DAY), end_ms)


def codes() -> Codes:
    return Codes(SmallFields.of(vocabulary()), Entities.of(vocabulary(), n_own=2))


def examples(s: Sequences, *, end_ms: int = 60 * DAY, context: int = 256) -> Examples:
    return Examples.of(s, heads(end_ms), codes(), context=context)


def model(data: Examples, plan: TrainingPlan | None = None, *, seed: int = 0) -> BehaviorModel:
    torch.manual_seed(seed)
    plan = plan or TrainingPlan(trunk=TRUNK)
    net = BehaviorModel(model_shape(data, plan, n_text=0), data.codes.entities)
    torch.nn.init.normal_(net.nuisance.wide.weight)
    torch.nn.init.normal_(net.next.read_wide.weight)  # counts matter, too
    return with_returns(net).eval()


def with_returns(net: BehaviorModel) -> BehaviorModel:
    """Let the recent matter: it starts from not at all."""
    for returning in (net.next.return_to_category, net.next.return_to_item):
        torch.nn.init.normal_(returning.read.weight)
        torch.nn.init.normal_(returning.given_action.weight)
    return net


def outputs(net: BehaviorModel, data: Examples) -> dict[str, np.ndarray]:
    """Every head's answer at every moment."""
    found: dict[str, list[np.ndarray]] = {}
    places = []
    with torch.inference_mode():
        for packed in data.by_length(np.arange(len(data.windows.user))):
            batch, moment = data.batch(packed)
            states = net.states(batch.stream)
            now = net.now(batch.moment.gap, batch.moment.hour)
            before = states[batch.moment.before]
            hidden = net.next.hidden(before, now, net.counts(batch.moment.wide))
            recent = batch.moment.recent_category
            action = torch.full((len(moment),), 5)
            answers = {
                "nuisance": net.judge(batch),
                "gap": net.next.gap(before),
                "action": net.next.action(hidden),
                "category": net.category_logits(hidden, action, recent),
                "forecast": net.forecast(states[batch.moment.after]),
            }
            for name, value in answers.items():
                found.setdefault(name, []).append(value.numpy())
            places.append(moment)
    order = np.argsort(np.concatenate(places))
    assert np.concatenate(places)[order].tolist() == list(range(len(data.moments)))
    return {name: np.concatenate(parts)[order] for name, parts in found.items()}
