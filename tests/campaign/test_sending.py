"""What a plan is worth, in shops whose effects are known: intervals of held-out people hold it, promises do not."""

import numpy as np
import pytest

from tests.campaign.shops import config, moved_events, tiers, write_shop
from whybuy.campaign.asked import Asked
from whybuy.campaign.assignments import design_of, read_assignments
from whybuy.campaign.by_person import effects_by_person
from whybuy.campaign.cohort import Observed, arms_cohort
from whybuy.campaign.history import Window
from whybuy.campaign.people import Reader
from whybuy.campaign.sending import PLAN, RANDOM, foretelling, judges_of, planned
from whybuy.campaign.terms import terms_of
from whybuy.events.behaviors import parse_behavior

EFFECTS = {"gold": 0.35, "basic": -0.17}
PER_HEAD, COST = 0.1, 0.5


def drawn(folder, seed, *, n_users=1_200):
    """The judging people of a drawn shop, and the true effect on each."""
    rng = np.random.default_rng(seed)
    log = write_shop(folder, moved_events(rng, n_users=n_users), users=tiers(n_users))
    settings = config()
    observed = Observed.of(log, settings, 7 * 86_400_000)
    design = design_of(read_assignments(log).of("spring"), settings, "spring")
    reader = Reader(log, Window(parse_behavior("purchase:*"), observed.horizon_ms), observed, is_for_sending=True)
    people = reader.people(design, arms_cohort(design, observed))
    found = effects_by_person(people, "randomized", margin=None, seed=seed)
    terms = terms_of(Asked(budget=PER_HEAD * n_users, cost=COST), settings.campaign, "spring", people.arms[1:])
    judges = judges_of(people, foretelling(people, found, terms, seed=seed), terms, seed=seed)
    gold = judges.X[:, people.names.index("tier = gold")] > 0
    return judges, np.where(gold, EFFECTS["gold"], EFFECTS["basic"])


def test_who_judges_taught_nothing_and_everybody_now_is_planned_for(tmp_path):
    judges, effect = drawn(tmp_path / "shop", 5)
    assert len(effect) == pytest.approx(600, abs=30)
    assert judges.n_now == 1_200
    choices = {choice.name: choice for choice in judges.choices(PER_HEAD, 0)}
    assert choices[PLAN].sent == pytest.approx(0.2, abs=0.002)
    assert choices[RANDOM].spent == pytest.approx(PER_HEAD)
    assert choices[PLAN].gain.estimate > choices[RANDOM].gain.estimate


def test_a_plan_changes_nothing_of_what_is_told_of_the_campaigns_people(tmp_path):
    """Everybody now has columns that the campaign's people, all sent it on one day, do not differ in."""
    log, settings = (
        write_shop(tmp_path, moved_events(np.random.default_rng(6), n_users=400), users=tiers(400)),
        config(),
    )
    observed = Observed.of(log, settings, 7 * 86_400_000)
    design = design_of(read_assignments(log).of("spring"), settings, "spring")
    window, cohort = Window(parse_behavior("purchase:*"), observed.horizon_ms), arms_cohort(design, observed)
    alone, planned_for = (
        Reader(log, window, observed, is_for_sending=sends).people(design, cohort) for sends in (False, True)
    )
    assert alone.names == planned_for.names
    assert np.array_equal(alone.X, planned_for.X)
    assert planned_for.now.shape == (400, len(alone.names))


def test_people_who_cannot_be_told_apart_are_drawn_at_random():
    plan = planned(np.ones((1_000, 1)), _offers(), 100.0)
    assert plan.sent.tolist() == [100]
    assert 300 < np.flatnonzero(plan.chosen[:, 0]).mean() < 700


def _offers():
    from whybuy.campaign.budget import Offers

    return Offers(cost=[1.0])


@pytest.mark.slow
def test_intervals_of_held_out_people_hold_what_the_plan_adds(tmp_path):
    """40 shops, seeds that chose nothing: 95% intervals within three standard errors of their level."""
    held, best = [], []
    for seed in range(100, 140):
        judges, effect = drawn(tmp_path / str(seed), seed)
        gain = next(choice.gain for choice in judges.choices(PER_HEAD, 0) if choice.name == PLAN)
        n = len(effect)
        arm = planned(judges.values, judges.terms.offers(n / judges.n_now), PER_HEAD * n).arm
        truth = float((effect * arm).mean())
        held.append(gain.ci_low <= truth <= gain.ci_high)
        best.append(truth / (EFFECTS["gold"] * arm.mean()))
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 40)
    assert np.mean(best) > 0.9
