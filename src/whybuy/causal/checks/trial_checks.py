"""The checks that ask more of a trial than treatment and outcome: when it was, what came before, what else followed."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from whybuy.causal.checks.dose import dose
from whybuy.causal.checks.halves import halves
from whybuy.causal.checks.influence import influence
from whybuy.causal.checks.interference import interference
from whybuy.causal.checks.negative_control import (
    N_BY_RULE,
    N_CANDIDATES,
    Control,
    asked,
    is_candidate,
    negative_control,
    proposed,
)
from whybuy.causal.checks.pair import Bools, PairData
from whybuy.causal.checks.past_outcome import past_outcome
from whybuy.causal.checks.season import is_weekend, season
from whybuy.causal.learners import OUTCOME, CrossFitter
from whybuy.causal.residuals import Float64
from whybuy.causal.trials import TrialSource
from whybuy.config import CausalConfig, Config
from whybuy.events.behaviors import Behavior, parse_behavior

if TYPE_CHECKING:
    from whybuy.causal.confirm import TrialTable

_HOUR_MS = 3_600_000


def named_controls(config: CausalConfig) -> list[Behavior]:
    """Return the negative controls that the config names."""
    return [parse_behavior(text) for text in config.negative_controls]


def with_controls(source: TrialSource, config: CausalConfig) -> tuple[TrialSource, list[Behavior]]:
    """Return the control outcomes to be drawn with the trials, and the source that can draw them.

    Those that the config names, else the commonest outcomes that the rule may propose.
    """
    modeled = [source.heads.index.behaviors[i] for i in source.outcomes]
    named = named_controls(config)
    if not named:
        return source, [outcome for outcome in modeled if is_candidate(outcome)][:N_CANDIDATES]
    missing = [c for c in named if c not in modeled and c not in source.extra]
    return replace(source, extra=(*source.extra, *missing)), named


class TrialChecks:
    """Checks the pairs of one trial table; what their checks share is computed once."""

    def __init__(self, table: "TrialTable", config: Config) -> None:
        self.table, self.config = table, config
        self.weekend = is_weekend(table.ts_ms, config.zone)
        self.named = named_controls(config.causal)
        self._controls: dict[Behavior, Control] = {}
        self._fitter: CrossFitter | None = None

    def __call__(
        self, pair: tuple[Behavior, Behavior], keep: Bools, data: PairData, estimate: float
    ) -> dict[str, dict[str, Any]]:
        """Return the checks of one pair.

        Parameters
        ----------
        keep : (n_trials of the table,) which of them ``data`` is of
        estimate : the pair's effect
        """
        (b, a), table, small = pair, self.table, self.config.causal.smallest_effect
        ts_ms, window = table.ts_ms[keep], table.past_ms / _HOUR_MS
        span_ms = int(ts_ms.max() - ts_ms.min())
        excess = table.excess.get(b)
        before = {"window_hours": window, "recent_hours": table.recent_ms / _HOUR_MS}
        return {
            "negative_control": self._negative_control(pair, keep, data),
            "past_outcome": past_outcome(data, table.past[a][keep] > 0, window_hours=window, smallest_effect=small),
            "halves": halves(data, ts_ms, smallest_effect=small),
            "dose": dose(data, table.past[b][keep], table.recent[b][keep], **before),
            "influence": influence(data, estimate=estimate, smallest_effect=small),
            "season": season(data, self.weekend[keep], estimate=estimate, span_ms=span_ms),
            "interference": interference(data, None if excess is None else excess[keep], smallest_effect=small),
        }

    def _negative_control(self, pair: tuple[Behavior, Behavior], keep: Bools, data: PairData) -> dict[str, Any]:
        chosen = asked(pair, self.named) if self.named else proposed(pair, list(self.table.outcome))
        controls = [self._control(outcome, keep) for outcome in chosen]
        if not self.named:
            treated = data.T > 0
            controls = sorted(controls, key=lambda control: -control.association(treated))[:N_BY_RULE]
        small = self.config.causal.smallest_effect
        return negative_control(data, controls, named=bool(self.named), smallest_effect=small)

    def _control(self, outcome: Behavior, keep: Bools) -> Control:
        if outcome not in self._controls:
            self._controls[outcome] = self._control_anywhere(outcome)
        return self._controls[outcome].among(keep)

    def _control_anywhere(self, outcome: Behavior) -> Control:
        """Return the control on all trials of the table."""
        own, start = self.table.is_behavior[outcome] > 0, self.table.start_e.get(outcome)
        e_own = np.full(len(own), own.mean()) if start is None else expit(start.astype(float))
        followed = self.table.outcome[outcome] > 0
        return Control(str(outcome), own, e_own, followed, self._expectation(outcome, ~own))

    def _expectation(self, outcome: Behavior, use: Bools) -> Float64:
        """Return the expected control outcome, out of fold: the head's answer on a line fitted to the other folds.

        An error in it costs width, no bias, where the propensity is right. An outcome that the model has no head for
        gets a learner of its own.
        """
        table, Y = self.table, self.table.outcome[outcome]
        start = table.start_m.get(outcome)
        if start is None:
            self._fitter = self._fitter or CrossFitter(table.X, table.fold, seed=self.config.seed)
            return self._fitter.predict(Y, OUTCOME, head=None, use=use)
        p, out = expit(start.astype(float)), np.empty(len(Y))
        for fold in range(int(table.fold.max()) + 1):
            teaches, judged = use & (table.fold != fold), table.fold == fold
            level, around = float(Y[teaches].mean()), p[teaches] - p[teaches].mean()
            slope = float(around @ Y[teaches]) / max(float(around @ around), 1e-12)
            out[judged] = level + slope * (p[judged] - p[teaches].mean())
        return out
