r"""How likely it was that a slate held what it held, where only what was shown is logged, not with which probability.

The trials of showing know which candidates a slate held and which not, so the chance e(u, i, t) of being in it is
forecast from what was known before, by the networks that forecast purchases, with "was shown" in the place of "was
bought", each taught without the people it is used on. The probability of the slot follows as for logged ones: a slate
of k slots holds an item with probability 1 - (1 - p)^k.

Where they foretell no better than the share of slates that hold the item, which needs no person, that share is taken: a
shop that shows at random. And most of what was shown must have been avoidable: where the same people are shown the same
things whatever happens, what is not shown says nothing about what is, and there is no answer. Whatever moved the shop
beyond the log (a rule of the season, a salesman) stays in the lifts, and the answers say that the chances were
estimated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whybuy.events.log import EventLog
from whybuy.progress import Report
from whybuy.recommend.personal.acts import Acts
from whybuy.recommend.personal.covariates import Items
from whybuy.recommend.personal.learn import Known, draw, trials_of
from whybuy.recommend.personal.network import Network, rates_of, taught
from whybuy.recommend.personal.opportunities import Opportunities
from whybuy.recommend.personal.trials import Trials
from whybuy.recommend.store import estimated_file, load_events, write_parquet
from whybuy.recommend.terms import Terms, with_estimated_showing

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Covariates = npt.NDArray[np.float32]

N_FOLDS = 3
FEWEST_SHOWN = 1_000
"""Impressions below which no chances are learned."""
AVOIDABLE, LEAST_AVOIDABLE = 0.9, 0.5
"""An item is shown avoidably where its chance was at most this; at least such a share of what was shown has to be."""
_SURE = 0.999
_STEPS = 2


@dataclass(frozen=True, eq=False)
class ShowingModel:
    """The chances that slates hold items.

    Attributes
    ----------
    networks : by fold; users of a fold did not teach its network
    shares : (n_folds, n_items) share of the other folds' slates that hold the item
    log_loss, of_shares : per opportunity, by the networks and by the shares
    avoidable : share of what was shown whose chance was at most ``AVOIDABLE``
    n_shown : what taught it
    """

    networks: tuple[Network, ...]
    shares: Floats
    items: Items
    vectors: Covariates
    log_loss: float
    of_shares: float
    avoidable: float
    n_shown: int

    @classmethod
    def fit(cls, parts: list[Trials], items: Items, vectors: Covariates) -> "ShowingModel":
        """Teach it by the trials of every shard, of which those of slates count."""
        parts = [part.rows(~part.quiet) for part in parts]
        trials, fold = Trials.joined(parts), np.concatenate([_fold(part.user) for part in parts])
        asked = replace(trials, outcome=trials.shown, shown=np.zeros(len(trials), bool))
        networks = tuple(taught(asked, np.flatnonzero(fold != k)) for k in range(N_FOLDS))
        shares = np.stack([_shares(asked, fold != k) for k in range(N_FOLDS)])
        by_network, by_share = _forecast(networks, asked, fold), shares[fold, asked.item]
        log_loss, of_shares = _log_loss(asked, by_network), _log_loss(asked, by_share)
        chance = (by_network if log_loss < of_shares else by_share)[trials.shown]
        avoidable = float((chance <= AVOIDABLE).mean()) if len(chance) else 0.0
        return cls(networks, shares, items, vectors, log_loss, of_shares, avoidable, len(chance))

    @property
    def by_person(self) -> bool:
        """Whether the networks foretell better than the items' shares, and are used."""
        return self.log_loss < self.of_shares

    def why_not(self) -> str | None:
        """Return why these chances cannot be used, in words; None where they can."""
        if self.n_shown < FEWEST_SHOWN:
            return f"{self.n_shown:,} impressions with follow-up are too few ({FEWEST_SHOWN:,} are needed)"
        if self.avoidable < LEAST_AVOIDABLE:
            return (
                f"of what was shown only {100 * self.avoidable:.0f}% could have been left out: the same is shown "
                "whatever happens"
            )
        return None

    def of(self, known: Known, user: Ints, item: Ints, ts: Ints, horizon_ms: int) -> Floats:
        """Return (n,) the chances that slates hold ``item``, of users as their shard numbers them."""
        if not self.by_person:
            return np.asarray(self.shares[_fold(user), item])
        asked = trials_of(known, Opportunities.asked(user, item, ts), self.items, self.vectors, horizon_ms)
        return _forecast(self.networks, asked, _fold(user))


