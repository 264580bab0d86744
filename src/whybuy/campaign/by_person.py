"""Whom a campaign moves: effects by person on the outcome, on revenue and on margin, or why that is not told.

People are told apart by all that is known of them, or by their attributes and what the behavior model foretells alone:
with a few hundred people an arm, a dozen columns that say much bear learners that a hundred do not. The teaching people
choose which (by the R-loss over one effect for everybody), so those who judge are not asked. Only where people were
drawn at random, for else all that is known may be why they were sent it.

One learner is chosen for the outcome and learns the others as well. Revenue is money of all purchases within the
horizon, whatever was asked about: what a campaign takes from other shelves is taken off. Margin is the share of revenue
that the config says is kept.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from whybuy.campaign.assignments import Kind
from whybuy.campaign.people import FORECAST, People
from whybuy.campaign.uplift import Uplift, uplift
from whybuy.campaign.uplift.deciles import deciles_frame
from whybuy.causal.effects import Estimate
from whybuy.errors import ArraysError
from whybuy.progress import Report, quiet

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

NORMALIZATION = "per person"
UNCONFOUNDED = "Unconfoundedness assumed"
_SHARES = slice(1, None, 2)
"""Of the hundredths of people of a curve: what is told, every fiftieth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByPerson:
    """Effects by person of one campaign.

    Attributes
    ----------
    outcome : on the chance of the outcome; None where it is not told
    revenue : on money within the horizon; None where prices are not logged, or where it is not told
    margin : share of revenue that is kept, as the config says
    columns : (d,) of the people's covariates, those that the effects are learned from
    refused : why nothing is told
    is_left_out : whether that is only because a run has no time for it
    notes : what is not told beside, in words
    """

    outcome: Uplift | None = None
    revenue: Uplift | None = None
    margin: float | None = None
    columns: tuple[int, ...] = ()
    refused: str | None = None
    is_left_out: bool = False
    notes: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether people are told from each other at all."""
        return self.outcome is not None and bool(np.ptp(self.outcome.effect) > 0)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What it says, or why it says nothing, in words."""
        if self.outcome is None:
            return () if self.refused is None else (f"Whom it moves is not told. {self.refused}",)
        found, dogs = self.outcome.judgment, self.outcome.judgment.sleeping_dogs
        said = (
            [found.ranked.summary(), found.calibration.summary()] if self.differs else [f"{ALIKE} {found.assumption}"]
        )
        if dogs.found:
            said.append(f"It puts {100 * dogs.share:.0f}% of the people off: {_words(dogs.effect)} each.")
        return (*said, *self.outcome.reasons, *self.notes)

    def to_json(self) -> dict[str, Any]:
        """Return the contract's ``uplift``; numbers are null where nothing is told, and ``refused`` says why."""
        if self.outcome is None:
            empty: dict[str, Any] = {"qini": None, "qini_low": None, "qini_high": None, "auuc": None, "at": []}
            return {**empty, "refused": self.refused, "left_out": self.is_left_out}
        found = self.outcome.judgment
        return {
            **_areas(self.outcome),
            "at": _curve(self.outcome),
            "normalization": NORMALIZATION,
            "learner": self.outcome.learner,
            "learners": self.outcome.candidates_frame().to_dict("records"),
            "deciles": _records(deciles_frame(found.deciles)) if self.differs else [],
            "sleeping_dogs": {
                "share": found.sleeping_dogs.share,
                "found": found.sleeping_dogs.found,
                **_interval(found.sleeping_dogs.effect),
            },
            "calibration": {**_interval(found.calibration.difference), "p_differs": found.calibration.p_differs},
            "average": _interval(found.average),
            "autoc": _interval(found.ranked.autoc),
            "counted": _counted(self.outcome),
            "revenue": _money(self.revenue, 1.0),
            "margin": _money(self.revenue, self.margin),
            "n_judging": found.ranked.n_users,
            "share_supported": found.share_supported,
            "assumption": found.assumption,
            "refused": None,
            "left_out": False,
        }

    def plot(self) -> "Figure":
        """Return a Plotly figure: what sending to the top share adds, with its band.

        Raises
        ------
        ArraysError
            Nothing is told.
        """
        if self.outcome is None:
            raise ArraysError.of(found="Whom it moves is not told", needed="effects by person", do=str(self.refused))
        return self.outcome.plot()


ALIKE = "Nobody can be told from anybody by how much it moves them."
NOT_ASKED = ByPerson()
"""Nobody asked whom it moves: the effect alone was."""


