"""The next event's distribution, factorized and normalized: P(action | time) P(category | action) P(item | category).

The item's factor is the item scores' softmax within its category, so that the products over all actions, categories
and items (and "none" of them) sum to one and P(this event is behavior b) exists for every behavior of the grammar.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whybuy.behavior.model import BehaviorModel
from whybuy.columns import ACTIONS
from whybuy.events.moments import BehaviorIndex

_LEAST_ACTION = 1e-7


@dataclass(frozen=True)
class NextEvents:
    """The next event of n moments.

    Attributes
    ----------
    model : the model in evaluation
    hidden : (n, 2 width) what the head has read
    """

    model: BehaviorModel
    hidden: Tensor

    @classmethod
    def of(cls, model: BehaviorModel, before: Tensor, now: Tensor) -> "NextEvents":
        """Read (n, width) states before moments and the embedding of their times."""
        return cls(model, model.next.hidden(before, now))

    def actions(self) -> Tensor:
        """Return (n, n_actions) P(action)."""
        return torch.softmax(self.model.next.action(self.hidden), dim=-1)

    def categories(self, action: int) -> Tensor:
        """Return (n, n_categories + 1) P(category | action); "none" is last."""
        head = self.model.next
        query = head.category_query(self.hidden, self._action(action))
        return torch.softmax(query @ self.model.category_vectors().T + head.category_bias, dim=-1)

    def items(self, actions: tuple[int, ...] | None = None) -> Tensor:
        """Return (n, n_items + 1) P(item), of events of ``actions`` where given; "none" is last."""
        p_action = self.actions()
        wanted = actions if actions is not None else tuple(range(len(ACTIONS)))
        if actions is not None:
            kept = p_action[:, list(actions)]
            p_action = torch.zeros_like(p_action).index_copy_(
                1, torch.tensor(actions), kept / kept.sum(1, keepdim=True)
            )
        total = torch.zeros(len(self.hidden), self.model.shape.n_items + 1)
        for action in wanted:
            if float(p_action[:, action].max()) > _LEAST_ACTION:
                total += p_action[:, [action]] * self._items_of(action)
        return total

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

    def _items_of(self, action: int) -> Tensor:
        """(n, n_items + 1) P(category of item | action) P(item | its category, action)."""
        model, head = self.model, self.model.next
        vectors, known = model.item_vectors(), model.category_vectors()
        query = head.item_query(self.hidden, self._action(action), None)
        # What a known category adds to the query, against every item of it: a number per item.
        shift = head.given_category(known) @ head.to_item.weight.T  # (n_categories + 1, width)
        category = model.item_category[:-1]
        score = query @ vectors.T + head.item_bias
        score_items = score[:, :-1] + (shift[category] * vectors[:-1]).sum(-1)
        score_none = score[:, -1:] + shift @ vectors[-1]
        log_total = torch.logaddexp(_log_sum_within(score_items, category, len(known)), score_none)
        p_category = self.categories(action)
        log_category = torch.log(p_category) - log_total
        items = torch.exp(score_items + log_category[:, category])
        none = torch.exp(score_none + log_category).sum(1, keepdim=True)
        return torch.cat([items, none], dim=1)


def _log_sum_within(score: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """Return (n, n_groups) log of the sum of exp(score) over the columns of every group."""
    top = score.max(dim=1, keepdim=True).values if score.shape[1] else torch.zeros(len(score), 1)
    total = torch.zeros(len(score), n_groups).index_add_(1, group, torch.exp(score - top))
    return torch.log(total) + top
