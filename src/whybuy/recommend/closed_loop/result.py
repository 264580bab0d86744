"""Seeds put together: what each policy added, over time, with intervals over parallel worlds."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd
from scipy.stats import t as student

from whybuy.errors import PolicyError
from whybuy.recommend.closed_loop.contestants import ALL_KNOWING, BY_LIFT, BY_P_BUY, LOGGING, POLICIES
from whybuy.recommend.closed_loop.one_step import LABEL

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MEASURES: Final = ("purchases", "revenue", "margin")
WEEK: Final = 7
LEVEL: Final = 0.95
ROUNDS: Final = ("world", "seed", "policy", "day", *MEASURES)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClosedLoop:
    """What policies brought in parallel worlds, seed by seed.

    Attributes
    ----------
    rounds : one row per world, seed, policy and day of the loop (from 1): purchases, revenue (EUR) and margin (EUR) per
        user, all purchases of all users counted, so that what showing one item takes from another is taken off
    one_step : one row per world, seed, period (0: all together) and estimator, of :func:`~.one_step.one_step_values`:
        the value of ranking by lift above the logging policy, told from the log alone

    Raises
    ------
    PolicyError
        A world has fewer than two seeds, or a seed lacks a policy or a day.
    """

    rounds: pd.DataFrame
    one_step: pd.DataFrame

    def __post_init__(self) -> None:
        for world, rows in self.rounds.groupby("world"):
            cells = rows.groupby(["seed", "policy"])["day"].nunique().unstack()
            if len(cells) < 2 or cells.isna().any(axis=None) or cells.to_numpy().min() < rows["day"].max():
                shortest = cells.fillna(0).to_numpy().min()
                raise PolicyError.of(
                    found=f"{len(cells)} seeds of {world}, the shortest with {shortest:.0f} days",
                    needed="at least two seeds, every policy on every day of each",
                    do="Run the seeds that are missing",
                )

    @property
    def worlds(self) -> tuple[str, ...]:
        """The worlds, in the order of the rows."""
        return tuple(self.rounds["world"].unique())

    @property
    def n_days(self) -> int:
        """Days of the loop."""
        return int(self.rounds["day"].max())

    def added(self, world: str, policy: str, *, against: str = LOGGING, measure: str = "purchases") -> pd.DataFrame:
        """Return what ``policy`` brought more than ``against`` up to each day, per user, with 95% intervals over seeds.

        Differences are paired: both worlds of a seed have the same people and the same luck. ``ALL_KNOWING`` against a
        policy is that policy's regret.

        Returns
        -------
        DataFrame
            day, estimate, low, high; cumulative
        """
        by_day = self._paired(world, policy, against, measure).cumsum(axis=1)
        return _intervals(by_day).reset_index()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per world, week (0: all weeks), policy, rival and measure, per user, numbers only."""
        rows = []
        policies = [policy for policy in (*POLICIES, ALL_KNOWING) if policy in set(self.rounds["policy"])]
        rivals = [(p, a) for p, a in product(policies, (LOGGING, BY_P_BUY)) if p != a] + [
            (ALL_KNOWING, policy) for policy in policies if policy not in (ALL_KNOWING, LOGGING, BY_P_BUY)
        ]
        for world, (policy, against), measure in product(self.worlds, rivals, MEASURES):
            by_day = self._paired(world, policy, against, measure)
            week = 1 + (by_day.columns.to_numpy() - 1) // WEEK
            by_week = by_day.T.groupby(week).sum().T
            by_week.insert(0, 0, by_week.sum(axis=1))
            found = _intervals(by_week).rename_axis("week").reset_index()
            ahead = (by_week > 0).mean().to_numpy()
            rows.append(
                found.assign(world=world, policy=policy, against=against, measure=measure, seeds_ahead=ahead).assign(
                    n_seeds=len(by_day)
                )
            )
        first = ["world", "policy", "against", "measure", "week"]
        table = pd.concat(rows, ignore_index=True)
        return table[[*first, "estimate", "low", "high", "seeds_ahead", "n_seeds"]]

    def coverage(self) -> pd.DataFrame:
        """Return how often 95% intervals of the one-step value held the truth: of periods, and of all together."""
        found = self.one_step.assign(
            held=lambda rows: (rows["low"] <= rows["truth"]) & (rows["truth"] <= rows["high"]),
            error=lambda rows: rows["estimate"] - rows["truth"],
            time=lambda rows: np.where(rows["period"] == 0, "all periods", "one period"),
        )
        groups = found.groupby(["world", "estimator", "time"], sort=False)
        table = groups.agg(
            coverage=("held", "mean"),
            n=("held", "size"),
            bias=("error", "mean"),
            std_error=("std_error", "mean"),
            truth=("truth", "mean"),
        )
        return table.reset_index()

    def summary(self) -> str:
        """Return what ranking by lift added, in words."""
        table = self.to_frame().query("week == 0 and measure != 'revenue'")
        asked = ((BY_LIFT, LOGGING), (BY_LIFT, BY_P_BUY), (ALL_KNOWING, BY_LIFT))
        lines = [
            self._brought(row)
            for world, (policy, against) in product(self.worlds, asked)
            for row in table[
                (table["world"] == world) & (table["policy"] == policy) & (table["against"] == against)
            ].to_dict("records")
        ]
        told = self.coverage().query("estimator == 'snips'").to_dict("records") if len(self.one_step) else []
        return "\n".join([*lines, *map(_told, told)])

    def plot(self) -> "Figure":
        """Return purchases added per 100 users since the loop began, a panel per world, with 95% bands over seeds."""
        from whybuy.recommend.closed_loop.picture import added_over_time

        return added_over_time(self)

    def to_json(self) -> str:
        """Return the measured rows as JSON, six decimals."""
        tables = {"rounds": self.rounds, "one_step": self.one_step}
        return json.dumps({name: table.round(6).to_dict("list") for name, table in tables.items()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what :meth:`to_json` wrote."""
        return cls(**{name: pd.DataFrame(columns) for name, columns in json.loads(text).items()})

    @classmethod
    def of(cls, parts: Sequence["ClosedLoop | tuple[pd.DataFrame, pd.DataFrame]"]) -> Self:
        """Return several (rounds, one_step) as one."""
        pairs = [(part.rounds, part.one_step) if isinstance(part, ClosedLoop) else part for part in parts]
        rounds, one_step = (pd.concat(tables, ignore_index=True) for tables in zip(*pairs, strict=True))
        return cls(rounds=rounds, one_step=one_step)

    def _brought(self, row: Mapping[Hashable, Any]) -> str:
        unit = "EUR of margin" if row["measure"] == "margin" else "purchases"
        estimate, low, high = (100 * row[name] for name in ("estimate", "low", "high"))
        return (
            f"{row['world']}: {row['policy']} brought {estimate:+.1f} [{low:+.1f}, {high:+.1f}] {unit} per 100 users "
            f"in {self.n_days} days more than {row['against']} "
            f"({row['seeds_ahead']:.0%} of {row['n_seeds']} parallel worlds)."
        )

    def _paired(self, world: str, policy: str, against: str, measure: str) -> pd.DataFrame:
        """Return (n_seeds, n_days) differences of the same luck."""
        rows = self.rounds[self.rounds["world"] == world]
        for name in (policy, against):
            if name not in set(rows["policy"]):
                raise PolicyError.of(
                    found=f"No policy {name!r}",
                    needed=f"one of {sorted(set(rows['policy']))}",
                    do="Ask for one of these",
                )
        mine, other = (
            rows[rows["policy"] == name].pivot_table(index="seed", columns="day", values=measure)
            for name in (policy, against)
        )
        return mine - other


def _intervals(values: pd.DataFrame) -> pd.DataFrame:
    """Return mean and 95% t interval over the rows (seeds) of every column."""
    n = len(values)
    half = student.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    mean = values.mean()
    return pd.DataFrame({"estimate": mean, "low": mean - half, "high": mean + half})


def _told(row: Mapping[Hashable, Any]) -> str:
    return (
        f"{row['world']}, told from the log alone ({LABEL}): the interval of {row['time']} held the true value "
        f"above the logging policy in {row['coverage']:.0%} of {row['n']}."
    )
