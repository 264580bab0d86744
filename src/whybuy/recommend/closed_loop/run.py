"""The loop itself: a first log by the shop's own policy, then parallel worlds, a policy in each."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pandas as pd

from whybuy.errors import PolicyError
from whybuy.recommend.closed_loop.contestants import (
    ALL_KNOWING,
    BY_LIFT,
    BY_P_BUY,
    LOGGING,
    POPULAR,
    AsBefore,
    Contestant,
    Fixed,
    Forecast,
    Knowing,
    Learner,
    Relearned,
    buyers_per_user,
    candidates_of,
)
from whybuy.recommend.closed_loop.one_step import Shown, shown
from whybuy.recommend.policy import Policy
from whybuy.worlds.chain import Float64
from whybuy.worlds.showcase import Bought, Equations, Shopfront, Size, Slates, logging_policy, tables
from whybuy.worlds.showcase.policy import EPSILON

DAYS_OF_A_WEEK = 7


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a loop is run.

    Parameters
    ----------
    size : of the world; its rounds, days, are those of the first log
    n_rounds : of the loop
    relearn_every : rounds between learning
    temperature : of the learned policies' Plackett-Luce, in chances
    floor : least propensity of every item in every slot

    Raises
    ------
    PolicyError
        There is no round, or no floor: what is never shown is never learned of, and no propensity may be 0.
    """

    size: Size = field(default_factory=lambda: Size(n_users=400, n_rounds=21))
    n_rounds: int = 21
    relearn_every: int = DAYS_OF_A_WEEK
    temperature: float = 0.005
    floor: float = 0.15 / 240

    def __post_init__(self) -> None:
        if min(self.size.n_rounds, self.n_rounds, self.relearn_every) < 1 or not self.floor > 0:
            raise PolicyError.of(
                found=f"{self.size.n_rounds} rounds, then {self.n_rounds}, learning every {self.relearn_every}, "
                f"floor {self.floor}",
                needed="at least 1 of each, and a floor above 0",
                do="Give every candidate a least probability, a thousandth say",
            )

    def explore(self, seed: int) -> Policy:
        """Return how slates are drawn from scores."""
        return Policy(k=self.size.n_slots, temperature=self.temperature, floor=self.floor, seed=seed)


@dataclass(frozen=True, eq=False)
class LoopRun:
    """One seed of one world.

    Attributes
    ----------
    rounds : one row per policy and day of the loop: policy, day (from 1), purchases, revenue, margin; all of all users
        (those who did not come too), per user
    shown : what ranking by lift showed in each round, with what tells its value above the logging policy's
    """

    rounds: pd.DataFrame
    shown: tuple[Shown, ...]


def run_loop(equations: Equations, seed: int, plan: Plan, learner: Learner) -> LoopRun:
    """Return what happened under every policy: the same people, the same past, the same luck.

    Parameters
    ----------
    learner : learns for two policies, one that ranks by lift and one by P(buy | shown), each from its own log
    """
    begun = Shopfront(equations, seed, plan.size)
    begun.run(logging_policy, plan.size.n_rounds)
    who = contestants(begun, plan, learner)
    rounds, shown = [], []
    for name, contestant in who.items():
        rival = who[LOGGING] if name == BY_LIFT else None
        for day, (bought, told) in enumerate(_life(begun.parallel(), contestant, plan.n_rounds, rival)):
            rounds.append({"policy": name, "day": day + 1, **_per_user(bought, plan.size.n_users)})
            shown += told
    return LoopRun(pd.DataFrame(rounds), tuple(shown))


def contestants(begun: Shopfront, plan: Plan, learner: Learner) -> dict[str, Contestant]:
    """Return who shows in the parallel worlds that begin where ``begun`` stands; models have learned its log."""
    explore, first = plan.explore(begun.seed), len(begun.history)
    own = replace(explore, temperature=1.0, epsilon=EPSILON, floor=0.0)
    model = learner.learn(tables(begun))
    learned = {
        name: Relearned(explore, learner, model, wanted, plan.relearn_every, first)
        for name, wanted in ((BY_P_BUY, _p_shown), (BY_LIFT, _lift))
    }
    return {
        LOGGING: AsBefore(own),
        POPULAR: Fixed(explore, buyers_per_user(begun)),
        **learned,
        ALL_KNOWING: Knowing(explore),
    }


def _life(
    front: Shopfront, contestant: Contestant, n_rounds: int, rival: Contestant | None
) -> Iterator[tuple[Bought, list[Shown]]]:
    """Yield what was bought in each round, and what tells the value above a rival where there is one."""
    for _ in range(n_rounds):
        context, state = front.context(), front.state
        mine = candidates_of(front, context, contestant.scores(front, context))
        slates = contestant.explore.slates(mine, round_number=context.number)
        others = None if rival is None else candidates_of(front, context, rival.scores(front, context))
        happened = front.show(context, Slates(slates.item, slates.propensity))
        told = []
        if rival is not None and others is not None:
            told = [shown(happened, state, (contestant.explore, mine), (rival.explore, others))]
        yield front.bought(happened), told


def _per_user(bought: Bought, n_users: int) -> dict[str, float]:
    return {
        "purchases": len(bought.item) / n_users,
        "revenue": float(bought.price.sum()) / n_users,
        "margin": float(bought.margin.sum()) / n_users,
    }


def _lift(found: Forecast) -> Float64:
    return found.lift


def _p_shown(found: Forecast) -> Float64:
    return found.p_shown
