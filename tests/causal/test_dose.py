"""Doses on shops whose slopes are known: prices set by demand, and numbers of views of those who want to buy."""

from dataclasses import replace

import numpy as np
import pytest

from tests.causal import doses
from tests.causal.studies import ignorant, study_of, trained
from whybuy.causal.clusters import clustered_ratio, crossed_ratio
from whybuy.causal.dose_question import DoseQuestion, answer_dose
from whybuy.causal.dose_slope import curve, slope
from whybuy.causal.dose_trials import numbered, priced
from whybuy.causal.measures import Price, prices_in
from whybuy.causal.question import Question
from whybuy.errors import BehaviorError, QuestionError
from whybuy.events.behaviors import parse_behavior
from whybuy.events.sequences import Sequences

VIEW = parse_behavior("view:shoes")
PRICED = Question.of("view:shoes", "purchase:shoes", horizon="3h")
NUMBERED = Question.of("view:shoes", "purchase:shoes", horizon="1d", design="session")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    events, users = doses.prices(102, n_users=80)
    settings = {"horizons": ["3h"], "behavior": {"size": "tiny", "epochs": 1}}
    return trained(study_of(events, tmp_path_factory.mktemp("prices"), users=users, **settings))


def test_prices_stand_against_the_usual_one_by_spell(shop):
    prices = Price.of_log(VIEW, shop.store, shop.log)
    (sequences,), (shard,) = list(shop.store), shop.log.shards
    hits, known, relative, spell = prices.of(sequences, shard).T
    assert (hits == known).all()
    assert hits.sum() == (np.asarray(sequences.action) == sequences.action[0]).sum()
    item, price = np.asarray(sequences.item)[hits > 0], prices_in(shard)[hits > 0]
    for i in range(3):
        mine = item == i
        np.testing.assert_allclose(relative[hits > 0][mine], price[mine] / np.median(price[mine]) - 1)
    # One price a spell, and no two items in one.
    # (Of two in a row at the largest price that there is, the second does not begin a spell.)
    drawn = doses.N_ITEMS * doses.DAYS // doses.SPELL_DAYS
    assert drawn - 10 < len(prices.spell_starts) <= drawn
    pairs = {(s, i, p) for s, i, p in zip(spell[hits > 0], item, price, strict=True)}
    assert len(pairs) == len({s for s, _, _ in pairs})


def test_the_answer_holds_the_truth_where_co_occurrence_sees_nothing(shop):
    found = answer_dose(DoseQuestion.of("price:shoes", "purchase:shoes", horizon="3h"), shop)
    assert found.slope.ci_low < doses.PER_TENTH < found.slope.ci_high
    assert found.slope.ci_high < found.naive - 0.02
    assert abs(found.naive) < 0.02
    assert found.verdict == "suggestive"
    assert found.reasons[-1].startswith("Dose: suggestive at most. Who sets prices watches demand")
    assert found.n_clusters > 500
    assert [p.label for p in found.curve][2] == "about the usual"
    assert [p.effect.estimate for p in found.curve] == sorted((p.effect.estimate for p in found.curve), reverse=True)
    frame = found.to_frame()
    assert frame["n_trials"].sum() == found.n_trials
    assert found.plot().data[0].y[2] == 0
    assert found.summary().startswith(
        "price:shoes: a price 10% above the usual one changes purchase:shoes within 3h by -"
    )
    assert found.to_json()["slope"]["estimate"] == found.slope.estimate


def test_a_discount_is_a_price_counted_downward(shop):
    prices = Price.of_log(VIEW, shop.store, shop.log)
    source = shop.trials(shop.twins(), "3h")
    up, down = (priced(PRICED, source, prices, sign=sign, seed=7) for sign in (1, -1))
    assert (up.dose == -down.dose).all()
    assert all((one == other).all() for one, other in zip(up.folds, down.folds, strict=True))
    assert str(DoseQuestion.of("discount:shoes", "purchase:shoes", horizon="3h")) == "discount:shoes"


def test_what_never_changes_its_price_is_refused(tmp_path):
    events, users = doses.prices(100, n_users=40, vary=False)
    study = study_of(events, tmp_path, users=users, horizons=["3h"])
    with pytest.raises(QuestionError, match=r"0\.0% of them at another than the item's usual one"):
        priced(PRICED, ignorant(study), Price.of_log(VIEW, study.store, study.log), sign=1, seed=7)


