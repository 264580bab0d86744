"""The next event by counts: a Markov chain of actions and categories, and the log-loss that any model of it has."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from whybuy import columns as c
from whybuy.behavior.baselines.counts import event_before_moment
from whybuy.behavior.baselines.ranking import Difference, Doubles, bootstrap_interval
from whybuy.errors import QuestionError
from whybuy.events.sequences import Bools, Ints, Sequences

EVENT_SMOOTHING = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)

_PRIOR = 20.0
"""Events of all categories added to those of an action, where the next category is guessed from the action alone."""


@dataclass(frozen=True)
class EventLoss:
    """Log-loss of the next event, event by event: of any model, so that two can be compared.

    Attributes
    ----------
    name : of the model
    event : (n,) index of the judged events in the sequences
    user : (n,) index of their users
    action_nats : (n,) minus log P(action | history)
    category_nats : (n,) minus log P(category | action, history)
    """

    name: str
    event: Ints
    user: Ints
    action_nats: Doubles
    category_nats: Doubles

    def mean(self) -> tuple[float, float, float]:
        """Return nats per event of the action, of the category, and of both."""
        action, category = float(self.action_nats.mean()), float(self.category_nats.mean())
        return action, category, action + category

    def to_frame(self) -> pd.DataFrame:
        """Return rows ``action``, ``category`` and ``both``: model, part, estimate, ci_low, ci_high, n_events."""
        both = self.action_nats + self.category_nats
        parts = {"action": self.action_nats, "category": self.category_nats, "both": both}
        rows = [(self.name, part, v.mean(), *_interval(v, self.user), len(v)) for part, v in parts.items()]
        return pd.DataFrame(rows, columns=["model", "part", "estimate", "ci_low", "ci_high", "n_events"])

    def minus(self, other: "EventLoss") -> Difference:
        """Return the difference of nats per event, action and category together; users are drawn once for both.

        Raises
        ------
        QuestionError
            The two did not judge the same events.
        """
        self._require_same_events(other)
        gap = self.action_nats + self.category_nats - other.action_nats - other.category_nats
        low, high = _interval(gap, self.user)
        n_users = len(np.unique(self.user))
        return Difference(self.name, other.name, "nats per event", float(gap.mean()), low, high, n_users)

    def mixed(self, other: "EventLoss", weights: tuple[float, float], *, name: str) -> "EventLoss":
        """Return the loss of a mixture; ``weights`` are this model's, of the action and of the category given it.

        Both factors stay normalized, so the mixture is a model of the next event as either of the two.

        Raises
        ------
        QuestionError
            The two did not judge the same events.
        """
        self._require_same_events(other)
        action, category = (
            _mixed_nats(own, others, weight)
            for (own, others), weight in zip(self._factors(other), weights, strict=True)
        )
        return replace(self, name=name, action_nats=action, category_nats=category)

    def best_weights(self, other: "EventLoss") -> tuple[float, float]:
        """Return the weights of :meth:`mixed` with the least loss on these events, which taught neither."""
        self._require_same_events(other)
        action, category = (
            float(
                minimize_scalar(
                    lambda w, o=own, t=others: _mixed_nats(o, t, w).mean(), bounds=(0, 1), method="bounded"
                ).x
            )
            for own, others in self._factors(other)
        )
        return action, category

    def _factors(self, other: "EventLoss") -> tuple[tuple[Doubles, Doubles], tuple[Doubles, Doubles]]:
        return (self.action_nats, other.action_nats), (self.category_nats, other.category_nats)

    def _require_same_events(self, other: "EventLoss") -> None:
        if not np.array_equal(self.event, other.event):
            raise QuestionError.of(
                found=f"{self.name} and {other.name} judged different events",
                needed="losses of the same events",
                do="Judge the same events of the same sequences with both",
            )

    def summary(self) -> str:
        """Return the three figures in one sentence."""
        action, category, both = self.mean()
        low, high = _interval(self.action_nats + self.category_nats, self.user)
        return (
            f"{self.name}: {both:.4f} nats per event [{low:.4f}, {high:.4f}], {action:.4f} of them for the action and "
            f"{category:.4f} for its category ({len(self.event):,} events, 95% interval over users)."
        )


@dataclass(frozen=True)
class MarkovEvents:
    r"""P(action, category | last action, last category) of the next event.

    With counts n of transitions and last event (a', k')::

        P(a, k | a', k') = (n(a', k', a, k) + s M(a, k)) / (n(a', k') + s)
        M(a, k) = P(a, same | a')            where k = k'
                  P(a, other | a') Q(k | a) / (1 - Q(k' | a))   elsewhere

    Q is the share of the category among the events of an action, smoothed towards all actions, and P(a, same or other
    | a') counts whether the category stays, whichever it is: so that a rare category's context is not ignorant of what
    all categories have in common. A user's first moment is judged by a context of its own; lines of a basket share the
    context before the basket.

    Attributes
    ----------
    keys, counts : transitions ``context * n_cells + cell``, sorted, and how many there are
    action_keys, action_counts : the same of ``context * n_actions + action``
    context_counts : (n_cells + 1,) transitions from each context
    staying : (n_actions + 1, n_actions, 2) P(action, whether the category stays | last action); last row at the start
    category_share : (n_actions, n_categories + 1) Q
    smoothing : s
    """

    keys: Ints
    counts: Ints
    action_keys: Ints
    action_counts: Ints
    context_counts: Ints
    staying: Doubles
    category_share: Doubles
    smoothing: float

    @classmethod
    def fit(cls, train: Sequences, *, n_categories: int, smoothing: float) -> "MarkovEvents":
        """Count the transitions of ``train``.

        Raises
        ------
        QuestionError
            There is no event.
        """
        if train.n_events == 0:
            raise QuestionError.of(
                found="There is no event to count", needed="a log with events", do="Choose a later cut"
            )
        n_actions, width = len(c.ACTIONS), n_categories + 1
        cell, context = _transitions(train, n_categories)
        action, last_action = cell // width, context // width
        keys, counts = np.unique(context * (n_actions * width) + cell, return_counts=True)
        action_keys, action_counts = np.unique(context * n_actions + action, return_counts=True)
        return cls(
            keys,
            counts,
            action_keys,
            action_counts,
            np.bincount(context, minlength=n_actions * width + 1),
            _staying(last_action, action, cell % width == context % width),
            _category_share(action, cell % width, width),
            smoothing,
        )

    @classmethod
    def tuned(
        cls, train: Sequences, validation: Sequences, *, n_categories: int, since_ms: int | None = None
    ) -> "MarkovEvents":
        """Return the counts of ``train`` with the smoothing that has the least log-loss on ``validation``.

        Parameters
        ----------
        validation : users not in ``train``, or the same users with later events
        since_ms : only events from this time on are judged
        """
        fitted = [cls.fit(train, n_categories=n_categories, smoothing=s) for s in EVENT_SMOOTHING]
        judged = None if since_ms is None else np.asarray(validation.ts_ms) >= since_ms
        losses = [model.log_loss(validation, judged=judged).mean()[2] for model in fitted]
        return fitted[int(np.argmin(losses))]

    def log_loss(self, sequences: Sequences, *, judged: Bools | None = None) -> EventLoss:
        """Return the loss of the ``judged`` (n_events,) events of ``sequences``, all where absent.

        Raises
        ------
        QuestionError
            No event is judged.
        """
        event = np.arange(sequences.n_events) if judged is None else np.flatnonzero(judged)
        if len(event) == 0:
            raise QuestionError.of(found="No event is judged", needed="at least one", do="Choose an earlier cut")
        cell, context = (codes[event] for codes in _transitions(sequences, self.category_share.shape[1] - 1))
        p_action, p_cell = self.probability(cell, context)
        nats = -np.log(p_action), np.log(p_action) - np.log(p_cell)
        return EventLoss("Markov", event, sequences.event_user[event], *nats)

    def probability(self, cell: Ints, context: Ints) -> tuple[Doubles, Doubles]:
        """Return P(action of the cell | context) and P(cell | context), row by row.

        A cell is ``action * (n_categories + 1) + category``, without category the last; contexts are cells, and one
        more for the start.
        """
        n_actions, width = self.category_share.shape
        action, category = cell // width, cell % width
        last_action, last_category = context // width, context % width
        stays = category == last_category
        # Where there is one category at most, it says nothing of the next one.
        starts = (last_action == n_actions) | (width == 1)
        own, last = self.category_share[action, category], self.category_share[action, last_category]
        within_action = np.where(starts, own, np.where(stays, 1.0, own / np.where(starts, 1.0, 1.0 - last)))
        moves = self.staying[last_action, action]
        of_action = moves.sum(axis=1)
        guess = np.where(starts, of_action, moves[np.arange(len(cell)), stays.astype(int)]) * within_action
        total = self.context_counts[context] + self.smoothing
        n_action = _lookup(self.action_keys, self.action_counts, context * n_actions + action)
        n_cell = _lookup(self.keys, self.counts, context * (n_actions * width) + cell)
        return (n_action + self.smoothing * of_action) / total, (n_cell + self.smoothing * guess) / total


def _transitions(sequences: Sequences, n_categories: int) -> tuple[Ints, Ints]:
    """Return (n_events,) the cell of every event and of the last event before its moment, one past all at the start."""
    width = n_categories + 1
    category = np.asarray(sequences.category).astype(np.int64)
    cell = np.asarray(sequences.action) * np.int64(width) + np.where(category < 0, n_categories, category)
    before = event_before_moment(sequences, np.ones(sequences.n_events, bool))
    return cell, np.where(before >= 0, cell[before], len(c.ACTIONS) * width)


def _staying(last_action: Ints, action: Ints, stays: Bools) -> Doubles:
    """Return P(action, whether the category stays | last action), smoothed by one event of the actions' shares."""
    n = len(c.ACTIONS)
    counts = np.bincount((last_action * n + action) * 2 + stays, minlength=2 * n * (n + 1)).reshape(n + 1, n, 2)
    share = (np.bincount(action, minlength=n) + 0.5) / (len(action) + 0.5 * n)
    prior = np.stack([share, share], axis=1) / 2
    return (counts + prior) / (counts.sum(axis=(1, 2), keepdims=True) + 1)


def _category_share(action: Ints, category: Ints, width: int) -> Doubles:
    """Return (n_actions, width) the share of categories among the events of an action, smoothed towards all."""
    counts = np.bincount(action * width + category, minlength=len(c.ACTIONS) * width).reshape(-1, width)
    share = (counts.sum(axis=0) + 0.5) / (len(category) + 0.5 * width)
    return (counts + _PRIOR * share) / (counts.sum(axis=1, keepdims=True) + _PRIOR)


def _lookup(keys: Ints, counts: Ints, wanted: Ints) -> Ints:
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, counts[place], 0)


def _mixed_nats(own: Doubles, others: Doubles, weight: float) -> Doubles:
    """Minus log of the weighted mean of two probabilities."""
    return -np.logaddexp(np.log(max(weight, 1e-12)) - own, np.log(max(1 - weight, 1e-12)) - others)


def _interval(values: Doubles, user: Ints) -> tuple[float, float]:
    """Return the interval of the mean over events when users are drawn again."""
    _, code = np.unique(user, return_inverse=True)
    totals = np.asarray(np.bincount(code, values), np.float64)
    return bootstrap_interval(totals, np.bincount(code).astype(np.float64))
