"""Every world by its name, and all alike: draw a shop, write it, know its truth."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from whybuy.errors import ConfigError
from whybuy.worlds.campaign import Campaign
from whybuy.worlds.chain import Equations
from whybuy.worlds.demo_equations import DEMO, campaign_sums
from whybuy.worlds.demo_shop import draw_demo_shop, write_demo
from whybuy.worlds.habit import Habit
from whybuy.worlds.hidden import Wish, WithWish
from whybuy.worlds.season import Season
from whybuy.worlds.shop import Shop, config_text, draw_shop, write_shop
from whybuy.worlds.truth import CampaignSums, Effort, TrueEffect, stored_effects, write_truth


class Drawer(Protocol):
    """Draws a shop from equations."""

    def __call__(self, equations: Equations, seed: int, *, n_users: int, with_propensity: bool = False) -> Shop:
        """Return the shop."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A kind of shop whose true effects are known.

    Attributes
    ----------
    equations : they drive every event; everything that drives an event is logged
    about : one line
    wish : what a hidden wish drives, where it is switched on
    drawer, writer : how its shops are drawn and written; plain items and a plain config, unless said otherwise
    campaigns : simulates the effects of its campaigns, where they are known too
    effort : of computing the truth
    """

    equations: Equations
    about: str
    wish: Wish
    drawer: Drawer = draw_shop
    writer: Callable[[Shop, Path], Path] | None = None
    campaigns: CampaignSums | None = None
    effort: Effort = field(default_factory=Effort)

    @property
    def name(self) -> str:
        """By which :func:`world` knows it."""
        return self.equations.name

    def draw(
        self,
        seed: int,
        *,
        n_users: int | None = None,
        with_propensity: bool = False,
        hidden: float = 0.0,
        trace: bool = False,
    ) -> Shop:
        """Return a shop.

        Parameters
        ----------
        seed : the same seed and number of users give the same shop
        with_propensity : also return the true probability of every behavior before every event
        hidden : strength of an unlogged wish that drives treatment and outcome of ``wish``, in log odds per standard
            deviation; at 0 nothing is hidden and every draw is what it is without
        trace : whether the wish also drives ``wish.trace``
        """
        return self.drawer(
            self.with_wish(hidden, trace=trace),
            seed,
            n_users=self.equations.n_users if n_users is None else n_users,
            with_propensity=with_propensity,
        )

    def with_wish(self, hidden: float, *, trace: bool = False) -> Equations:
        """Return the equations with a hidden wish of this strength; those without, where it is 0."""
        if hidden == 0:
            return self.equations
        driven = (self.wish.treatment, self.wish.outcome, *((self.wish.trace,) if trace else ()))
        return WithWish(self.equations, driven, hidden)

    def write(self, shop: Shop, folder: Path) -> Path:
        """Write the shop's tables and a ``whybuy.toml`` that asks for the known pairs; return the config's path."""
        if self.writer is not None:
            return self.writer(shop, folder)
        headline = f"The {self.name} shop of whybuy, {self.about}: a log drawn from equations with known effects."
        return write_shop(shop, folder, config_text(shop, headline, self.equations.pairs))

    def truth(self, *, hidden: float = 0.0) -> tuple[TrueEffect, ...]:
        """Return the known effects; where something is hidden, those of the pairs without cause, which it leaves alone.

        Raises
        ------
        ModelError
            The stored truth belongs to other equations.
        """
        return tuple(e for e in stored_effects(self.equations) if hidden == 0 or e.kind == "no cause")

    def store_truth(self) -> None:
        """Compute the truth anew and store it."""
        write_truth(self.equations, self.campaigns, effort=self.effort)


WORLDS = {
    found.name: found
    for found in (
        World(
            equations=DEMO,
            about="fading states and a softmax of their logarithms",
            wish=Wish("favorite:books", "purchase:bags", trace="purchase:boots"),
            drawer=draw_demo_shop,
            writer=write_demo,
            campaigns=campaign_sums,
        ),
        World(
            equations=Habit(),
            about="groceries, long memory and limited appetite",
            wish=Wish("favorite:snacks", "purchase:wine", trace="purchase:coffee"),
            effort=Effort(draws_per_chunk=10_000),
        ),
        World(
            equations=Season(),
            about="outdoor goods, sales and bursts",
            wish=Wish("view:tents", "purchase:toys", trace="purchase:lamps"),
        ),
        World(
            equations=Campaign(),
            about="furniture and targeted mails",
            wish=Wish("favorite:desks", "purchase:sofas", trace="purchase:rugs"),
        ),
    )
}


def world(name: str) -> World:
    """Return the world of this name.

    Raises
    ------
    ConfigError
        There is none.
    """
    if name not in WORLDS:
        raise ConfigError.of(
            found=f"no world called {name!r}", needed=f"one of {', '.join(WORLDS)}", do="Ask for one of them"
        )
    return WORLDS[name]
