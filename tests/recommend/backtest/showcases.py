"""Small showcase logs as whybuy reads them, with their truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from whybuy import columns as c
from whybuy.config import Config, load_config
from whybuy.events.log import EventLog
from whybuy.events.shards import ingest
from whybuy.recommend.backtest import Evaluation, evaluate_log
from whybuy.worlds.shop import START
from whybuy.worlds.showcase import SHOWCASES, ShowcaseLog, Size, bought_by_chance, draw_log, write_log

DAY = 86_400_000


@dataclass(frozen=True)
class Case:
    """A drawn log, as read, and what was found on it."""

    drawn: ShowcaseLog
    log: EventLog
    config: Config
    found: Evaluation

    def true_value(self, ranking: np.ndarray, *, n_draws: int, power: float) -> float:
        """Return purchases per 1,000 shown had a policy shown slates drawn with weights 1 / rank^power, exactly.

        In the states in which the judged slates were shown; ``ranking`` (n_items,) best first; power 0 is random.
        """
        rng = np.random.default_rng(0)
        log_weight = np.empty(len(ranking))
        log_weight[ranking] = -power * np.log(np.arange(1, len(ranking) + 1))
        state, means = self.drawn.start, []
        for happened in self.drawn.history:
            visitors, k = self._judged(happened.number, happened.visitor), happened.items.shape[1]
            for _ in range(n_draws if len(visitors) else 0):
                noisy = log_weight + rng.gumbel(size=(len(visitors), len(ranking)))
                items = np.argpartition(-noisy, k, axis=1)[:, :k]
                means.append(bought_by_chance(state, visitors, items)[visitors[:, None], items].ravel())
            state = state.after(happened)
        return 1_000 * float(np.concatenate(means).mean())

    def _judged(self, number: int, visitor: np.ndarray) -> np.ndarray:
        ts = START.value // 1_000_000 + number * DAY + self.drawn.start.people.minute[visitor] * 60_000
        return visitor[(ts >= self.found.judged.first_ms) & (ts <= self.found.judged.last_ms)]

    def events(self) -> pd.DataFrame:
        """Return the log with times in milliseconds."""
        events = self.drawn.shop.events
        return events.assign(**{c.TIME_MS: events[c.TIME].astype("datetime64[ms, UTC]").astype("int64")})

    def popular(self) -> np.ndarray:
        """Return the items by how many bought them before the first judged slate, best first."""
        events = self.events()
        early = events[(events[c.ACTION] == "purchase") & (events[c.TIME_MS] < self.found.judged.first_ms)]
        buyers = early.groupby(c.ITEM)[c.USER].nunique().reindex(self.drawn.shop.items[c.ITEM], fill_value=0)
        return np.argsort(-buyers.to_numpy(), kind="stable")


def case(world: str, seed: int, size: Size, folder: Path) -> Case:
    """Draw a log, read it and judge the policies on it."""
    drawn = draw_log(SHOWCASES[world], seed, size)
    config = load_config(write_log(drawn, folder / "shop")).model_copy(update={"lookback": "2d"})
    (folder / "log").mkdir(parents=True)
    log = ingest(config, folder / "log")
    return Case(drawn, log, config, evaluate_log(log, config))
