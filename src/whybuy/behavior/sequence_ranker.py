"""The behavior model as a ranker: which item is next, over the whole catalog."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from whybuy.behavior.examples import Codes, Examples, PackedUsers
from whybuy.behavior.model import BehaviorModel
from whybuy.behavior.next_event import Catalog, NextEvents
from whybuy.behavior.rates import start_from_rates
from whybuy.behavior.recent import Recent
from whybuy.behavior.sizes import TrainingPlan, model_shape
from whybuy.behavior.targets import Heads
from whybuy.behavior.tokens import GAP_BINS, Entities, SmallFields, gap_bins, own_items
from whybuy.behavior.train import EpochLoss, Split, Watch, fit
from whybuy.events.features import FeatureSpec
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import Bools, Ints, Sequences, Vocabulary
from whybuy.progress import Report, quiet

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
        shape = model_shape(examples, plan, n_text=0 if text is None else text.shape[1])
        torch.manual_seed(plan.seed)
        model = BehaviorModel(shape, codes.entities, text)
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

    @cached_property
    def _catalog(self) -> Catalog:
        return Catalog(self.model)

    def _states(self, history: Sequences) -> Tensor:
        """(n_users, width): the state after every user's last event."""
        users = PackedUsers.latest(history, self.codes, context=self.context)
        windows = users.windows
        out = torch.zeros(history.n_users, self.model.shape.trunk.width)
        for packed in windows.batches(np.argsort(windows.tokens, kind="stable"), rows=32):
            states = self.model.states(users.stream(packed))
            end = packed.row * packed.shape[1] + packed.column + windows.tokens[packed.chosen] - 1
            out[torch.from_numpy(windows.user[packed.chosen])] = states[torch.from_numpy(end)]
        return out

    def _at(self, state: Tensor, recent: Recent, gap: Ints, ts_ms: Ints) -> Tensor:
        """(n_users, n_items + 1) P(next item) at known times."""
        no_counts = state.new_zeros(len(state), 0)
        hidden = self.model.next.hidden(state, self.model.now(*self.codes.time_rows(gap, ts_ms)), no_counts)
        codes = (torch.from_numpy(code.astype(np.int64)) for code in (recent.item, recent.category))
        return NextEvents(self._catalog, hidden, *codes).items(by_category=False)

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
