"""Futures of one person, sampled event by event from the next event's distribution.

The history is read once; its keys and values are kept, so that a further event costs one position and not the whole
history again. Every future starts from the same cache.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from whybuy.behavior.examples import Codes, PackedUsers
from whybuy.behavior.model import BehaviorModel
from whybuy.behavior.next_event import Catalog, NextEvents
from whybuy.behavior.past import Past, usual_prices_of_bands
from whybuy.behavior.recent import Recent
from whybuy.behavior.tokens import gap_bins, gap_ms
from whybuy.behavior.transformer import Cache
from whybuy.columns import ACTIONS
from whybuy.events.behaviors import Behavior
from whybuy.events.features import FeatureSpec
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import Ints, Vocabulary

MAX_EVENTS = 400
_TRIES = 50
_LEAST_LEFT = 1e-4
_SESSION_GAP_MS = 30 * 60_000


@dataclass(frozen=True)
class Simulated:
    """One event of each of n futures.

    Attributes
    ----------
    ts_ms : (n,) time
    action, category, item : (n,) codes; the last category and the last item are "none"
    """

    ts_ms: Ints
    action: Tensor
    category: Tensor
    item: Tensor


@dataclass(frozen=True)
class Person:
    """Where n futures of one person stand.

    Attributes
    ----------
    state : (n, width) after the last event
    past : the latest events
    cache : keys and values of everything read
    place : events read, the start token included
    origin_ms : time zero of the rotation
    recent_item, recent_category : (n, N_RECENT) what the futures last had to do with
    """

    state: Tensor
    past: Past
    cache: Cache
    place: int
    origin_ms: int
    recent_item: Tensor
    recent_category: Tensor

    @property
    def last_ms(self) -> Ints:
        """(n,) time of the last event."""
        return self.past.last_ms


@dataclass(frozen=True)
class Simulator:
    """Samples events.

    Attributes
    ----------
    spec : the features of history that the model reads
    item_price : (n_items + 1, 2) price level and relative price level that an event of the item usually has
    """

    model: BehaviorModel
    codes: Codes
    spec: FeatureSpec
    item_price: npt.NDArray[np.int8]
    random: torch.Generator

    def read(self, user: PackedUsers, n: int) -> Person:
        """Read the latest window of one user and return ``n`` futures that begin there."""
        packed = next(user.windows.batches(np.array([0]), rows=1))
        stream = user.stream(packed)
        states, cache = self.model.trunk.step(self.model.embedded(stream), stream.place, stream.seconds, None)
        many = Cache(*(tuple(part.expand(n, -1, -1, -1) for part in parts) for parts in (cache.keys, cache.values)))
        past = Past.of(user.sequences, n, most=user.windows.length)
        origin = int(user.sequences.ts_ms[user.windows.start[0]])
        recent = Recent.at_the_end(user.sequences)
        codes = (torch.from_numpy(code.astype(np.int64)).expand(n, -1) for code in (recent.item, recent.category))
        return Person(states[0, -1].expand(n, -1), past, many, states.shape[1], origin, *codes)

    def now(self, person: Person, ts_ms: Ints) -> NextEvents:
        """Return the distribution of each future's next event at a known time."""
        counts = self.model.counts(person.past.features(self.spec, ts_ms))
        hidden = self.model.next.hidden(person.state, self.model.now(*self._time_rows(person, ts_ms)), counts)
        return NextEvents(self._catalog, hidden, person.recent_item, person.recent_category)

    def wait(self, person: Person) -> Ints:
        """Return (n,) the times of the next events."""
        logits = self.model.next.gap(person.state).clone()
        logits[:, 0] = -torch.inf  # "no event before" cannot come again
        gap = self._draw(torch.softmax(logits, dim=1))
        within = torch.rand(len(gap), generator=self.random)
        return person.last_ms + gap_ms(gap.numpy(), within.numpy())

    def event(self, following: NextEvents, ts_ms: Ints, allowed: Tensor | None = None) -> Simulated:
        """Draw what the next events are; ``allowed`` (n_actions, n_categories + 1) keeps some of them only."""
        p = following.actions_and_categories()
        return self._event(following, ts_ms, p if allowed is None else p * allowed)

    def of_behavior(self, following: NextEvents, ts_ms: Ints, behavior: Behavior) -> Simulated:
        """Draw the next events from those that are ``behavior``, of kind any, category or item."""
        if behavior.kind != "item":
            return self.event(following, ts_ms, self._table(behavior))
        item = torch.full((len(following.hidden),), self._item_code(behavior))
        action = torch.full_like(item, ACTIONS.index(behavior.action))
        return Simulated(ts_ms, action, self.model.item_category[item], item)

    def others(self, following: NextEvents, ts_ms: Ints, barred: tuple[Behavior, ...]) -> Simulated | None:
        """Draw the next events from those that are none of ``barred``; None where hardly anything is left."""
        allowed = torch.ones(len(ACTIONS), self.codes.entities.n_categories + 1, dtype=torch.bool)
        for behavior in barred:
            if behavior.kind != "item":
                allowed &= ~self._table(behavior)
        p = following.actions_and_categories() * allowed
        if float(p.sum((1, 2)).min()) < _LEAST_LEFT:
            return None
        event = self._event(following, ts_ms, p)
        items = [behavior for behavior in barred if behavior.kind == "item"]
        for _ in range(_TRIES if items else 0):
            hit = torch.stack([self.are(event, behavior) for behavior in items]).any(0)
            if not hit.any():
                return event
            again = self._event(following, ts_ms, p)
            drawn = zip(
                (again.action, again.category, again.item), (event.action, event.category, event.item), strict=True
            )
            event = Simulated(ts_ms, *(torch.where(hit, new, old) for new, old in drawn))
        return event if not items else None

    def append(self, person: Person, event: Simulated) -> Person:
        """Return the futures after one more event each."""
        price = self.item_price[event.item.numpy()]
        new_session = (event.ts_ms - person.last_ms) > _SESSION_GAP_MS
        levels = {
            "action": event.action.numpy() + 1,
            "price": price[:, 0],
            "price_relative": price[:, 1],
            "session_start": new_session.astype(np.int64),
        }
        rows = [self.codes.rows(name, level) for name, level in levels.items()]
        small = self.model.small(torch.stack([*rows, *self._time_rows(person, event.ts_ms)], dim=1))
        entities = self.codes.entities
        has_item = event.item < entities.n_items
        entity = torch.where(has_item, event.item, entities.n_items + event.category)
        x = small + self.model.entity_vectors(entity)
        n = len(entity)
        seconds = torch.from_numpy((event.ts_ms - person.origin_ms) / 1000)[:, None]
        place = torch.full((n, 1), person.place)
        state, cache = self.model.trunk.step(x[:, None], place, seconds, person.cache)
        return Person(
            state=state[:, 0],
            cache=cache,
            place=person.place + 1,
            origin_ms=person.origin_ms,
            past=person.past.plus(event.ts_ms, self._codes_of(event, price), self._usual_price),
            recent_item=_pushed(person.recent_item, event.item, entities.n_items),
            recent_category=_pushed(person.recent_category, event.category, entities.n_categories),
        )

    def _codes_of(self, event: Simulated, price: npt.NDArray[np.int8]) -> dict[str, npt.NDArray[np.integer]]:
        """Return the event as a log has it: -1 for "none"."""
        entities = self.codes.entities
        item, category = event.item.numpy(), event.category.numpy()
        return {
            "action": event.action.numpy(),
            "item": np.where(item < entities.n_items, item, -1),
            "category": np.where(category < entities.n_categories, category, -1),
            "price_band": price[:, 0],
            "price_relative": price[:, 1],
        }

    @cached_property
    def _usual_price(self) -> npt.NDArray[np.float64]:
        return usual_prices_of_bands(self.vocabulary)

    @property
    def vocabulary(self) -> Vocabulary:
        """The codes of the log."""
        return self.spec.index.vocabulary

    def happens(self, person: Person, outcome: Behavior, until_ms: int, *, most: int = MAX_EVENTS) -> Tensor:
        """Return (n,) whether each future meets ``outcome`` up to a time."""
        met = torch.zeros(len(person.state), dtype=torch.bool)
        going = torch.ones_like(met)
        for _ in range(most):
            ts = self.wait(person)
            going &= torch.from_numpy(ts <= until_ms) & ~met
            if not going.any():
                break
            event = self.event(self.now(person, ts), ts)
            met |= going & self.are(event, outcome)
            person = self.append(person, event)
        return met

    def are(self, event: Simulated, behavior: Behavior) -> Tensor:
        """Return (n,) whether each event is the behavior."""
        if behavior.kind == "item":
            return (event.action == ACTIONS.index(behavior.action)) & (event.item == self._item_code(behavior))
        return self._table(behavior)[event.action, event.category]

    @cached_property
    def _catalog(self) -> Catalog:
        return Catalog(self.model)

    @cached_property
    def _tables(self) -> dict[Behavior, Tensor]:
        """What :meth:`_table` has made: every step of a rollout asks for the same one."""
        return {}

    def _table(self, behavior: Behavior) -> Tensor:
        """(n_actions, n_categories + 1) whether an event of that action and category is the behavior."""
        if behavior not in self._tables:
            index = BehaviorIndex.of((behavior,), self.vocabulary)
            self._tables[behavior] = torch.from_numpy(index.table[:, :, 0].astype(bool))
        return self._tables[behavior]

    def _event(self, following: NextEvents, ts_ms: Ints, p: Tensor) -> Simulated:
        """Draw events in proportion to ``p`` (n, n_actions, n_categories + 1), then their items."""
        drawn = self._draw(p.flatten(1))
        action, category = drawn // p.shape[2], drawn % p.shape[2]
        return Simulated(ts_ms, action, category, self._items(following, action, category))

    def _items(self, following: NextEvents, action: Tensor, category: Tensor) -> Tensor:
        """Draw items of known actions and categories."""
        scores = following.item_scores(action)
        inside = self.model.item_category[None, :-1] == category[:, None]
        allowed = torch.cat([inside, torch.ones(len(action), 1, dtype=torch.bool)], dim=1)
        return self._draw(torch.softmax(scores.masked_fill(~allowed, -torch.inf), dim=1))

    def _item_code(self, behavior: Behavior) -> int:
        return int(np.flatnonzero(self.vocabulary.items == behavior.target)[0])

    def _draw(self, p: Tensor) -> Tensor:
        return torch.multinomial(p, 1, generator=self.random)[:, 0]

    def _time_rows(self, person: Person, ts_ms: Ints) -> tuple[Tensor, Tensor]:
        return self.codes.time_rows(gap_bins(ts_ms - person.last_ms), ts_ms)


def _pushed(recent: Tensor, code: Tensor, none: int) -> Tensor:
    """Put each row's code in front; it leaves the place where it was, else the oldest goes; "none" changes nothing."""
    same = recent == code[:, None]
    # Places after the one that is freed stay; those before it move back by one.
    freed = torch.where(same.any(1), same.int().argmax(1), recent.shape[1] - 1)
    moved = torch.cat([code[:, None], recent[:, :-1]], dim=1)
    stays = torch.arange(recent.shape[1]) > freed[:, None]
    return torch.where(stays | (code == none)[:, None], recent, moved)
