"""Shoppers whose effects are known, and of whom those who buy most are moved least.

A shopper has a need u ~ N(0, 1), a habit h ~ N(0, 1), a dislike of mail d that a quarter have, and two more columns.

    P(Y = 1 | not sent) = p0  = expit(-1.5 + 1.6 h)
    effect              = tau = .24 expit(2 u - 1.5 h - 1) (1 - d) - .18 d min(1, 2 p0)
    P(Y = 1 | sent)     = p0 + tau, kept in [0, 1]

Whoever has the habit buys anyway: P(Y) ranks by h, which is the wrong way round. Sent with probability .5 ("even"), by
known chances .2 or .8 according to h ("strata"), or, unknown to the reader, with expit(1.2 h) in [.1, .9] ("targeted"):
those who would buy anyway are sent more, so the naive difference is too large. Each user has ``each`` rows of one arm
and the same u, h and d, and half of a user's rows share one draw of Y: rows of a user are alike.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class Shoppers:
    X: np.ndarray
    T: np.ndarray
    Y: np.ndarray
    e: np.ndarray
    p0: np.ndarray
    tau: np.ndarray
    user: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """Doubly robust scores from the true nuisances."""
        mu1 = self.p0 + self.tau
        seen = np.where(self.T > 0, mu1, self.p0)
        return self.tau + (self.T - self.e) / (self.e * (1 - self.e)) * (self.Y - seen)


def draw(seed: int, *, n_users: int = 4000, each: int = 1, assigned: str = "even", moved: bool = True) -> Shoppers:
    """Return shoppers; nobody is moved by anything where not ``moved``."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), each)
    u, h, noise, more = rng.normal(size=(4, n_users))
    dislikes = (rng.random(n_users) < 0.25).astype(float)
    p0 = expit(-1.5 + 1.6 * h)
    tau = 0.24 * expit(2 * u - 1.5 * h - 1) * (1 - dislikes) - 0.18 * dislikes * np.minimum(1, 2 * p0)
    tau = np.clip(p0 + tau * moved, 0, 1) - p0
    e = {
        "even": np.full(n_users, 0.5),
        "strata": np.where(h > 0, 0.8, 0.2),
        "targeted": np.clip(expit(1.2 * h), 0.1, 0.9),
    }[assigned]
    X = np.column_stack([u, h, dislikes, noise, more])
    T = (rng.random(n_users) < e)[user].astype(float)
    alike = np.where(rng.random(len(user)) < 0.5, rng.random(n_users)[user], rng.random(len(user)))
    Y = (alike < p0[user] + T * tau[user]).astype(float)
    return Shoppers(X[user], T, Y, e[user], p0[user], tau[user], user)


def true_areas(tau: np.ndarray, priority: np.ndarray) -> tuple[float, float]:
    """Return AUTOC and Qini of a ranking among people of known effects, term by term."""
    ranked = tau[np.argsort(-priority, kind="stable")]
    toc = np.cumsum(ranked) / np.arange(1, len(tau) + 1) - tau.mean()
    return float(toc.mean()), float((np.arange(1, len(tau) + 1) / len(tau) * toc).mean())
