"""The family of questions: which behaviors are treatments, which are outcomes, fixed before any effect is seen.

By default every action of the config's lists, for ``*`` and for the commonest categories that the log has for it (items
where the log has no categories). A behavior with too few events or users gets no column in the model and no estimate;
it stays in the family and is answered with "cannot tell".
"""

from dataclasses import dataclass

import numpy as np

from whybuy import columns as c
from whybuy.config import CausalConfig, duration_ms
from whybuy.errors import ConfigError
from whybuy.events.behaviors import Behavior, Kind, parse_behavior
from whybuy.events.composites import Composite
from whybuy.events.features import FeatureSpec
from whybuy.events.moments import BehaviorIndex
from whybuy.events.sequences import Ints, SequenceStore, Vocabulary

MIN_EVENTS = 50
MIN_USERS = 20
HALF_LIVES = tuple(duration_ms(h) for h in ("2d", "6h", "12d", "1h"))
"""Of the decayed counts of every behavior, the most useful first."""

_MAX_COLUMNS = 640
"""Covariates in all, heads included: the ridge's Gram matrices grow with the square."""


@dataclass(frozen=True)
class Family:
    """The questions of a log.

    Attributes
    ----------
    treatments, outcomes : every behavior of the family
    n_events, n_users : behavior -> how often, and by how many users
    modeled : the behaviors with enough events and users to be modeled, in column order
    """

    treatments: tuple[Behavior, ...]
    outcomes: tuple[Behavior, ...]
    n_events: dict[Behavior, int]
    n_users: dict[Behavior, int]
    modeled: tuple[Behavior, ...]

    @property
    def pairs(self) -> list[tuple[Behavior, Behavior]]:
        """Every (treatment, outcome) of the family."""
        return [(b, a) for b in self.treatments for a in self.outcomes]


def _further(text: str) -> Behavior:
    """Return a treatment that the config names.

    Raises
    ------
    ConfigError
        Events are told by their text alone, which the model has no head for.
    """
    behavior = parse_behavior(text)
    if behavior.kind in ("query", "campaign"):
        raise ConfigError.of(
            found=f"[causal] further names {behavior}",
            needed="a category, an item, a brand or any target",
            do=f"Leave it out and ask `whybuy effects --treatment {behavior}`, which needs no head of its own",
        )
    return behavior


def too_rare(behavior: Behavior | Composite, n_events: int, n_users: int) -> str | None:
    """Return why a behavior is too rare for any effect, in words; None where it is not."""
    if n_events >= MIN_EVENTS and n_users >= MIN_USERS:
        return None
    return (
        f"{behavior} happens {n_events} times by {n_users} users; {MIN_EVENTS} events by {MIN_USERS} users are needed."
    )


def family_of(store: SequenceStore, config: CausalConfig) -> Family:
    """Return the family of a log; one pass over its shards for the counts."""
    vocabulary = store.vocabulary
    targets = _targets(store, vocabulary, config.categories)
    actions = list(dict.fromkeys([*config.treatments, *config.outcomes]))
    further = [_further(text) for text in config.further]
    usual = [Behavior(action, kind, name) for action in actions for kind, name in targets]
    candidates = list(dict.fromkeys([*usual, *further]))
    counted = _support(store, BehaviorIndex.of(tuple(candidates), vocabulary))
    present = [b for b in candidates if counted[b][0] > 0]
    return Family(
        treatments=tuple(b for b in present if b.action in config.treatments or b in further),
        outcomes=tuple(b for b in present if b.action in config.outcomes),
        n_events={b: counted[b][0] for b in present},
        n_users={b: counted[b][1] for b in present},
        modeled=tuple(b for b in present if too_rare(b, *counted[b]) is None),
    )


def _targets(store: SequenceStore, vocabulary: Vocabulary, limit: int) -> list[tuple[Kind, str]]:
    """Return ``any`` and the commonest categories with their ancestors, or items where there are no categories."""
    any_target: list[tuple[Kind, str]] = [("any", "")]
    if vocabulary.categories:
        counts = _code_counts(store, "category", len(vocabulary.categories))
        totals: dict[str, int] = {}
        for path, n in zip(vocabulary.categories, counts.tolist(), strict=True):
            for ancestor in _ancestors(path):
                totals[ancestor] = totals.get(ancestor, 0) + n
        best = sorted(totals, key=lambda path: (-totals[path], path))[:limit]
        return any_target + [("category", path) for path in best]
    counts = _code_counts(store, "item", len(vocabulary.items))
    best_items = np.argsort(-counts, kind="stable")[:limit]
    return any_target + [("item", str(vocabulary.items[i])) for i in best_items if counts[i] > 0]


def _ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _code_counts(store: SequenceStore, field: str, n: int) -> Ints:
    total = np.zeros(n, np.int64)
    for sequences in store:
        codes = np.asarray(getattr(sequences, field))
        total += np.bincount(codes[codes >= 0], minlength=n)[:n]
    return total


def _support(store: SequenceStore, index: BehaviorIndex) -> dict[Behavior, tuple[int, int]]:
    """Return how many events and users every behavior has, block by block of users."""
    events = np.zeros(len(index.behaviors), np.int64)
    users = np.zeros(len(index.behaviors), np.int64)
    for sequences in store:
        for block in sequences.blocks(65_536):
            hits = index.hits(block)
            per_user = np.add.reduceat(hits, np.asarray(block.offsets[:-1]), axis=0, dtype=np.int64)
            events += per_user.sum(axis=0)
            users += (per_user > 0).sum(axis=0)
    return {b: (int(e), int(u)) for b, e, u in zip(index.behaviors, events, users, strict=True)}


def action_codes(store: SequenceStore) -> tuple[int, ...]:
    """Return the codes of the actions that the log has."""
    total = np.zeros(len(c.ACTIONS), np.int64)
    for sequences in store:
        total += np.bincount(sequences.action, minlength=len(c.ACTIONS))
    return tuple(np.flatnonzero(total).tolist())


def feature_spec(store: SequenceStore, index: BehaviorIndex) -> FeatureSpec:
    """Return which features of history a log gets: fewer half-lives per behavior where there are many behaviors."""
    n = len(index.behaviors)
    n_half_lives = int(np.clip((_MAX_COLUMNS - 2 * n - 100) // max(n, 1), 1, len(HALF_LIVES)))
    return FeatureSpec(action_codes(store), index, HALF_LIVES[:n_half_lives])
