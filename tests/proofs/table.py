"""What a proof says: one line per world and group of pairs, each figure beside what it is held against."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

Z95 = 1.959964
NULL = 0.002
"""|truth| below which a pair counts as without effect."""


@dataclass(frozen=True)
class Coverage:
    """How often 95% intervals hold the truth, with its own 95% interval.

    Pairs of one drawn shop share their log, so the interval is over shops: a jackknife where there are several.
    """

    share: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, held: pd.Series, draw: pd.Series) -> "Coverage":
        """Return the coverage of ``held`` (n,) booleans from the draws ``draw`` (n,)."""
        by_draw = held.groupby(draw.to_numpy()).agg(["sum", "count"])
        share = float(held.mean())
        left = (by_draw["sum"].sum() - by_draw["sum"]) / (by_draw["count"].sum() - by_draw["count"])
        n = len(by_draw)
        error = float(np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))
        return cls(
            share,
            max(0.0, share - Z95 * error),
            min(1.0, share + Z95 * error),
            len(held),
        )

    def __str__(self) -> str:
        """Write ``.95 [.93, .97]``."""
        return f"{self.share:.3f} [{self.low:.3f}, {self.high:.3f}]"


def with_errors(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the answers that have a number, with z values that know the truth's own Monte Carlo error.

    ``group``: null, non-null, and whether the treatment is among the rarest third of its world.
    """
    told = answers[answers.estimate.notna()].copy()
    for name, value, error in (
        ("z", "estimate", "std_error"),
        ("z_oracle", "oracle", "oracle_error"),
        ("z_scan", "scan", "scan_error"),
    ):
        if value in told:
            told[name] = (told[value] - told.truth) / np.hypot(told[error], told.truth_error)
    told["is_null"] = told.truth.abs() < NULL
    typical = told.groupby(["world", "treatment"]).n_treated.transform("mean")
    told["is_rare"] = typical <= typical.groupby(told.world).transform(lambda n: n.drop_duplicates().quantile(1 / 3))
    return told


def coverage_table(told: pd.DataFrame) -> pd.DataFrame:
    """Return coverage, root mean square z and errors, per world and group of pairs, beside the oracle's."""
    told = told.reset_index(drop=True)
    groups = {
        "all": np.ones(len(told), bool),
        "null": told.is_null,
        "non-null": ~told.is_null,
        "rarest third": told.is_rare,
    }
    rows = []
    for world, of_world in told.groupby("world", sort=False):
        for group, members in groups.items():
            part = of_world[members[of_world.index]]
            rows.append({"world": world, "pairs": group, **_figures(part)})
    return pd.DataFrame(rows)


def _figures(part: pd.DataFrame) -> dict[str, object]:
    def rmse(column: str) -> float:
        return float(np.sqrt(((part[column] - part.truth) ** 2).mean()))

    return {
        "n": len(part),
        "coverage": str(Coverage.of(part.z.abs() < Z95, part.seed)),
        "oracle": str(Coverage.of(part.z_oracle.abs() < Z95, part.seed)),
        "scan": f"{(part.z_scan.abs() < Z95).mean():.3f}",
        "mean z": float(part.z.mean()),
        "rms z": float(np.sqrt((part.z**2).mean())),
        "RMSE": rmse("estimate"),
        "to oracle": rmse("estimate") / rmse("oracle"),
        "width to oracle": float(part.std_error.mean() / part.oracle_error.mean()),
        "linear": rmse("linear"),
        "naive": rmse("naive"),
    }


def verdict_table(told: pd.DataFrame) -> pd.DataFrame:
    """Return per world how verdicts fare: found, wrong signs, false discoveries, and the excess over linear."""
    rows = []
    for world, part in told.groupby("world", sort=False):
        clear = part.truth.abs() >= 4 * part.oracle_error
        signed = part.truth.abs() >= 3 * part.oracle_error
        called = part.q_value < 0.05
        wrong = called & (np.sign(part.estimate) != np.sign(part.truth))
        strong = part.verdict == "strong"
        null = part.is_null
        rows.append(
            {
                "world": world,
                "found of clear": _share(called & ~wrong, clear),
                "wrong sign of sizable": _share(wrong, signed),
                "wrong sign of other strong": _share(wrong, strong & ~signed),
                "null among strong": _share(null, strong),
                "strong among null": _share(strong, null),
                "strong of told .02 or more": _share(strong, called & (part.truth.abs() >= 0.02)),
                "excess to linear's": excess_to_linear(part),
            }
        )
    return pd.DataFrame(rows)


def _share(what: pd.Series, among: pd.Series) -> str:
    return f"{int((what & among).sum())}/{int(among.sum())}"


def excess_to_linear(part: pd.DataFrame) -> float:
    """Return our squared error beyond the oracle's as a share of the linear adjustment's, where that one is biased.

    Biased: its mean error over the draws is beyond two standard errors of that mean.
    """
    error = (part.linear - part.truth).groupby([part.treatment, part.outcome])
    biased = error.mean().abs() > 2 * error.std() / np.sqrt(error.count())
    members = pd.MultiIndex.from_arrays([part.treatment, part.outcome]).isin(biased.index[biased])
    among = part[members]
    beyond = {
        column: ((among[column] - among.truth) ** 2).mean() - ((among.oracle - among.truth) ** 2).mean()
        for column in ("estimate", "linear")
    }
    return float(beyond["estimate"] / beyond["linear"])


def frozen_table(frozen: pd.DataFrame) -> pd.DataFrame:
    """Return per pair the coverage over the draws with grounds for a number, and the bias of all draws together.

    ``bias in se``: the bias in standard errors of one draw, the unit in which it spoils that draw's interval.
    """
    rows = []
    for (world, treatment, outcome), part in frozen.groupby(["world", "treatment", "outcome"], sort=False):
        every, one = part[part.draw < 0].iloc[0], part[(part.draw >= 0) & part.estimate.notna()]
        held = {
            name: float((((one[name] - one.truth) / np.hypot(one[error], one.truth_error)).abs() < Z95).mean())
            for name, error in (("estimate", "std_error"), ("oracle", "oracle_error"))
        }
        rows.append(
            {
                "world": world,
                "treatment": treatment,
                "outcome": outcome,
                "truth": every.truth,
                "draws": len(one),
                "coverage": held["estimate"],
                "oracle's": held["oracle"],
                "bias": every.estimate - every.truth,
                "its error": float(np.hypot(every.std_error, every.truth_error)),
                "oracle's bias": every.oracle - every.truth,
                "bias in se": (every.estimate - every.truth) / one.std_error.mean(),
            }
        )
    return pd.DataFrame(rows)
