"""Who gets which arm: drawn at random within strata, each stratum as near to the shares as whole units allow.

Units are shuffled within their strata, the strata laid side by side in any order, and along this line every arm
takes its share by equal steps from a random start (systematic sampling). So every unit's chance of an arm is exactly
the arm's share, in strata of one unit too, and what is rounded up in one stratum is rounded down in the next.

Source: Madow and Madow, On the theory of systematic sampling (Annals of Mathematical Statistics, 1944).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from whybuy.campaign.difference import MIN_UNITS
from whybuy.causal.clusters import Ints
from whybuy.errors import ArraysError

_WHOLE = 1e-6


def assign_units(
    units: npt.ArrayLike, shares: Mapping[str, float], *, strata: npt.ArrayLike | None = None, seed: int
) -> pd.DataFrame:
    """Return one row per unit, sorted by unit: ``unit``, ``arm``, ``stratum``; the same for any order of the input.

    Parameters
    ----------
    units : (n,) ids of what is assigned, each once
    shares : arm -> share of the units; the controls first
    strata : (n,) labels within which the shares hold; all units are one stratum where None

    Raises
    ------
    ArraysError
        A unit stands twice or has no id, the shares do not sum to 1, or an arm would get fewer than 15 units.
    """
    require_shares(list(shares.values()))
    ids = pd.Series(np.asarray(units, object))
    if ids.isna().any() or ids.duplicated().any():
        raise ArraysError.of(
            found=f"{int(ids.isna().sum())} units have no id and {int(ids.duplicated().sum())} stand twice",
            needed="every unit once",
            do="Leave out what has no id, and keep one row of each",
        )
    smallest = len(ids) * min(shares.values())
    if smallest < MIN_UNITS:
        raise ArraysError.of(
            found=f"{len(ids):,} units leave {smallest:.1f} in the smallest arm",
            needed=f"at least {MIN_UNITS} in every arm",
            do="Assign smaller units (people instead of regions, hours instead of days), or even shares",
        )
    label = "all" if strata is None else np.asarray(strata, object)
    frame = pd.DataFrame({"unit": ids.astype(str), "stratum": label}).astype({"stratum": str})
    frame = frame.sort_values("unit", ignore_index=True)
    code = pd.factorize(frame["stratum"], sort=True)[0].astype(np.int64)
    arm = draw_arms(code, np.array(list(shares.values())), np.random.default_rng(seed))
    frame["arm"] = np.array(list(shares), object)[arm]
    return frame[["unit", "arm", "stratum"]]


def draw_arms(stratum: Ints, shares: npt.NDArray[np.float64], rng: np.random.Generator) -> Ints:
    """Return the (n,) arm of every unit, from 0, given the (n,) stratum of each and the share of each arm."""
    arm = np.full(len(stratum), len(shares) - 1, np.int64)
    place = rng.permutation(int(stratum.max()) + 1)
    waiting = np.lexsort((rng.random(len(stratum)), place[stratum]))
    left = 1.0
    for number, share in enumerate(shares[:-1]):
        taken = np.diff(np.floor(np.arange(len(waiting) + 1) * (share / left) + rng.random())) > 0
        arm[waiting[taken]] = number
        waiting = waiting[~taken]
        left -= share
    return arm


def require_shares(shares: Sequence[float]) -> None:
    """Refuse shares of arms that are no shares."""
    if len(shares) < 2:
        raise ArraysError.of(
            found=f"{len(shares)} arm was named",
            needed="at least two, the controls first",
            do="Name the arms with their shares, as control=.5,treated=.5",
        )
    if min(shares) <= 0 or abs(sum(shares) - 1) > _WHOLE:
        raise ArraysError.of(
            found=f"The shares {', '.join(f'{share:g}' for share in shares)} sum to {sum(shares):g}",
            needed="positive shares that sum to 1",
            do="Correct them; whoever shall be left out of the experiment is an arm, too",
        )
