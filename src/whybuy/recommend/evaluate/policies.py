"""Policies to be judged: anything that says how likely it would have shown what the log has, or every action."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from whybuy.causal.array_rows import vector
from whybuy.causal.clusters import Float64
from whybuy.errors import ArraysError
from whybuy.recommend.evaluate.log import LoggedFeedback

_TOLERANCE = 1e-6
"""Of the sum of a row's probabilities: what rounding to seven digits leaves."""


@runtime_checkable
class Policy(Protocol):
    """Anything that gives its propensities for the rows of a log."""

    def probabilities(self, log: LoggedFeedback) -> Float64:
        """Return (n,) its probability of the logged action, or (n, n_actions[, n_slots]) those of every action.

        Within a slate: of the item in this slot given the context and the items in earlier slots.
        """


@dataclass(frozen=True)
class AsLogged:
    """The policy that wrote the log: its value is the mean reward, nothing reweighted."""

    def probabilities(self, log: LoggedFeedback) -> Float64:
        """Return (n,) the logged propensities."""
        return log.propensity


@dataclass(frozen=True)
class Uniform:
    """Every one of ``n_actions`` actions with the same probability, whatever the row."""

    n_actions: int

    def probabilities(self, log: LoggedFeedback) -> Float64:
        """Return (n, n_actions) the same number everywhere, stored once."""
        return np.broadcast_to(1 / self.n_actions, (log.n_rows, self.n_actions))


@dataclass(frozen=True, eq=False)
class Target:
    """A policy's probabilities for the rows of one log.

    Attributes
    ----------
    logged : (n,) of the logged action
    every : (n, n_actions) of every action in the row's slot; None where only the logged one's is known
    weight : (n,) how much likelier than the logging policy it shows the same
    """

    log: LoggedFeedback
    logged: Float64
    every: Float64 | None

    @classmethod
    def of(cls, log: LoggedFeedback, policy: Policy | npt.ArrayLike, *, name: str = "The policy") -> "Target":
        """Return the probabilities of a policy, or those given as an array of either shape.

        Raises
        ------
        ArraysError
            Probabilities outside [0, 1], or that do not sum to 1 over the actions; an array that does not fit the log.
        """
        given = np.asarray(policy.probabilities(log) if isinstance(policy, Policy) else policy)
        if given.ndim == 1:
            logged = vector(given, name)
            if len(logged) != log.n_rows:
                raise ArraysError.of(
                    found=f"{name} has {len(logged)} probabilities, the log {log.n_rows} rows",
                    needed="one per row",
                    do="Align them",
                )
            _require_probabilities(logged, name)
            return cls(log, logged, None)
        every = log.of_every_action(given, name)
        _require_probabilities(every, name)
        off = np.abs(every.sum(axis=1) - 1)
        if off.max() > _TOLERANCE:
            raise ArraysError.of(
                found=f"{name} sums to {every[off.argmax()].sum():g} over the actions of row {off.argmax()}",
                needed="probabilities that sum to 1 in every row",
                do="Divide them by their sum, or add the actions that are missing",
            )
        return cls(log, every[np.arange(log.n_rows), log.action], every)

    @property
    def weight(self) -> Float64:
        """The (n,) importance weights."""
        return self.logged / self.log.propensity


def _require_probabilities(values: Float64, name: str) -> None:
    if values.min() < 0 or values.max() > 1 + _TOLERANCE:
        raise ArraysError.of(
            found=f"{name} has probabilities from {values.min():g} to {values.max():g}",
            needed="numbers from 0 to 1",
            do="Pass probabilities, no scores and no densities",
        )
