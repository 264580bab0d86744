"""The step trials of a drawn shop, judged with what only its world knows."""

import numpy as np

from whybuy.worlds.chain import DAY_MS
from whybuy.worlds.intervene import HORIZON_MS, LOOKBACK_MS


class Trials:
    """The step trials of a shop that was drawn with its propensities.

    Built without whybuy's own trials, so that the two can be held against each other.
    """

    def __init__(self, world, shop):
        self.equations = world.equations
        own = shop.events["action"] != "campaign"
        if "order_id" in shop.events:  # further lines of an order are the same moment
            own &= ~(shop.events["order_id"].notna() & shop.events.duplicated("order_id"))
        events = shop.events[own]
        category = events["item_id"].map(shop.items.set_index("item_id")["category"])
        if "category" in events:
            category = events["category"].fillna(category)
        position = {cell: k for k, cell in enumerate(shop.cells)}
        cell = np.array([position[f"{a}:{c}"] for a, c in zip(events["action"], category, strict=True)])
        user = shop.users["user_id"].searchsorted(events["user_id"])
        ts = (events["ts"].astype("int64") - shop.events["ts"].astype("int64").min()).to_numpy()
        order = np.lexsort((ts, user))
        user, ts, cell = user[order], ts[order], cell[order]
        key = user * (60 * DAY_MS) + ts
        happens = self.equations.is_outcome(cell)
        running = np.concatenate([np.zeros((1, happens.shape[1]), int), np.cumsum(happens, axis=0)])
        until = np.searchsorted(key, key + HORIZON_MS, side="right")
        Y = (running[until] > running[np.arange(len(key)) + 1]).astype(float)
        eligible = (ts >= LOOKBACK_MS) & (ts <= self.equations.days * DAY_MS - HORIZON_MS)
        self.user, self.cell, self.Y = user[eligible], cell[eligible], Y[eligible]
        self.P, self.logged = (
            P[own.to_numpy()][order][eligible].astype(float) for P in (shop.propensity, shop.logged_propensity)
        )

    def parts(self, effect, P):
        """Return T, e, Y of the decisions that are not the outcome, and which those are."""
        a, b = self.equations.outcomes.index(effect.outcome), self.equations.cells.index(effect.treatment)
        apart = effect.treatment != effect.outcome
        keep = ~(self.equations.is_outcome(self.cell)[:, a] & apart)
        is_a = self.equations.is_outcome(np.arange(len(self.equations.cells)))[:, a] * apart
        e = P[:, b] / (1 - P @ is_a)
        return (self.cell == b)[keep].astype(float), e[keep], self.Y[keep, a], keep

    def oracle(self, effect):
        """Return estimate and clustered error of residual on residual with the true e and a linear m."""
        T, e, Y, keep = self.parts(effect, self.P)
        return self._residual_on_residual(T - e, _unexplained(_knowing(self.P[keep]), Y), keep)

    def logged_only(self, effect):
        """Return the same where nobody knows more than the log tells: e and m linear in what it implies."""
        T, e, Y, keep = self.parts(effect, self.logged)
        X = np.concatenate([_knowing(self.logged[keep]), e[:, None]], axis=1)
        return self._residual_on_residual(_unexplained(X, T), _unexplained(X, Y), keep)

    def _residual_on_residual(self, RT, RY, keep):
        D = (RT**2).sum()
        estimate = (RT * RY).sum() / D
        return estimate, np.sqrt((np.bincount(self.user[keep], RT * RY - estimate * RT**2) ** 2).sum()) / D

    def naive(self, effect):
        """Return P(outcome | treated) - P(outcome | control), and P(outcome | treated) / P(outcome)."""
        T, _, Y, _ = self.parts(effect, self.P)
        return Y[T > 0].mean() - Y[T == 0].mean(), Y[T > 0].mean() / Y.mean()


def _knowing(P):
    return np.concatenate([np.log(P), np.ones((len(P), 1))], axis=1)


def _unexplained(X, y):
    return y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
