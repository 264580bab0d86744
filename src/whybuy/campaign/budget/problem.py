"""What may be sent to whom, at what price and within what limits, as plain arrays that are checked once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from whybuy.causal.clusters import Float64
from whybuy.errors import ArraysError, nearest

SLACK = 1e-9
"""Of a limit itself: sums of costs are rounded, and ten times .1 shall fit into 1."""

_PARTS = 10_000
"""Of the unit of money, the finest that costs are looked at for a common coin."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Offers:
    """What can be sent, and how often.

    Parameters
    ----------
    cost : (n_offers,) what sending each costs, or (n_people, n_offers) where it differs by person; positive
    names : (n_offers,) of the offers; "offer 1" and so on where None
    channels : (n_offers,) how each is sent, "email" say, where channels have limits
    at_most : how many of an offer, or over a channel, can be sent in all, by its name
    per_person : how many offers one person gets at most; their values are taken to add up
    per_channel : of them over a channel, by its name

    Raises
    ------
    ArraysError
        A cost that is not positive, names that are not one per offer or not distinct, limits of what is not there or
        below 1.
    """

    cost: npt.ArrayLike
    names: Sequence[str] | None = None
    channels: Sequence[str] | None = None
    at_most: Mapping[str, int] = field(default_factory=dict)
    per_person: int = 1
    per_channel: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cost = self.costs
        if cost.ndim != 2 or cost.shape[1] == 0:
            raise ArraysError.of(
                found=f"cost has the shape {np.shape(self.cost)}",
                needed="one cost per offer, or per person and offer",
                do="Pass (n_offers,) or (n_people, n_offers)",
            )
        wrong = cost[~((cost > 0) & np.isfinite(cost))]
        if len(wrong):
            raise ArraysError.of(
                found=f"{len(wrong)} of {cost.size} costs are not positive, such as {wrong[0]:g}",
                needed="what sending each offer costs, above 0",
                do="Bring the true costs; what costs next to nothing has a small cost, and at_most limits it",
            )
        self._require_names()
        self._require_limits()

    @cached_property
    def costs(self) -> Float64:
        """(1, n_offers) or (n_people, n_offers)."""
        return np.atleast_2d(np.asarray(self.cost, float, order="C"))

    @property
    def n_offers(self) -> int:
        """The number of offers."""
        return self.costs.shape[1]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """(n_offers,) names of the offers."""
        return tuple(f"offer {k + 1}" for k in range(self.n_offers)) if self.names is None else tuple(self.names)

    @cached_property
    def members(self) -> Float64:
        """(n_limits, n_offers) whether an offer counts against a limit of ``at_most``: 0 or 1."""
        channels = self.channels if self.channels is not None else self.labels
        rows = [[float(name in pair) for pair in zip(self.labels, channels, strict=True)] for name in self.at_most]
        return np.array(rows).reshape(-1, self.n_offers)

    @cached_property
    def channel(self) -> npt.NDArray[np.int64]:
        """(n_offers,) number of each offer's channel, from 0."""
        names = self.labels if self.channels is None else tuple(self.channels)
        place = {name: k for k, name in enumerate(dict.fromkeys(names))}
        return np.array([place[name] for name in names], np.int64)

    @cached_property
    def room(self) -> npt.NDArray[np.int64]:
        """(n_channels,) how many offers one person gets over each channel at most."""
        names = dict.fromkeys(self.labels if self.channels is None else self.channels)
        return np.array([min(self.per_channel.get(name, self.per_person), self.per_person) for name in names], np.int64)

    @cached_property
    def coin(self) -> float | None:
        """The largest amount that every cost is a multiple of; None where that is below a ten-thousandth."""
        parts = self.costs * _PARTS
        whole = np.rint(parts)
        if not (np.abs(parts - whole) <= SLACK * parts).all() or whole.max() >= 2**53:
            return None
        return float(np.gcd.reduce(whole.astype(np.int64), axis=None)) / _PARTS

    def _require_names(self) -> None:
        given = {"names": self.labels, "channels": self.labels if self.channels is None else tuple(self.channels)}
        for what, found in given.items():
            if len(found) != self.n_offers:
                raise ArraysError.of(
                    found=f"{len(found)} {what} and {self.n_offers} costs", needed="one per offer", do="Align them"
                )
        mixed = set(self.labels) & set(self.channels or ())
        if len(set(self.labels)) < self.n_offers or mixed:
            raise ArraysError.of(
                found=f"{next(iter(mixed))!r} names an offer and a channel" if mixed else "Offers of the same name",
                needed="a name for each",
                do="Rename one",
            )

    def _require_limits(self) -> None:
        known = [*self.labels, *(self.channels or ())]
        for name, most in self.at_most.items():
            if name not in known:
                near = nearest(name, known)
                raise ArraysError.of(
                    found=f"A limit for {name!r}",
                    needed=f"an offer or a channel: {', '.join(dict.fromkeys(known))}",
                    do=f"Use {near!r}" if near else "Correct at_most, or pass channels",
                )
            _require_count(most, f"at_most[{name!r}]", do="Leave an offer that may not be sent out of the arrays")
        _require_count(self.per_person, "per_person", do="Pass 1 where nobody gets two offers")
        for name, most in self.per_channel.items():
            if name not in (self.channels or ()):
                raise ArraysError.of(
                    found=f"A limit per person for {name!r}",
                    needed=f"a channel: {', '.join(dict.fromkeys(self.channels or ())) or 'none was passed'}",
                    do="Correct per_channel, or pass channels",
                )
            _require_count(most, f"per_channel[{name!r}]", do="Leave an offer that may not be sent out of the arrays")


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Values of offers to people, and the offers.

    Attributes
    ----------
    values : (n_people, n_offers) what sending an offer adds against sending nothing, float32 or float64
    offers : their costs and limits
    """

    values: npt.NDArray[np.floating]
    offers: Offers

    @classmethod
    def of(cls, values: npt.ArrayLike, offers: Offers) -> "Problem":
        """Return the problem; rows of float32 or float64 are not copied, so a memmap stays one.

        Raises
        ------
        ArraysError
            Nobody, another shape than that of the offers, or values that are no numbers.
        """
        given = np.asarray(values, order="C")
        if given.dtype not in (np.float32, np.float64):
            given = given.astype(float)
        n, K = len(given) if given.ndim else 0, offers.n_offers
        if given.shape != (n, K) or n == 0:
            raise ArraysError.of(
                found=f"values has the shape {given.shape}",
                needed=f"a value for each of the {K} offers and every person, and at least one person",
                do="Pass (n_people, n_offers), without a column for sending nothing",
            )
        if len(offers.costs) not in (1, n):
            raise ArraysError.of(
                found=f"Costs for {len(offers.costs)} people and values for {n}", needed="as many", do="Align them"
            )
        # One sum tells that all is well, and holds no array as large as the values.
        if not np.isfinite(given.sum(dtype=float)):
            lacking = int((~np.isfinite(given).all(axis=1)).sum())
            raise ArraysError.of(
                found=f"{lacking} of {n} people have values that are NaN or infinite",
                needed="finite numbers",
                do="Leave out people without an estimate, or predict it; they are sent nothing",
            )
        return cls(values=given, offers=offers)

    @property
    def n_people(self) -> int:
        """The number of people."""
        return len(self.values)

    def limits(self, budget: float) -> Float64:
        """Return (1 + n_limits,) the budget, then what ``at_most`` says.

        Raises
        ------
        ArraysError
            The budget is negative or no number.
        """
        if not 0 <= budget < np.inf:
            raise ArraysError.of(
                found=f"A budget of {budget}",
                needed="an amount of at least 0, in the unit of the costs",
                do="Where only at_most is to limit, pass any amount that is larger than what can be spent",
            )
        return np.array([budget, *self.offers.at_most.values()], float)

    def spendable(self, budget: float) -> float:
        """Return what sums of costs can come to: costs in cents leave the parts of a cent over."""
        coin = self.offers.coin
        return budget if coin is None else float(np.floor(budget / coin * (1 + SLACK)) * coin)

    def rows(self, which: npt.NDArray[np.integer]) -> tuple[Float64, Float64]:
        """Return (n, n_offers) values and costs of some people."""
        costs = self.offers.costs
        values = self.values[which].astype(float)
        return values, np.broadcast_to(costs, values.shape) if len(costs) == 1 else costs[which]


def _require_count(value: float, name: str, *, do: str) -> None:
    if not (value >= 1 and value == int(value)):
        raise ArraysError.of(found=f"{name} = {value}", needed="a whole number of at least 1", do=do)
