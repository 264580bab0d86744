"""A quick learner for tests: per item, ridge regressions of its purchases on what the user lately did by category.

One regression among visits at which the item was shown, inversely weighed by the chance to be shown, one among the
others; the difference is the lift. The shop's final learner fits in its place.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.recommend.closed_loop import Forecast

KEEPS = 0.5 ** (1 / 7)  # of a round ago
LOOKED, BOUGHT = ("view", "click"), ("purchase",)


@dataclass(frozen=True)
class Counts:
    """Rounds, users and items of a log by number."""

    items: pd.Series
    users: pd.Series
    category: np.ndarray
    segment: np.ndarray

    @classmethod
    def of(cls, log):
        return cls(
            pd.Series(np.arange(len(log.items)), log.items[c.ITEM]),
            pd.Series(np.arange(len(log.users)), log.users[c.USER]),
            pd.factorize(log.items[c.CATEGORY])[0],
            pd.factorize(log.users.iloc[:, 1], sort=True)[0],
        )

    def rows(self, events):
        """Return user, item, round of events."""
        code, sessions = pd.factorize(events[c.SESSION])
        round_ = np.array([int(name.rsplit("-", 1)[1]) for name in sessions])[code]
        return self.users[events[c.USER]].to_numpy(), self.items[events[c.ITEM]].to_numpy(), round_

    def before_each_round(self, events):
        """Return (n_rounds + 1, n_users, d) what is known of users before each round."""
        parts, every, action = [], self.rows(events), events[c.ACTION].to_numpy()
        n_rounds = 1 + every[2].max()
        for actions in (LOOKED, BOUGHT):
            user, item, round_ = (column[np.isin(action, actions)] for column in every)
            new = np.zeros((n_rounds + 1, len(self.users), self.category.max() + 1))
            np.add.at(new, (round_ + 1, user, self.category[item]), 1.0)
            for number in range(1, len(new)):
                new[number] = KEEPS * new[number] + KEEPS * new[number - 1]
            parts.append(np.log1p(new))
        shape = (*parts[0].shape[:2], 1)
        parts += [np.ones(shape), np.broadcast_to(self.segment[:, None], shape)]
        return np.concatenate(parts, axis=2)


@dataclass(frozen=True)
class RidgeForecaster:
    shown: np.ndarray
    alone: np.ndarray

    def predict(self, log, user_id, at):
        counts = Counts.of(log)
        x = counts.before_each_round(log.events)[-1][counts.users[user_id].to_numpy()]
        p_shown, p_alone = (np.clip(x @ beta, 0.0, 1.0) for beta in (self.shown, self.alone))
        return Forecast(p_shown - p_alone, p_shown)


@dataclass(frozen=True)
class RidgeLearner:
    penalty: float = 30.0

    def learn(self, log):
        counts, events = Counts.of(log), log.events
        X = counts.before_each_round(events)
        impressions = events[events[c.ACTION] == "impression"]
        user, item, round_ = counts.rows(impressions)
        cube = (len(X), len(counts.users), len(counts.items))
        shown, bought = np.zeros(cube, np.float32), np.zeros(cube, bool)
        place, p = impressions[c.SLOT].to_numpy(), impressions[c.PROPENSITY].to_numpy()
        shown[round_, user, item] = 1 / (1 / p + place.max() - place)
        buyer, what, when = counts.rows(events[events[c.ACTION] == "purchase"])
        bought[when, buyer, what] = True
        came = (shown > 0).any(axis=2)
        X, weight, Y = X[came], shown[came], bought[came].astype(float)
        return RidgeForecaster(
            np.stack([self.fit(X, Y[:, k], weight[:, k] > 0, weight[:, k]) for k in range(Y.shape[1])], axis=1),
            np.stack([self.fit(X, Y[:, k], weight[:, k] == 0) for k in range(Y.shape[1])], axis=1),
        )

    def fit(self, X, y, rows, p=None):
        """Return (d,) the coefficients among ``rows``, weighed by 1 / p, p being a fifth of its mean at least."""
        if not rows.any():
            return np.zeros(X.shape[1])
        w = np.ones(rows.sum()) if p is None else 1 / np.maximum(p[rows], p[rows].mean() / 5)
        w = w / w.mean()
        penalty = np.full(X.shape[1], self.penalty)
        penalty[-2] = 1e-6  # the constant
        A = X[rows].T @ (w[:, None] * X[rows]) + np.diag(penalty)
        return np.linalg.solve(A, X[rows].T @ (w * y[rows]))
