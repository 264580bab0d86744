"""The behavior model as a ranker: which item is next, over the whole catalog."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from whybuy.behavior.examples import Codes, Examples, PackedUsers
from whybuy.behavior.model import BehaviorModel, ModelShape
from whybuy.behavior.next_event import NextEvents
from whybuy.behavior.packing import Windows
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.recent import Recent
from whybuy.behavior.sizes import TrainingPlan
from whybuy.behavior.targets import Heads
from whybuy.behavior.tokens import GAP_BINS, HOURS_OF_WEEK, Entities, SmallFields, Tokens, gap_bins, own_items
from whybuy.behavior.train import EpochLoss, Split, Watch, fit
from whybuy.events.features import FeatureSpec
from whybuy.events.moments import BehaviorIndex, Moments
from whybuy.events.sequences import Bools, Ints, Sequences, Vocabulary
from whybuy.progress import Report, quiet

_HOUR_MS = 3_600_000
_LEAST_GAP = 1e-3


@dataclass(frozen=True)
class SequenceRanker:
    """A trained model that scores the catalog for users.

    Attributes
    ----------
    model : in evaluation
    codes : embedding rows of the log's values
    context : tokens that are looked back on
    knows_time : whether the time of the event asked about is given; else it is integrated over the gap's distribution
    """

    model: BehaviorModel
    codes: Codes
    context: int
    knows_time: bool = True

    @classmethod
    def trained(
        cls,
        train: Sequences,
        vocabulary: Vocabulary,
        plan: TrainingPlan,
        *,
        held_out: Bools | None = None,
        text: Tensor | None = None,
        report: Report = quiet,
    ) -> tuple["SequenceRanker", list[EpochLoss]]:
        """Train a model of the next event on ``train``.

        Parameters
        ----------
        held_out : (n_users,) users kept back to choose the pass; None trains on all and keeps the last pass
        text : (n_texts, channels) sentence embeddings of the log's texts
        """
        events = np.bincount(np.asarray(train.item)[np.asarray(train.item) >= 0], minlength=len(vocabulary.items))
        # Items are coded commonest first over the whole log; the rows of their own go by what may be learned from.
        codes = Codes(SmallFields.of(vocabulary), Entities.of(vocabulary, n_own=own_items(np.sort(events)[::-1])))
        examples = Examples.of(train, next_event_heads(vocabulary), codes, context=plan.context)
        entities = codes.entities
        shape = ModelShape(
            n_small=codes.fields.n_rows,
            n_entity_rows=entities.n_rows,
            n_items=entities.n_items,
            n_categories=entities.n_categories,
            n_behaviors=0,
            n_outcomes=0,
            n_wide=examples.wide.shape[1],
            n_forecasts=0,
            n_horizons=0,
            n_text=0 if text is None else text.shape[1],
            trunk=plan.trunk,
        )
        torch.manual_seed(plan.seed)
        model = BehaviorModel(shape, entities, text)
        kept_back = held_out if held_out is not None else np.zeros(train.n_users, bool)
        start_from_rates(model, [examples], [~kept_back])
        plan = replace(plan, judged_by=("action", "category", "item"))
        losses = fit(model, [examples], plan, Split([~kept_back], [kept_back]), watch=Watch(report, task="next event"))
        return cls(model, codes, plan.context), losses

    def score(self, history: Sequences, ts_ms: Ints) -> npt.NDArray[np.float32]:
        """Return (n_users, n_items) log P(the next item) at ``ts_ms``."""
        with torch.inference_mode():
            state, recent = self._states(history), Recent.at_the_end(history)
            last = np.asarray(history.ts_ms)[np.asarray(history.offsets[1:]) - 1]
            if self.knows_time:
                p = self._at(state, recent, gap_bins(np.asarray(ts_ms) - last), np.asarray(ts_ms))
            else:
                p = self._over_gaps(state, recent, last)
        return torch.log(p[:, :-1]).numpy()

    def _states(self, history: Sequences) -> Tensor:
        """(n_users, width): the state after every user's last event."""
        moments = Moments.of(history, reach_ms=1)
        tokens = Tokens.of(history, moments, self.codes.fields, self.codes.entities)
        lengths = np.diff(history.offsets)
        windows = Windows.latest(history.offsets, min(self.context, int(lengths.max()) + 1))
        users = PackedUsers(history, moments, tokens, windows, self.codes)
        out = torch.zeros(history.n_users, self.model.shape.trunk.width)
        for packed in windows.batches(np.argsort(windows.tokens, kind="stable"), rows=32):
            states = self.model.states(users.stream(packed))
            end = packed.row * packed.shape[1] + packed.column + windows.tokens[packed.chosen] - 1
            out[torch.from_numpy(windows.user[packed.chosen])] = states[torch.from_numpy(end)]
        return out

    def _at(self, state: Tensor, recent: Recent, gap: Ints, ts_ms: Ints) -> Tensor:
        """(n_users, n_items + 1) P(next item) at known times."""
        fields = self.codes.fields
        hour = 1 + (ts_ms // _HOUR_MS) % HOURS_OF_WEEK
        levels = (("gap", gap), ("hour", hour))
        rows = (torch.from_numpy(fields.rows(name, level).astype(np.int64)) for name, level in levels)
        hidden = self.model.next.hidden(state, self.model.now(*rows))
        codes = (torch.from_numpy(code.astype(np.int64)) for code in (recent.item, recent.category))
        return NextEvents(self.model, hidden, *codes).items(by_category=False)

    def _over_gaps(self, state: Tensor, recent: Recent, last_ms: Ints) -> Tensor:
        p_gap = torch.softmax(self.model.next.gap(state), dim=-1)
        total = torch.zeros(len(state), self.model.shape.n_items + 1)
        for gap in range(1, GAP_BINS):
            if float(p_gap[:, gap].max()) > _LEAST_GAP:
                typical_ms = int(1000 * (2 ** ((gap - 0.5) / 1.25) - 1))
                known = self._at(state, recent, np.full(len(state), gap), last_ms + typical_ms)
                total += p_gap[:, [gap]] * known
        return total


def next_event_heads(vocabulary: Vocabulary) -> Heads:
    """Return the heads of a model that only knows the next event."""
    return Heads(FeatureSpec((), BehaviorIndex.of((), vocabulary), ()), (), (), (), 0)
