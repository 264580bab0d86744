"""A study: one log, its model and its heads, asked under one config."""

from dataclasses import dataclass
from pathlib import Path

from whybuy.behavior.twins import TwinModels
from whybuy.causal.trials import Protocol, TrialSource
from whybuy.config import Config
from whybuy.events.log import EventLog
from whybuy.events.sequences import SequenceStore


@dataclass(frozen=True)
class Study:
    """Everything a causal question is asked of.

    Attributes
    ----------
    model : folder of the twin models
    heads : folder of the saved heads, written by the scan
    """

    store: SequenceStore
    log: EventLog
    config: Config
    model: Path
    heads: Path

    def twins(self) -> TwinModels:
        """Return the twin models."""
        return TwinModels.open(self.model, self.store)

    def protocol(self, horizon: str) -> Protocol:
        """Return who is eligible for a horizon."""
        return Protocol.of(self.log, self.config, horizon)

    def trials(self, twins: TwinModels, horizon: str) -> TrialSource:
        """Return the source of all trials of a horizon."""
        return TrialSource(self.store, twins.heads, self.heads, self.protocol(horizon))
