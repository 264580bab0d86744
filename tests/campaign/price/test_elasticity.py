"""Elasticities: recovered where they are known, equal to other programs', refused without grounds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

import whybuy
from tests.campaign.shops import config
from tests.proofs.campaigns import event_log
from whybuy.campaign.price import cells_of_log, elasticities_of, price_elasticity_of_log
from whybuy.errors import ArraysError, QuestionError
from whybuy.estimators import price_elasticity
from whybuy.worlds.promotions import draw_prices

WEEKS, NAMES = 40, ("bread", "cake", "jam", "tea")
THETA = np.array([-0.5, -1.0, -1.5, -2.0])


def sales(seed: int = 0, *, level: float = 5.0, together: float = 0.5):
    """Units by Poisson, prices partly by the season that moves units too; one row per category and week."""
    rng = np.random.default_rng(seed)
    season = rng.normal(0, 0.3, WEEKS)
    # Up and down by turns, so that no price is held for two weeks by chance.
    own = (0.03 + np.abs(rng.normal(0, 0.1, (WEEKS, len(NAMES))))) * (-1.0) ** np.arange(WEEKS)[:, None]
    log_price = together * season[:, None] + own
    units = rng.poisson(np.exp(level + season[:, None] + THETA * log_price))
    week = np.repeat(np.arange(WEEKS), len(NAMES))
    return units.ravel(), np.exp(log_price.ravel() + 2), np.tile(NAMES, WEEKS), week


@pytest.fixture(scope="module")
def found():
    return price_elasticity(*sales())


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    drawn = draw_prices(10, 1_500)
    return drawn, event_log(drawn.shop, tmp_path_factory.mktemp("prices") / "log")


def test_it_is_public():
    assert whybuy.estimators.price_elasticity is price_elasticity


def test_known_elasticities_are_found_where_season_misleads(found):
    frame = found.to_frame()
    assert frame["category"].tolist() == list(NAMES)
    assert (np.abs(frame["estimate"] - THETA) < 3 * frame["std_error"]).all()
    assert (frame["naive"] - THETA > 0.5).all()
    assert found.together.estimate == pytest.approx(THETA.mean(), abs=3 * found.together.std_error)


def test_without_noise_the_numbers_are_exact():
    _, price, category, week = sales()
    own = THETA[np.tile(np.arange(4), WEEKS)]
    units = np.exp(20 + 0.3 * np.sin(week) + own * np.log(price))
    units = units * (1 + 1e-6 * np.random.default_rng(0).standard_normal(len(units)))
    np.testing.assert_allclose(price_elasticity(units, price, category, week).to_frame()["estimate"], THETA, atol=1e-4)


def test_it_is_a_poisson_regression_with_both_effects(found):
    """Where nothing of demand is known, statsmodels gives the same slopes and the same errors without correction."""
    import statsmodels.api as sm

    units, price, category, week = sales()
    own = pd.get_dummies(category).to_numpy(float)
    A = np.column_stack([own * np.log(price)[:, None], own, pd.get_dummies(week).to_numpy(float)[:, 1:]])
    theirs = sm.GLM(units, A, family=sm.families.Poisson()).fit(cov_type="HC0")
    ours = found.to_frame()
    np.testing.assert_allclose(ours["estimate"], theirs.params[:4], rtol=1e-4)
    # Ours are corrected for what every price adds to its own fit: a third of the columns are weeks.
    ratio = ours["std_error"].to_numpy() / theirs.bse[:4]
    assert ((ratio > 1.05) & (ratio < 1.35)).all()


def test_errors_are_those_of_a_plain_loop_over_rows():
    """One week a spell: HC2, sum of a a' r^2 / (1 - h), between the inverse informations."""
    units, price, category, week = sales(1, together=0.0)
    number = pd.factorize(category, sort=True)[0]
    A = np.column_stack([np.eye(4)[number] * np.log(price)[:, None], np.eye(4)[number], np.eye(WEEKS)[week][:, 1:]])
    beta = np.zeros(A.shape[1])
    beta[4:8] = 5
    for _ in range(30):
        mean = np.exp(A @ beta)
        B = np.linalg.inv(A.T @ (mean[:, None] * A))
        beta = beta + B @ (A.T @ (units - mean))
    total = np.zeros((len(B), len(B)))
    for a, q, m in zip(A, units, mean, strict=True):
        total += np.outer(a, a) * (q - m) ** 2 / (1 - m * (a @ B @ a))
    errors = np.sqrt(np.diag(B @ total @ B))[:4]
    np.testing.assert_allclose(
        price_elasticity(units, price, category, week).to_frame()["std_error"], errors, rtol=1e-3
    )


