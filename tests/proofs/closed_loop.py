"""Closed loops of many seeds, kept one by one, so that a stopped proof goes on where it stopped.

    python -m tests.proofs.closed_loop                      # what is missing of the proof's seeds; the summary
    python -m tests.proofs.closed_loop --seeds 0 1          # seeds that choose settings

``docs/make_closed_loop.py`` makes the page's figure of the same kept answers.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from tests.proofs.kept import all_kept
from tests.proofs.lift_learner import LiftLearner
from whybuy.recommend.closed_loop import ClosedLoop, Learner, Plan, one_step_values, run_loop
from whybuy.recommend.closed_loop.result import ROUNDS
from whybuy.worlds.showcase import SHOWCASES

SEEDS = tuple(range(100, 120))
PLAN = Plan()
ROOMS = ("worlds", "recommend")
ONE_STEP = ("world", "seed", "period", "estimator", "truth", "mean_weight", "estimate", "std_error", "low", "high")


def learner() -> Learner:
    """Return who learns."""
    return LiftLearner()


def one_loop(world: str, seed: int) -> pd.DataFrame:
    """Return days and one-step values of one seed as one table; which of the two a row is of shows in its gaps."""
    run = run_loop(SHOWCASES[world], seed, PLAN, learner())
    values = one_step_values(
        run.shown, PLAN.size.n_users, every=PLAN.relearn_every, rng=np.random.default_rng([seed, 1])
    )
    return pd.concat([run.rounds, values], ignore_index=True).assign(world=world, seed=seed)


def measured(seeds: Sequence[int] = SEEDS) -> ClosedLoop:
    """Return the loops of both worlds; seeds not kept yet are run, one per core."""
    how = hashlib.sha256(repr((PLAN, learner())).encode()).hexdigest()[:8]
    jobs = {f"loop-{how}-{world}-{seed}": partial(one_loop, world, seed) for seed in seeds for world in SHOWCASES}
    rows = all_kept(jobs, ROOMS).sort_values(["world", "seed"], kind="stable")
    is_day = rows["day"].notna()
    days = rows.loc[is_day, list(ROUNDS)].astype({"day": int}).reset_index(drop=True)
    values = rows.loc[~is_day, list(ONE_STEP)].astype({"period": int}).reset_index(drop=True)
    return ClosedLoop(rounds=days, one_step=values)


def main() -> None:
    """Run what is missing and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    loop = measured(parser.parse_args().seeds)
    sys.stdout.write(f"{loop.summary()}\n\n{loop.coverage().round(4).to_string()}\n")


if __name__ == "__main__":
    main()
