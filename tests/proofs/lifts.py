"""Lifts by person on showcase logs, kept one by one, so that a stopped proof goes on where it stopped.

python -m tests.proofs.lifts                      # what is missing of the proof's seeds; the table
python -m tests.proofs.lifts --seeds 0 1          # seeds that choose settings
python -m tests.proofs.lifts --seeds 100 --estimated   # as if no chance of being shown were logged
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import duckdb
import numpy as np
import pandas as pd

from tests.proofs.kept import all_kept
from tests.proofs.lift_learner import LiftLearner, load
from whybuy import columns as c
from whybuy.recommend.personal.acts import Acts
from whybuy.worlds.showcase import FULL, SHOWCASES, THIN, chances, draw_log, mean_top_lift
from whybuy.worlds.showcase.state import KINDS, NAG

SEEDS = (100, 101)
SIZES = {"full": FULL, "thin": THIN}
ROOMS = ("worlds", "recommend")
TOP = 10


def one_log(world: str, size: str, seed: int, *, estimated: bool = False) -> pd.DataFrame:
    """Return how good the lifts of one log are, as one row; with chances of being shown as logged or estimated."""
    log = draw_log(SHOWCASES[world], seed, SIZES[size])
    model = LiftLearner(estimated).learn(log.shop).lifts
    n_users, n_items = len(log.shop.users), len(log.shop.items)
    user, item = np.repeat(np.arange(n_users), n_items), np.tile(np.arange(n_items), n_users)
    with duckdb.connect() as con:
        load(con, log.shop, log.shop.users[c.USER].to_numpy(object))
        end = con.execute("SELECT max(t) FROM ev").fetchall()[0][0] + 1
        found = model.of(model.known(Acts.of(con)), user, item, np.full(len(user), end))
    lift, low, high, p_shown = (
        getattr(found, name).reshape(n_users, n_items) for name in ("lift", "low", "high", "p_shown")
    )
    truth, kind = log.lift(), log.end.goods.kind
    best = mean_top_lift(log.best(), truth, TOP)
    held = (low <= truth) & (truth <= high)
    first = np.argpartition(-lift, TOP - 1, axis=1)[:, :TOP]
    shares = {
        "ours": mean_top_lift(lift, truth, TOP) / best,
        "our P(buy)": mean_top_lift(p_shown, truth, TOP) / best,
        "all-knowing P(buy)": mean_top_lift(chances(log.end).shown, truth, TOP) / best,
        "nags": (kind[first] == NAG).mean(),
        "held": held.mean(),
        "held of the top 10": np.take_along_axis(held, first, axis=1).mean(),
        **{f"held of {name}": held[:, kind == k].mean() for k, name in enumerate(KINDS)},
    }
    return pd.DataFrame([{"world": world, "size": size, "seed": seed, **shares}])


def measured(seeds: Sequence[int] = SEEDS) -> pd.DataFrame:
    """Return one row per world, size and seed."""
    jobs = {
        f"lifts-{world}-{size}-{seed}": partial(one_log, world, size, seed)
        for seed in seeds
        for world in SHOWCASES
        for size in SIZES
    }
    return all_kept(jobs, ROOMS)


def measured_without_chances(seeds: Sequence[int] = SEEDS[:1], sizes: Sequence[str] = ("thin",)) -> pd.DataFrame:
    """Return the same where no chance of being shown is logged."""
    jobs = {
        f"lifts-estimated-{world}-{size}-{seed}": partial(one_log, world, size, seed, estimated=True)
        for seed in seeds
        for world in SHOWCASES
        for size in sizes
    }
    return all_kept(jobs, ROOMS)


def main() -> None:
    """Run what is missing and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--estimated", action="store_true", help="as if no chance of being shown were logged")
    asked = parser.parse_args()
    table = measured_without_chances(asked.seeds, tuple(SIZES)) if asked.estimated else measured(asked.seeds)
    sys.stdout.write(f"{table.round(4).to_string()}\n")


if __name__ == "__main__":
    main()