def test_neither_money_nor_the_order_of_rows_matters(found):
    units, price, category, week = sales()
    order = np.random.default_rng(1).permutation(len(units))
    other = price_elasticity(units[order], 100 * price[order], category[order], week[order]).to_frame()
    columns = ["estimate", "std_error", "naive", "share_left"]
    np.testing.assert_allclose(other[columns], found.to_frame()[columns], rtol=1e-6)


def test_weeks_of_one_price_are_one_spell():
    """Every price holds for two weeks that share a demand of their own: half as many spells, and wider intervals."""
    rng = np.random.default_rng(2)
    turns = (0.03 + np.abs(rng.normal(0, 0.1, (WEEKS, 4)))) * (-1.0) ** np.arange(WEEKS)[:, None]
    log_price, demand = (np.repeat(x, 2, axis=0) for x in (turns, rng.normal(0, 0.3, (WEEKS, 4))))
    units = rng.poisson(np.exp(6 + THETA * log_price + demand)).ravel()
    rest = np.tile(NAMES, 2 * WEEKS), np.repeat(np.arange(2 * WEEKS), 4)
    apart = log_price + np.where(np.arange(2 * WEEKS) % 2, 0.006, 0.0)[:, None]
    by_spell, by_week = (price_elasticity(units, np.exp(p.ravel()), *rest) for p in (log_price, apart))
    assert (by_spell.n_spells, by_week.n_spells) == (4 * WEEKS, 8 * WEEKS)
    assert by_spell.together.estimate == pytest.approx(by_week.together.estimate, abs=0.1)
    assert by_week.together.std_error < 0.8 * by_spell.together.std_error


def test_few_prices_are_refused():
    units, price, category, week = sales()
    price = np.where(category == "jam", price[week // 2 * 8], price)
    found = price_elasticity(units, price, category, week)
    assert "20 prices one after another; 30 are needed" in found.categories[2].reason


def test_a_longer_log_has_narrower_intervals():
    wide, narrow = (price_elasticity(*sales(3, level=level)).together.std_error for level in (2.0, 6.0))
    assert narrow < wide / 2


def test_what_was_known_of_demand_is_adjusted_for():
    rng = np.random.default_rng(4)
    wish = rng.normal(0, 0.4, (WEEKS, 4))
    log_price = 0.3 * wish + rng.normal(0, 0.1, (WEEKS, 4))
    units = rng.poisson(np.exp(5 + wish + THETA * log_price)).ravel()
    rest = (np.exp(log_price.ravel()), np.tile(NAMES, WEEKS), np.repeat(np.arange(WEEKS), 4))
    blind, seeing = price_elasticity(units, *rest), price_elasticity(units, *rest, wish.reshape(-1, 1))
    assert "Nothing of demand was passed" in blind.summary()
    assert abs(seeing.together.estimate - THETA.mean()) < 3 * seeing.together.std_error
    assert blind.together.ci_low > THETA.mean() + 0.5


def test_prices_that_hardly_change_are_refused():
    units, price, category, week = sales()
    price = np.where(category == "jam", 7.0, price)
    jam = next(x for x in price_elasticity(units, price, category, week).categories if x.category == "jam")
    assert jam.elasticity.estimate is None
    assert "hardly changes: by 0.0%" in jam.sentence()


def test_prices_that_only_follow_the_calendar_are_refused():
    _, _, category, week = sales()
    rng = np.random.default_rng(5)
    price = np.exp(rng.normal(0, 0.2, WEEKS))[week] * np.exp(rng.normal(0, 0.01, len(week)))
    found = price_elasticity(rng.poisson(100 * price**-1.0), price, category, week)
    assert all("hardly ever moves apart from the calendar" in x.reason for x in found.categories)
    assert found.together.estimate is None
    assert "cannot tell" in found.summary()


def test_few_sales_are_refused():
    units, price, category, week = sales()
    found = price_elasticity(np.where(category == "tea", week % 2, units), price, category, week)
    assert "20 units were sold; 100 are needed" in found.categories[-1].reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda u, p, c, t: (u[:-1], p, c, t), r"units has 159, price has 160"),
        (lambda u, p, c, t: (u, np.where(t == 3, 0.0, p), c, t), r"4 prices are zero or negative"),
        (lambda u, p, c, t: (np.where(t == 3, -1, u), p, c, t), r"4 rows have fewer than 0 units"),
        (lambda u, p, c, t: (u, p, np.where(t == 3, None, c), t), r"4 rows have no category"),
        (lambda u, p, c, t: (u, p, c, np.minimum(t, 20)), r"several rows of one period"),
        (lambda u, p, c, t: (u, p, c, t, np.zeros((3, 1))), r"X has the shape \(3, 1\)"),
        (lambda u, p, c, t: tuple(x[c == "tea"] for x in (u, p, c, t)), r"Found 1 category|1 category"),
        (lambda u, p, c, t: (u, p.astype(str), c, t), r"price holds what is no number"),
    ],
)
def test_bad_arrays_are_refused(change, message):
    with pytest.raises(ArraysError, match=message):
        price_elasticity(*change(*sales()))


