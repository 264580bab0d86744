"""The behavior model: embedded events, the trunk, and the heads."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whybuy.behavior.batch import Batch, Labels, Stream
from whybuy.behavior.heads import Counts, ForecastHead, NextEventHead, NuisanceHead, add_recent
from whybuy.behavior.tokens import Entities
from whybuy.behavior.transformer import Trunk, TrunkShape


@dataclass(frozen=True)
class ModelShape:
    """The sizes of one behavior model.

    Attributes
    ----------
    n_small, n_entity_rows : embedding rows of the small fields and of entities, see ``tokens``
    n_items, n_categories : of the catalog
    n_behaviors, n_outcomes : of the nuisance head; outcomes counts behaviors x horizons
    n_wide : windowed counts that are read, 0 for none
    n_forecasts, n_horizons : of the forecast head; forecasts counts behaviors x horizons
    n_text : channels of a text vector, 0 where texts were not embedded
    trunk : sizes of the Transformer
    """

    n_small: int
    n_entity_rows: int
    n_items: int
    n_categories: int
    n_behaviors: int
    n_outcomes: int
    n_wide: int
    n_forecasts: int
    n_horizons: int
    n_text: int
    trunk: TrunkShape


class Losses(NamedTuple):
    """Summed losses of a batch, nats."""

    propensity: Tensor
    outcome: Tensor
    outcome_anywhere: Tensor
    forecast: Tensor
    amount: Tensor
    gap: Tensor
    action: Tensor
    category: Tensor
    item: Tensor


class BehaviorModel(nn.Module):
    """One Transformer over events with its heads.

    Parameters
    ----------
    shape : sizes
    entities : what items and categories are made of
    text_vectors : (n_texts, n_text) sentence embeddings, where the log was embedded
    """

    parts: Tensor
    entity_text: Tensor
    item_category: Tensor
    text_vectors: Tensor

    def __init__(self, shape: ModelShape, entities: Entities, text_vectors: Tensor | None = None) -> None:
        super().__init__()
        self.shape = shape
        width = shape.trunk.width
        self.small = nn.EmbeddingBag(shape.n_small, width, mode="sum", padding_idx=0)
        self.entity = nn.EmbeddingBag(shape.n_entity_rows, width, mode="sum", padding_idx=0)
        self.text = nn.Linear(shape.n_text, width, bias=False) if shape.n_text else None
        self.dropout = nn.Dropout(shape.trunk.dropout)
        self.trunk = Trunk(shape.trunk)
        self.nuisance = (
            NuisanceHead(width, shape.n_behaviors, shape.n_outcomes, shape.n_wide, shape.trunk.dropout)
            if shape.n_behaviors
            else None
        )
        self.forecast = ForecastHead(width, shape.n_forecasts, shape.n_horizons) if shape.n_forecasts else None
        self.next = NextEventHead(width, shape.n_items, shape.n_categories, shape.n_wide, shape.trunk.dropout)
        self.counts = Counts(shape.n_wide)
        for table in (self.small, self.entity):
            nn.init.normal_(table.weight, std=0.5 / width**0.5)
            with torch.no_grad():
                table.weight[0].zero_()
        # What the catalog says is made again from the log, so it is no part of a checkpoint.
        self.register_buffer("parts", torch.from_numpy(entities.parts).long(), persistent=False)
        self.register_buffer("entity_text", torch.from_numpy(entities.text).long(), persistent=False)
        self.register_buffer("item_category", torch.from_numpy(entities.item_category).long(), persistent=False)
        vectors = text_vectors if text_vectors is not None else torch.zeros(0, shape.n_text)
        self.register_buffer("text_vectors", vectors, persistent=False)

    # What goes in

    def entity_vectors(self, entity: Tensor) -> Tensor:
        """Return (n, width): what items or categories add up to, their titles included."""
        found: Tensor = self.entity(self.parts[entity])
        return found + self._text_of(self.entity_text[entity])

    def _text_of(self, text: Tensor) -> Tensor:
        if self.text is None:
            return torch.zeros((), device=text.device)
        vectors = self.text_vectors[text.clamp(min=0)].to(self.text.weight.dtype)
        return self.text(vectors) * (text >= 0)[..., None]

    def embedded(self, stream: Stream) -> Tensor:
        """Return (rows, columns, width)."""
        rows, columns, n_fields = stream.small.shape
        small = self.small(stream.small.view(-1, n_fields))
        entity = self.entity(self.parts[stream.entity.view(-1)])
        tokens = small + entity + self._text_of(stream.text.view(-1))
        return self.dropout(tokens).view(rows, columns, -1)

    def states(self, stream: Stream) -> Tensor:
        """Return (rows x columns, width): the state after every token."""
        states: Tensor = self.trunk(self.embedded(stream), stream.place, stream.seconds, stream.segment)
        return states.flatten(0, 1)

    def now(self, gap: Tensor, hour: Tensor) -> Tensor:
        """Return (n, width): the embedding of a moment's time, from rows of the small fields."""
        found: Tensor = self.small(torch.stack([gap, hour], dim=1))
        return found

    # What comes out

    def judge(self, batch: Batch) -> Tensor:
        """Return (n, B + 2 A) nuisance logits of the moments."""
        states, moment = self.states(batch.stream), batch.moment
        before = states.index_select(0, moment.before)
        if self.nuisance is None:
            return before.new_zeros(len(before), 0)
        logits: Tensor = self.nuisance(before, self.now(moment.gap, moment.hour), self.counts(moment.wide))
        return logits

    def forward(self, batch: Batch, negatives: Tensor | None = None) -> Losses:
        """Return the losses of a batch; ``negatives`` (s,) are sampled items, None for the whole catalog."""
        states, moment, labels = self.states(batch.stream), batch.moment, batch.labels
        before, now = states.index_select(0, moment.before), self.now(moment.gap, moment.hour)
        counts = self.counts(moment.wide)
        zero = states.new_zeros(())
        nuisance, forecast = (zero, zero, zero), (zero, zero)
        if self.nuisance is not None:
            nuisance = self.nuisance.losses(self.nuisance(before, now, counts), labels)
        if self.forecast is not None:
            forecast = self.forecast.losses(self.forecast(states.index_select(0, moment.after)), labels)
        hidden = self.next.hidden(before, now, counts)
        return Losses(*nuisance, *forecast, *self._next_losses(before, hidden, batch, negatives))

    def _next_losses(
        self, before: Tensor, hidden: Tensor, batch: Batch, negatives: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        head, labels = self.next, batch.labels
        gap = F.cross_entropy(head.gap(before), labels.gap_bin, ignore_index=-1, reduction="sum")
        moment = labels.event_moment
        hidden = hidden.index_select(0, moment)
        weight = labels.event_weight
        action = _weighted(head.action(hidden), labels.action, weight)
        recent = batch.moment.recent_category.index_select(0, moment)
        category = _weighted(self.category_logits(hidden, labels.action, recent), labels.category, weight)
        recent = batch.moment.recent_item.index_select(0, moment)
        if negatives is None:
            item = _weighted(self.item_logits(hidden, labels.action, recent), labels.item, weight)
        else:
            item = self._sampled_item_loss(hidden, recent, labels, negatives)
        return gap, action, category, item

    def category_logits(self, hidden: Tensor, action: Tensor, recent: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Return (..., n_categories + 1) of events of known actions.

        Parameters
        ----------
        hidden, action, recent : (..., 2 width), (...) and (..., N_RECENT) categories, whose leading dimensions fit
        vectors : what :meth:`category_vectors` gives, where it is at hand
        """
        head, vectors = self.next, self.category_vectors() if vectors is None else vectors
        logits = head.category_query(hidden, action) @ vectors.T + head.category_bias
        return add_recent(logits, recent, head.return_to_category(hidden, action, recent))

    def item_logits(self, hidden: Tensor, action: Tensor, recent: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Return (..., n_items + 1) of events of known actions; as :meth:`category_logits`, of items."""
        head, vectors = self.next, self.item_vectors() if vectors is None else vectors
        logits = head.item_query(hidden, action) @ vectors.T + head.item_bias
        return add_recent(logits, recent, head.return_to_item(hidden, action, recent))

    def category_vectors(self) -> Tensor:
        """Return (n_categories + 1, width), "none" last."""
        first, n = self.shape.n_items, self.shape.n_categories
        codes = torch.arange(first, first + n, device=self.parts.device)
        return torch.cat([self.entity_vectors(codes), self.next.none[:1]])

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """Return (n, width) of items, of the whole catalog and "none" where None."""
        n = self.shape.n_items
        if items is None:
            codes = torch.arange(n, device=self.parts.device)
            return torch.cat([self.entity_vectors(codes), self.next.none[1:]])
        vectors = self.entity_vectors(items.clamp(max=n - 1))
        return torch.where((items == n)[:, None], self.next.none[1:], vectors)

    def _sampled_item_loss(self, hidden: Tensor, recent: Tensor, labels: Labels, negatives: Tensor) -> Tensor:
        """The loss over the event's own item, the recent ones, and (s,) sampled ones."""
        head, item = self.next, labels.item[:, None]
        query, added = head.item_query(hidden, labels.action), head.return_to_item(hidden, labels.action, recent)
        own = (query * self.item_vectors(labels.item)).sum(-1) + head.item_bias[labels.item]
        own = own + (added * (recent == item)).sum(-1)
        known = recent.clamp(min=0)
        vectors = self.item_vectors(known.flatten()).view(*known.shape, -1)
        again = (vectors @ query[:, :, None])[..., 0] + head.item_bias[known] + added
        again = again.masked_fill((recent < 0) | (recent == item), -torch.inf)
        # Importance sampling of the normalizer (Bengio and Senecal, 2008, equation 8): a drawn item counts one over
        # its expected number of draws. What is always there, the own item and the recent ones, counts one, and is no
        # sampled one.
        log_count = torch.log(head.item_rate * len(negatives))
        others = query @ self.item_vectors(negatives).T + (head.item_bias - log_count)[negatives]
        for there in (item, *torch.unbind(recent[:, :, None], dim=1)):
            others = others.masked_fill(there == negatives, -torch.inf)
        logits = torch.cat([own[:, None], again, others], dim=1)
        return _weighted(logits, torch.zeros_like(labels.item), labels.event_weight)


def _weighted(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return (F.cross_entropy(logits, target, reduction="none") * weight).sum()