def effects_by_person(
    people: People, kind: Kind, *, margin: float | None, seed: int, report: Report = quiet
) -> ByPerson:
    """Return by how much being sent anything changes each person's outcome and money, or why that is not told.

    People are judged by the arms as they were drawn where the campaign was randomized; else their chances are
    estimated, unconfoundedness is assumed and said, and nothing is counted.
    """
    chance = people.chance if kind == "randomized" else None
    if people.X.shape[1] == 0:
        return ByPerson(refused="Nothing is known of these people before: nobody can be told from anybody.")
    sent, outcome = people.sent.astype(float), people.outcome.astype(float)
    column_sets = _column_sets(people, chance)
    n_fits = len(column_sets) + (people.revenue is not None)
    found = {}
    try:
        for done, columns in enumerate(column_sets):
            report("learners", done, n_fits, f"its effect on each person, told from {len(columns)} columns")
            X = people.X[:, columns].astype(float)
            found[columns] = uplift(X, sent, outcome, chance, people.user_ids, seed=seed)
    except ArraysError as error:
        return ByPerson(refused=str(error))
    columns, best = min(found.items(), key=lambda pair: _excess_loss(pair[1]))
    money, notes = None, people.notes
    if people.revenue is None:
        notes += ("What it does to revenue is not told: the log has no prices of one currency for what was bought.",)
    else:
        X = people.X[:, columns].astype(float)
        report("learners", n_fits - 1, n_fits, "its effect on each person's money")
        try:
            money = uplift(X, sent, people.revenue, chance, people.user_ids, learners=(best.learner,), seed=seed)
        except ArraysError as error:
            notes += (f"What it does to revenue is not told. {error}",)
    report("learners", n_fits, n_fits)
    return ByPerson(outcome=best, revenue=money, margin=margin, columns=columns, notes=notes)


def _column_sets(people: People, chance: float | None) -> list[tuple[int, ...]]:
    """Return what the effects may be learned from: everything, and where a draw allows it the few columns."""
    everything = tuple(range(people.X.shape[1]))
    few = tuple(i for i in everything if people.groups[i] == FORECAST or " = " in people.names[i])
    has_forecasts = FORECAST in people.groups
    return [few, everything] if chance is not None and has_forecasts else [everything]


def _excess_loss(found: Uplift) -> float:
    """Return by how much the chosen learner did worse than one effect for everybody, on people who did not judge."""
    return next(c.excess_loss for c in found.candidates if c.learner == found.learner)


def _areas(found: Uplift) -> dict[str, float | None]:
    """Return the areas between the curve and random order, and between the curve and nobody, per person."""
    ranked = found.judgment.ranked
    whole = ranked.qini.estimate, float(ranked.effect[-1])
    return {
        "qini": ranked.qini.estimate,
        "qini_low": ranked.qini.ci_low,
        "qini_high": ranked.qini.ci_high,
        "auuc": None if whole[0] is None else whole[0] + 0.5 * whole[1],
    }


def _curve(found: Uplift) -> list[dict[str, float]]:
    frame = found.judgment.ranked.to_frame().iloc[_SHARES]
    columns = ["share", "effect", "effect_low", "effect_high", "gain", "gain_low", "gain_high"]
    return _records(frame[columns].assign(random=frame["share"] * found.judgment.ranked.effect[-1]))


def _counted(found: Uplift) -> dict[str, Any] | None:
    curves = found.judgment.curves
    if curves is None:
        return None
    return {"qini": _interval(curves.qini), "auuc": _interval(curves.auuc), "normalization": curves.normalization}


def _money(found: Uplift | None, share: float | None) -> dict[str, Any] | None:
    """Return the effect on ``share`` of the revenue."""
    if found is None or share is None:
        return None
    ranked, average = found.judgment.ranked, found.judgment.average
    return {"average": _scaled(average, share), "qini": _scaled(ranked.qini, share), "share_of_revenue": share}


def _scaled(e: Estimate, factor: float) -> dict[str, float | None]:
    return {name: None if value is None else factor * value for name, value in _interval(e).items()}


def _interval(e: Estimate) -> dict[str, float | None]:
    return {"estimate": e.estimate, "ci_low": e.ci_low, "ci_high": e.ci_high}


def _records(frame: Any) -> list[dict[str, Any]]:
    """Return rows without NaN, which is no JSON: an arm of a tenth may have nobody."""
    return [{k: None if v != v else v for k, v in row.items()} for row in frame.to_dict("records")]


def _words(e: Estimate) -> str:
    return f"{100 * (e.estimate or 0):+.2f} in 100 [{100 * (e.ci_low or 0):+.2f}, {100 * (e.ci_high or 0):+.2f}]"
