"""The session design's nuisances: the chance that a session begins with the behavior, and what it is followed by.

The model's heads say what the *next event* is, not what any of the next k is, so its propensity is no propensity here:
its logits at the session's first decision are covariates like the others. Trees learn both nuisances among the sessions
that are compared, cross-fitted by user; the outcome's head, which asks nearly the same, is stacked beside them.
"""

from dataclasses import replace

import numpy as np
from scipy.special import logit

from whybuy.causal.checks import PairData
from whybuy.causal.confirm import TrialTable, restricted
from whybuy.causal.learners import OUTCOME, PROPENSITY, CrossFitter
from whybuy.events.behaviors import Behavior
from whybuy.events.sequences import Bools

# A log has a third or a tenth as many sessions as decisions, and those of one user hardly share an outcome: smaller
# leaves and more rounds. On ten worlds the bias was .011 with the plans of steps, .001 with these, errors of .014.
BEGINS = replace(PROPENSITY, rounds=100, min_rows_in_leaf=100)
FOLLOWS = replace(OUTCOME, rounds=80, min_rows_in_leaf=300)


def session_trials(
    table: TrialTable, pair: tuple[Behavior, Behavior], *, seed: int
) -> tuple[TrialTable, Bools, PairData]:
    """Return the sessions, which of them are compared, and those with their nuisances.

    Sessions with the outcome among their first decisions are left out, unless a further one is asked for. The table's
    propensities are those of sessions, of the outcomes that checks may need.
    """
    b, a = pair
    T, own, Y = table.is_behavior[b], table.is_behavior[a], table.outcome[a]
    keep = np.ones(len(T), bool) if a == b else own == 0
    fitter = CrossFitter(table.X, table.fold, seed=seed)
    e = fitter.predict(T, BEGINS, head=None, use=keep)
    m = fitter.predict(Y, FOLLOWS, head=table.start_m.get(a), use=keep)
    begins = {c: fitter.predict(table.is_behavior[c], BEGINS, head=None) for c in table.outcome}
    sessions = replace(table, start_e={c: logit(p).astype(np.float32) for c, p in begins.items()}, start_any={})
    return sessions, keep, restricted(table, keep, T.astype(float), Y.astype(float), e, m)