def test_a_log_without_prices_is_refused(tmp_path):
    events, users = doses.prices(100, n_users=40)
    study = study_of(events.drop(columns="price"), tmp_path, users=users, horizons=["3h"])
    with pytest.raises(QuestionError, match="0 decisions are view:shoes at a price that is known"):
        priced(PRICED, ignorant(study), Price.of_log(VIEW, study.store, study.log), sign=1, seed=7)


def test_numbers_have_the_slope_and_the_curve_of_the_truth(tmp_path):
    drawn = doses.numbers(100)
    study = study_of(drawn.events, tmp_path)
    trials = numbered(NUMBERED, replace(ignorant(study), design=NUMBERED.trials))
    found, _ = slope(trials)
    assert found.ci_low < doses.PER_VIEW < found.ci_high
    assert trials.naive > found.ci_high
    assert set(np.unique(trials.dose)) == {0, 1, 2, 3}
    points = curve(trials, (0.5, 1.5, 2.5), ("none", "one", "two", "three"), 0)
    for n, point in enumerate(points[1:], start=1):
        assert point.dose == n
        assert abs(point.effect.estimate - n * doses.PER_VIEW) < 3 * point.effect.std_error


def test_the_first_events_of_a_session_are_summed(tmp_path):
    drawn = doses.numbers(100, n_users=30)
    study = study_of(drawn.events, tmp_path)
    trials = numbered(NUMBERED, replace(ignorant(study), design=NUMBERED.trials))
    sequences = Sequences.open(study.store.shards[0])
    assert len(trials.dose) < drawn.n.size == np.count_nonzero(np.asarray(sequences.session_start))
    late = drawn.n[:, -1 - len(trials.dose) // 30 : -1]
    assert trials.dose.mean() == pytest.approx(late.mean(), abs=0.1)


def test_one_kind_of_cluster_is_the_ratio_and_copies_of_it_change_nothing():
    rng = np.random.default_rng(0)
    N, D, user = rng.normal(1, 1, 4000), rng.uniform(0, 1, 4000), np.arange(4000) % 200
    one = clustered_ratio(N, D, user)
    assert crossed_ratio(N, D, [user]) == (one.value, one.std_error, one.effective)
    assert crossed_ratio(N, D, [user, user]) == pytest.approx((one.value, one.std_error, one.effective))


def test_errors_are_those_of_the_kind_of_cluster_that_matters():
    # Shocks by item, of which there are few: errors by user alone are far too small.
    rng = np.random.default_rng(1)
    user, item = np.divmod(np.arange(40_000), 100)
    N = rng.normal(size=100)[item] + rng.normal(size=40_000)
    value, std_error, effective = crossed_ratio(N, np.ones(40_000), [user, item])
    assert value == pytest.approx(N.mean())
    assert std_error == pytest.approx(0.1, rel=0.2)
    assert std_error > 5 * clustered_ratio(N, 1.0, user).std_error
    assert effective == pytest.approx(100)


@pytest.mark.parametrize(
    ("treatment", "options", "error", "said"),
    [
        ("cost:shoes", {}, QuestionError, "cost:shoes is no dose"),
        ("price:shoes", {"design": "session"}, QuestionError, "price:shoes with --design session"),
        ("number:shoes", {}, BehaviorError, "'shoes' starts with"),
        ("price:", {}, BehaviorError, "names no target"),
        ("number:2*view:shoes@1d", {}, BehaviorError, "which is no action"),
    ],
)
def test_what_is_no_dose(treatment, options, error, said):
    with pytest.raises(error, match=said):
        DoseQuestion.of(treatment, "purchase:shoes", horizon="1d", **options)


@pytest.mark.slow
def test_slopes_are_right_over_worlds(tmp_path):
    z, naive = [], []
    for seed in range(101, 109):
        events, users = doses.prices(seed)
        (tmp_path / str(seed)).mkdir()
        study = study_of(events, tmp_path / str(seed), users=users, horizons=["3h"])
        trials = priced(PRICED, ignorant(study), Price.of_log(VIEW, study.store, study.log), sign=1, seed=7)
        found, _ = slope(trials)
        z.append((found.estimate - doses.PER_TENTH) / found.std_error)
        naive.append((trials.naive - doses.PER_TENTH) / found.std_error)
    assert np.mean(np.abs(z) < 1.96) >= 0.8
    assert abs(np.mean(z)) < np.mean(naive) / 10
