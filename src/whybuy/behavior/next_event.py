"""The next event's distribution, factorized and normalized: P(action | time) P(category | action) P(item | category).

The item's factor is the item scores' softmax within its category, so that the products over all actions, categories
and items (and "none" of them) sum to one and P(this event is behavior b) exists for every behavior of the grammar.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from whybuy.behavior.baselines.events import EventLoss
from whybuy.behavior.batch import Moment
from whybuy.behavior.examples import Examples
from whybuy.behavior.model import BehaviorModel
from whybuy.columns import ACTIONS
from whybuy.events.moments import BehaviorIndex, ranges
from whybuy.events.sequences import Bools

_LEAST_ACTION = 1e-5


@dataclass(frozen=True)
class Catalog:
    """What categories and items are scored with: computed once, for however many moments are asked about.

    Attributes
    ----------
    model : in evaluation; its weights stay as they are
    """

    model: BehaviorModel

    @cached_property
    def categories(self) -> Tensor:
        """(n_categories + 1, width), "none" last."""
        return self.model.category_vectors()

    @cached_property
    def items(self) -> Tensor:
        """(n_items + 1, width), "none" last."""
        return self.model.item_vectors()


@dataclass(frozen=True)
class NextEvents:
    """The next event of n moments.

    Attributes
    ----------
    catalog : of the model that is asked
    hidden : (n, 2 width) what the head has read
    recent_item, recent_category : (n, N_RECENT) codes, -1 where there are fewer
    """

    catalog: Catalog
    hidden: Tensor
    recent_item: Tensor
    recent_category: Tensor

    @classmethod
    def of_moments(cls, catalog: Catalog, states: Tensor, at: Moment) -> "NextEvents":
        """Read what is known before moments of a batch; ``states`` as :meth:`BehaviorModel.states` gives them."""
        model = catalog.model
        now = model.now(at.gap, at.hour)
        hidden = model.next.hidden(states.index_select(0, at.before), now, model.counts(at.wide))
        return cls(catalog, hidden, at.recent_item, at.recent_category)

    @property
    def model(self) -> BehaviorModel:
        """The model that is asked."""
        return self.catalog.model

    def actions(self) -> Tensor:
        """Return (n, n_actions) P(action)."""
        return torch.softmax(self.model.next.action(self.hidden), dim=-1)

    def categories(self, action: int) -> Tensor:
        """Return (n, n_categories + 1) P(category | action); "none" is last."""
        return self._categories_of(self.hidden, self._action(action), self.recent_category)

    def actions_and_categories(self) -> Tensor:
        """Return (n, n_actions, n_categories + 1) P(action, category)."""
        every_action = torch.arange(len(ACTIONS))[None]
        p_category = self._categories_of(self.hidden[:, None], every_action, self.recent_category[:, None])
        return self.actions()[:, :, None] * p_category

    def items(self, actions: tuple[int, ...] | None = None, *, by_category: bool = True) -> Tensor:
        """Return (n, n_items + 1) P(item); "none" is last.

        Parameters
        ----------
        actions : of events of these actions only, where given
        by_category : P(category) P(item | category); else the item scores' softmax over the whole catalog, which knows
            nothing of the category's head
        """
        p_action = self.actions()
        if actions is not None:
            wanted = torch.zeros(p_action.shape[1]).index_fill_(0, torch.tensor(actions), 1.0)
            p_action = p_action * wanted
            p_action = p_action / p_action.sum(1, keepdim=True)
        total = torch.zeros(len(self.hidden), self.model.shape.n_items + 1)
        for action in range(len(ACTIONS)):
            if float(p_action[:, action].max()) > _LEAST_ACTION:
                total += p_action[:, [action]] * self._items_of(action, by_category=by_category)
        return total

    def item_scores(self, action: Tensor) -> Tensor:
        """Return (n, n_items + 1) unnormalized log P(item) of events of known actions (n,)."""
        return self.model.item_logits(self.hidden, action, self.recent_item, self.catalog.items)

    def behaviors(self, index: BehaviorIndex) -> Tensor:
        """Return (n, n_behaviors): P(the next event is the behavior), for kinds that action and category tell."""
        p_action = self.actions()
        table = torch.from_numpy(index.table.astype(np.float32))
        total = torch.zeros(len(self.hidden), table.shape[2])
        for action in range(len(ACTIONS)):
            if table[action].any():
                total += p_action[:, [action]] * (self.categories(action) @ table[action])
        return total

    def _action(self, action: int) -> Tensor:
        return torch.full((len(self.hidden),), action)

    def _categories_of(self, hidden: Tensor, action: Tensor, recent: Tensor) -> Tensor:
        """(..., n_categories + 1) P(category | action), of arguments as :meth:`BehaviorModel.category_logits` takes."""
        return torch.softmax(self.model.category_logits(hidden, action, recent, self.catalog.categories), dim=-1)

    def _items_of(self, action: int, *, by_category: bool) -> Tensor:
        """(n, n_items + 1) P(item | action)."""
        score = self.item_scores(self._action(action))
        if not by_category:
            return torch.softmax(score, dim=1)
        category, n_categories = self.model.item_category[:-1], self.model.shape.n_categories + 1
        # An event without an item can be of any category: "none" stands in each of them.
        score_items, score_none = score[:, :-1], score[:, -1:]
        log_total = torch.logaddexp(_log_sum_within(score_items, category, n_categories), score_none)
        log_category = torch.log(self.categories(action)) - log_total
        items = torch.exp(score_items + log_category[:, category])
        none = torch.exp(score_none + log_category).sum(1, keepdim=True)
        return torch.cat([items, none], dim=1)


def _log_sum_within(score: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """Return (n, n_groups) log of the sum of exp(score) over the columns of every group."""
    top = score.max(dim=1, keepdim=True).values if score.shape[1] else torch.zeros(len(score), 1)
    total = torch.zeros(len(score), n_groups).index_add_(1, group, torch.exp(score - top))
    return torch.log(total) + top


def event_loss(model: BehaviorModel, examples: Examples, users: Bools, *, name: str = "Transformer") -> EventLoss:
    """Return minus log P(action) and P(category | action) of every event of the decisions of ``users``.

    The lines of one moment are judged alike: each by what was known before the moment, and its time.
    """
    event, action_nats, category_nats = [], [], []
    windows = np.flatnonzero(users[examples.windows.user])
    catalog = Catalog(model)
    with torch.inference_mode():
        for packed in examples.by_length(windows):
            batch, moment = examples.batch(packed, decided=True)
            at, labels = batch.moment, batch.labels
            following = NextEvents.of_moments(catalog, model.states(batch.stream), at)
            hidden = following.hidden.index_select(0, labels.event_moment)
            recent = at.recent_category.index_select(0, labels.event_moment)
            action_nats.append(F.cross_entropy(model.next.action(hidden), labels.action, reduction="none"))
            logits = model.category_logits(hidden, labels.action, recent, catalog.categories)
            category_nats.append(F.cross_entropy(logits, labels.category, reduction="none"))
            first, n = examples.moments.first[moment], (examples.moments.end - examples.moments.first)[moment]
            event.append(ranges(n, first)[1])
    found = np.concatenate(event)
    order = np.argsort(found)
    nats = (torch.cat(part).double().numpy()[order] for part in (action_nats, category_nats))
    return EventLoss(name, found[order], examples.sequences.event_user[found[order]], *nats)