def test_prices_are_read_from_a_log(logged):
    drawn, log = logged
    cells, notes = cells_of_log(log)
    assert cells.names == tuple(sorted(drawn.elasticity))
    assert notes == ()
    for k, name in enumerate(cells.names):
        mine, column = cells.category == k, list(drawn.elasticity).index(name)
        np.testing.assert_array_equal(cells.units[mine], drawn.units[4:, column])
        off = cells.log_price[mine] - drawn.log_price[4:, column]
        assert np.ptp(off) < 0.001
        # Of demand, what came before the week, where its price is not that of the week before.
        new = np.abs(np.diff(drawn.log_price[3:, column])) > 0.02
        np.testing.assert_allclose(cells.X[mine][new, 0], np.log1p(drawn.units[3:-1, column])[new])
        assert new.sum() > 30


def test_a_log_is_answered_near_the_truth_and_naively_far_from_it(logged):
    drawn, log = logged
    found = price_elasticity_of_log(log, config())
    frame = found.to_frame().set_index("category")
    truth = pd.Series(drawn.elasticity)
    assert (np.abs(frame["estimate"] - truth) < 3.5 * frame["std_error"]).all()
    assert (frame["naive"] - truth > 2 * frame["std_error"]).mean() > 0.8
    assert found.period == "7d"
    assert found.to_json()["categories"][0]["elasticity"]["estimand"] == "elasticity"
    assert "10% dearer changes what is bought by" in found.summary()
    assert "Assumed" in found.summary()


def test_without_what_was_known_the_log_would_mislead(logged):
    drawn, log = logged
    cells, _ = cells_of_log(log)
    blind = elasticities_of(replace(cells, X=cells.X[:, :0])).together
    seeing = elasticities_of(cells).together
    truth = np.mean(list(drawn.elasticity.values()))
    assert abs(seeing.estimate - truth) < 3.5 * seeing.std_error
    assert blind.ci_low > truth


def test_the_figure_shows_both_numbers(found):
    figure = found.plot()
    assert isinstance(figure, go.Figure)
    assert sorted(figure.data[0].x) == sorted(found.to_frame()["estimate"])
    assert sorted(figure.data[1].x) == sorted(found.to_frame()["naive"])


def test_a_log_that_is_too_short_or_has_no_prices_is_refused(tmp_path):
    short = draw_prices(6, 100, weeks=6)
    with pytest.raises(QuestionError, match="6 whole periods of 7d"):
        cells_of_log(event_log(short.shop, tmp_path / "short"))
    shop = draw_prices(6, 100, weeks=12).shop
    bare = event_log(replace(shop, events=shop.events.drop(columns="price")), tmp_path / "bare")
    with pytest.raises(QuestionError, match="No item with a category has a price"):
        cells_of_log(bare)
