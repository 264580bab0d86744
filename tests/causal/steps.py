"""A shop of steps in which what was done before decides what an event does: composites have effects, parts have none.

A user has an event about every 8 hours. z, before an event, is what the user's log says: searches so far, each fading
by .9 an event, minus 2. The event is

    ``purchase:shoes`` with chance  .03 + .5 expit(1.5 z of the event before) + tau of the event before
    else ``view:shoes`` with chance  .05 + .8 expit(1.5 z),  else ``search:shoes`` or ``view:bags``, half and half

    tau = .2 where the event was a second view of shoes within a day, plus .1 where it was a view after a search within
    a day; a view after neither does nothing

Within 10 hours lies one event, so tau is the effect of an event on a purchase within them, given all that came before.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from whybuy.causal.trials import Protocol

HOUR = 3_600_000
HORIZON = "10h"
START = 1_700_000_000_000
NAMES = np.array(["view:shoes", "search:shoes", "view:bags", "purchase:shoes"])
VIEW, SEARCH, BAGS, BUY = range(4)
TWICE, AFTER = "view:shoes+view:shoes@1d", "search:shoes+view:shoes@1d"
TAU = {TWICE: 0.2, AFTER: 0.1}


@dataclass(frozen=True)
class Steps:
    """A drawn log, and of every event (n_users, n_events) what was true.

    Attributes
    ----------
    e : chance of a view of shoes among events that are no purchase
    open : by composite, whether a view of shoes would have completed it
    tau : effect of a view of shoes; what was followed by a purchase within 10 hours is ``bought``
    """

    events: pd.DataFrame
    ts_ms: np.ndarray
    event: np.ndarray
    e: np.ndarray
    open: dict[str, np.ndarray]
    tau: np.ndarray
    bought: np.ndarray

    def spanned(self, protocol: Protocol) -> np.ndarray:
        """Return which events have the history and the follow-up that a protocol asks for."""
        return protocol.spanned(self.ts_ms, self.ts_ms)

    def effect(self, composite: str | None, spanned: np.ndarray) -> float:
        """Return the true ATO of a view among the events ``spanned``, where it would complete the composite."""
        rows = spanned & (self.event != BUY)
        rows = rows if composite is None else rows & self.open[composite]
        return float(np.average(self.tau[rows], weights=(self.e * (1 - self.e))[rows]))

    def effect_against_bags(self, spanned: np.ndarray) -> float:
        """Return the true ATO of a view of shoes among the events that are one or a view of bags."""
        rows = spanned & np.isin(self.event, (VIEW, BAGS))
        e = self.e / (self.e + (1 - self.e) / 2)
        return float(np.average(self.tau[rows], weights=(e * (1 - e))[rows]))


def draw(seed: int, *, n_users: int = 300, n_events: int = 80) -> Steps:
    rng = np.random.default_rng(seed)
    shape = (n_users, n_events)
    ts = START + np.arange(n_events) * 8 * HOUR + rng.integers(0, HOUR, shape)
    event, e, tau = np.zeros(shape, int), np.zeros(shape), np.zeros(shape)
    opened = {TWICE: np.zeros(shape, bool), AFTER: np.zeros(shape, bool)}
    searches, p_buy = np.zeros(n_users), np.full(n_users, 0.1)
    for k in range(n_events):
        z = searches - 2
        e[:, k] = 0.05 + 0.8 * expit(1.5 * z)
        other = np.where(rng.random(n_users) < 0.5, SEARCH, BAGS)
        chosen = np.where(rng.random(n_users) < e[:, k], VIEW, other)
        event[:, k] = np.where(rng.random(n_users) < p_buy, BUY, chosen)
        for name, part in ((TWICE, VIEW), (AFTER, SEARCH)):
            lately = (event[:, :k] == part) & (ts[:, [k]] - ts[:, :k] <= 24 * HOUR)
            opened[name][:, k] = lately.any(axis=1)
            tau[:, k] += TAU[name] * opened[name][:, k]
        p_buy = 0.03 + 0.5 * expit(1.5 * z) + np.where(event[:, k] == VIEW, tau[:, k], 0)
        searches = 0.9 * (searches + (event[:, k] == SEARCH))
    bought = np.concatenate([event[:, 1:] == BUY, np.zeros((n_users, 1), bool)], axis=1)
    return Steps(_events(ts, event), ts, event, e, opened, tau, bought)


def _events(ts: np.ndarray, event: np.ndarray) -> pd.DataFrame:
    user = np.repeat(np.arange(len(ts)), ts.shape[1])
    action, _, category = (pd.Series(NAMES[event.ravel()]).str.partition(":")[i] for i in range(3))
    return pd.DataFrame(
        {
            "user_id": [f"{u:04d}" for u in user],
            "ts": ts.ravel(),
            "action": action,
            "category": category,
            "item_id": [f"{name}-{u % 4}" for name, u in zip(category, user, strict=True)],
        }
    )
