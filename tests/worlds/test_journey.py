"""The causal ranking benchmark: its panel by hand, its draws by their probabilities, its metrics by hand."""

import numpy as np
import pandas as pd
import pytest
from tests.conftest import DATA

from whybuy.errors import ArraysError, SourceError
from whybuy.recommend.metrics import causal_metrics
from whybuy.worlds import journey
from whybuy.worlds.journey import (
    CEILING,
    SHARE_SHOWN,
    Panel,
    draw_causal_ranking,
    panel_of,
    personalized,
    read_panel,
    smoothed_chances,
)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(journey, "MIN_BASKETS", 2)
    monkeypatch.setattr(journey, "MIN_BOUGHT", 2)


def test_panel_by_hand(small):
    """Milk is promoted in week 2. Ann has baskets in weeks 1, 2, 2; Bob in 1, 2; Cem only one, and is left out."""
    lines = pd.DataFrame(
        [("ann", 10, 1, 1), ("ann", 11, 1, 2), ("ann", 11, 2, 2), ("ann", 12, 3, 2), ("bob", 20, 1, 1),
         ("bob", 21, 2, 2), ("bob", 21, 1, 2), ("cem", 30, 1, 1)],
        columns=["household_id", "basket_id", "product_id", "week"],
    )  # fmt: skip
    promotions = pd.DataFrame({"product_id": [1, 2, 1, 3], "week": [2, 2, 1, 1]})
    products = pd.DataFrame({"product_id": [1, 2, 3], "product_type": ["milk", "milk", None]})
    panel = panel_of(lines, promotions, products)
    assert list(panel.users) == ["ann", "bob"]
    assert list(panel.items) == ["milk"]
    assert panel.baskets[:, :, 0].tolist() == [[1, 1], [2, 1]]
    assert panel.bought[:, :, 0].tolist() == [[1, 1], [1, 1]]


def test_chances_are_drawn_to_the_share_of_the_item():
    """Without promotion 1 of 2 and 0 of 2 baskets: share 1/4, so (1 + 5/4) / 7 and (0 + 5/4) / 7."""
    bought, baskets = np.array([[[1.0], [0]], [[1], [1]]]), np.array([[[2.0], [2]], [[1], [3]]])
    chance = smoothed_chances(Panel(pd.Index([0, 1]), pd.Index(["a"]), baskets, bought))
    assert chance[0, :, 0] == pytest.approx([2.25 / 7, 1.25 / 7])
    assert chance[1, :, 0] == pytest.approx([3.5 / 6, 3.5 / 8])


def test_propensity_goes_by_rank_and_keeps_the_share():
    expected = np.random.default_rng(0).random((3, 400))
    p = personalized(expected)
    assert p.mean(axis=1) == pytest.approx([SHARE_SHOWN] * 3)
    assert (p > 0).all()
    assert p.max() == CEILING
    first = np.argsort(-expected, axis=1)
    falling = np.take_along_axis(p, first, axis=1)
    assert (np.diff(falling, axis=1) <= 0).all()
    assert falling[:, 99] / falling[:, 199] == pytest.approx([2.0] * 3)


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(1)
    baskets = rng.integers(1, 20, (2, 60, 150)).astype(float)
    panel = Panel(pd.RangeIndex(60), pd.RangeIndex(150), baskets, rng.binomial(baskets.astype(int), 0.2).astype(float))
    return draw_causal_ranking(panel, 4)


def test_draws_follow_their_probabilities(drawn):
    treated, outcome = drawn.training.treated, drawn.training.outcome
    for rows, p in ((treated, np.broadcast_to(drawn.propensity, treated.shape)),
                    (outcome, np.where(treated, drawn.chance[1], drawn.chance[0]))):  # fmt: skip
        assert rows.sum() == pytest.approx(p.sum(), abs=4 * np.sqrt((p * (1 - p)).sum()))
    # The outcome depends on the recommendation: among the treated it follows the treated's chance.
    assert outcome[treated].mean() == pytest.approx(
        np.broadcast_to(drawn.chance[1], treated.shape)[treated].mean(), abs=0.02
    )
    assert drawn.realized.mean() == pytest.approx(drawn.effect.mean(), abs=0.01)
    assert np.corrcoef(drawn.realized.ravel(), drawn.effect.ravel())[0, 1] > 0.3


def test_the_same_seed_gives_the_same_benchmark(drawn):
    again, other = draw_causal_ranking(drawn.panel, 4), draw_causal_ranking(drawn.panel, 5)
    assert (again.training.outcome == drawn.training.outcome).all()
    assert (again.realized == drawn.realized).all()
    assert not (other.training.outcome == drawn.training.outcome).all()


def test_metrics_by_hand():
    """The effect is 1 at the second item and -1 at the eleventh; scores fall with the number, so ranks are 2 and 11."""
    effect = np.zeros((2, 120))
    effect[:, 1], effect[:, 10] = 1, -1
    scores = np.tile(-np.arange(120.0), (2, 1))
    found = causal_metrics(scores, effect)
    assert found.cp_10 == pytest.approx(1 / 10)
    assert found.cp_100 == pytest.approx(0)
    assert found.cdcg == pytest.approx(1 / np.log2(3) - 1 / np.log2(12))
    assert found.to_frame().iloc[0].tolist() == pytest.approx([found.cp_10, found.cp_100, found.cdcg])
    assert found.summary().startswith("recommending the first 10 causes 0.1000 purchases per item")
    assert causal_metrics(np.zeros((2, 120)), effect) == found  # ties go by number


def test_scores_that_cannot_be_ranked_are_refused():
    effect = np.zeros((2, 120))
    for scores in (np.full((2, 120), np.nan), np.zeros((2, 119)), np.zeros((3, 120))):
        with pytest.raises(ArraysError, match="a score for every user and item"):
            causal_metrics(scores, effect)


def test_a_folder_without_the_panel_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no transactions_sample, promotions_sample, products in"):
        read_panel(tmp_path)


@pytest.mark.real_data
def test_benchmark_of_the_complete_journey():
    """Promotions sell, what is bought most is not what is moved most, and the naive contrast is confounded."""
    panel = read_panel(DATA / "completejourney")
    assert len(panel.users) > 1_400
    assert len(panel.items) > 400
    benchmark = draw_causal_ranking(panel, 0)
    assert benchmark.effect.mean() > 0
    best = causal_metrics(benchmark.effect, benchmark.effect)
    by_chance = causal_metrics(benchmark.chance.mean(axis=0), benchmark.effect)
    by_popularity = causal_metrics(
        np.broadcast_to(benchmark.training.outcome.mean(axis=(0, 1)), benchmark.effect.shape), benchmark.effect
    )
    assert best.cp_10 > 2 * by_chance.cp_10 > 2 * by_popularity.cp_10 > 0
    realized = causal_metrics(benchmark.effect, benchmark.realized)
    assert realized.cp_10 == pytest.approx(best.cp_10, rel=0.05)
    treated, outcome = benchmark.training.treated, benchmark.training.outcome
    naive = outcome[treated].mean() - outcome[~treated].mean()
    assert naive > 3 * benchmark.effect.mean()
