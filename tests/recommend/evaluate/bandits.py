"""A bandit whose truth is known: the logging policy shows items to those who like them least.

A user's mood moves every reward and is seen by nobody, so that rows of one user are alike; who is in the mood comes
more often. Taste for an item is seen by all policies: the logging one shows items to those who do not care for them, so
that what an item earned in the log is less than what it would earn if everybody saw it ("always").
"""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax

from whybuy.causal.clusters import clustered_ratio
from whybuy.recommend.evaluate import LoggedFeedback

Floats = npt.NDArray[np.float64]

N_ACTIONS = 6
APPEAL = np.linspace(-2.2, -0.8, N_ACTIONS)
N_TRUTH_USERS = 200_000


@dataclass(frozen=True)
class Draw:
    """A log with covariates X (n, 6), policies and the expected rewards, all (n, 6)."""

    log: LoggedFeedback
    X: Floats
    policies: dict[str, Floats]
    expected: Floats


@dataclass(frozen=True)
class Setting:
    """What makes intervals hard.

    Attributes
    ----------
    rarer : taken from every logit of a reward
    against_taste : how much the logging policy goes against the users' taste: the more, the larger the weights
    amounts : rewards are lognormal amounts of mean 1 with this sd of the logarithm; 0 for yes or no
    """

    rarer: float = 0.0
    against_taste: float = 0.9
    amounts: float = 0.0


USUAL = Setting()


def draw(seed: int, *, n_users: int, setting: Setting = USUAL) -> Draw:
    rng = np.random.default_rng(seed)
    mood = rng.normal(size=n_users)
    user = np.repeat(np.arange(n_users), 1 + rng.poisson(6 * expit(mood)))
    n = len(user)
    X = rng.normal(size=(n_users, N_ACTIONS))[user] * 0.5 + rng.normal(size=(n, N_ACTIONS)) * 0.5
    expected = expit(APPEAL - setting.rarer + X + 1.2 * mood[user, None])
    logging = softmax(-setting.against_taste * X, axis=1)
    action = (logging.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, N_ACTIONS - 1)
    rows = np.arange(n)
    reward = (rng.random(n) < expected[rows, action]).astype(float)
    if setting.amounts:
        reward *= rng.lognormal(-(setting.amounts**2) / 2, setting.amounts, n)
    log = LoggedFeedback.of(action, reward, logging[rows, action], users=user)
    policies = {
        "fitting": softmax(2 * (APPEAL + X), axis=1),
        "always": np.broadcast_to(np.eye(N_ACTIONS)[-1], (n, N_ACTIONS)),
    }
    return Draw(log, X, policies, expected)


@functools.cache
def truth(policy: str, setting: Setting = USUAL) -> float:
    """Mean expected reward per item shown, of users enough that simulation leaves less than .001 open."""
    drawn = draw(99, n_users=N_TRUTH_USERS, setting=setting)
    value = (drawn.policies[policy] * drawn.expected).sum(axis=1)
    found = clustered_ratio(value, 1.0, drawn.log.user)
    assert found.std_error < 0.001
    return found.value