def estimate_showing(
    con: duckdb.DuckDBPyConnection, log: EventLog, terms: Terms, scratch: Path, report: Report
) -> Terms:
    """Write the chances of every shard's impressions into ``scratch`` where none was logged; return the terms.

    Reads the table ``items``. Where chances are logged, or cannot be told, the terms stay as they are but for a note.
    """
    impressions, purchases = (log.quality.actions.get(name, 0) for name in ("impression", "purchase"))
    if terms.basis == "impression" or not (impressions and purchases and terms.has_times):
        return terms
    steps = iter(range(1, (_STEPS + 1) * len(log.shards) + 1))

    def parts() -> Iterator[None]:
        for shard in log.shards:
            load_events(con, [shard])
            # Whatever is shown is taken to be usable, and is what is to be forecast.
            con.execute("UPDATE ev SET p = 0.5 WHERE action = 'impression'")
            yield
            report("recommend: chances of being shown", next(steps), (_STEPS + 1) * len(log.shards))

    model = ShowingModel.fit(*draw(con, parts, terms, windows_ms=terms.windows_ms))
    why_not = model.why_not()
    if why_not is not None:
        return replace(
            terms, notes=(*terms.notes, f"No impression has its probability, and it was not estimated: {why_not}")
        )
    for _, shard in zip(parts(), log.shards, strict=False):
        write_parquet(of_shard(con, model, terms), estimated_file(scratch, shard))
    return with_estimated_showing(terms, log, _told(model))


def of_shard(con: duckdb.DuckDBPyConnection, model: ShowingModel, terms: Terms) -> pa.Table:
    """Return (u, t, item, p) of what the table ``ev`` shows, p being the probability in a slot."""
    shown = con.execute(
        """SELECT u, t, item, count(*) OVER (PARTITION BY u, t) AS k
           FROM (SELECT DISTINCT u, t, item FROM ev WHERE action = 'impression' AND item IS NOT NULL)
           ORDER BY u, t, item"""
    ).fetchnumpy()
    u, t, item, k = (np.asarray(shown[name], np.int64) for name in ("u", "t", "item", "k"))
    known = Known.of(Acts.of(con), model.items, terms.windows_ms)
    chance = np.minimum(model.of(known, u, item, t, terms.horizon_ms), _SURE)
    return pa.table({"u": u.astype(np.int32), "t": t, "item": item.astype(np.int32), "p": 1 - (1 - chance) ** (1 / k)})


def _fold(user: Ints) -> Ints:
    return user % N_FOLDS


def _forecast(networks: tuple[Network, ...], asked: Trials, fold: Ints) -> Floats:
    """Return (n,) the chances by the network that the user's fold did not teach."""
    chance = np.empty(len(asked))
    for k, network in enumerate(networks):
        rows = np.flatnonzero(fold == k)
        chance[rows] = rates_of(network, asked, rows).not_shown
    return chance


def _shares(asked: Trials, rows: npt.NDArray[np.bool_]) -> Floats:
    """Return (n_items,) the share of slates that hold each item, with half a slate added to either side."""
    held, all_of = (
        np.bincount(asked.item[rows], weight, len(asked.features))
        for weight in ((asked.weight * asked.outcome)[rows], asked.weight[rows])
    )
    return np.asarray((held + 0.5) / (all_of + 1), float)


def _log_loss(asked: Trials, chance: Floats) -> float:
    p = np.clip(chance, 1e-9, _SURE)
    loss = -np.where(asked.outcome, np.log(p), np.log1p(-p))
    return float((asked.weight * loss).sum() / asked.weight.sum())


def _told(model: ShowingModel) -> str:
    what, loss = ("what people did before", model.log_loss) if model.by_person else ("its share alone", model.of_shares)
    return (
        f"No impression has its probability of being shown: it was estimated from {what} (log-loss {loss:.4f} per "
        f"opportunity, {model.of_shares:.4f} by each item's share; {100 * model.avoidable:.0f}% of what was shown "
        "could have been left out); what else moved the shop to show it stays in the lifts"
    )
