"""Shrinkage by hand, and its directions."""

import numpy as np
import pandas as pd
import pytest

from whybuy.recommend.shrink import between_variance, posterior, shrink_lifts


def test_between_variance_by_hand() -> None:
    # Estimates 0 and 2 with variance 1/2: Q = 2 (1 + 1) = 4, scale = 4 - 8/4 = 2, (4 - 1) / 2.
    assert between_variance(np.array([0.0, 2.0]), np.array([0.5, 0.5]), np.array([0, 0])) == pytest.approx(1.5)


def test_between_variance_is_zero_where_the_noise_explains_all() -> None:
    assert between_variance(np.array([0.0, 0.1]), np.array([1.0, 1.0]), np.array([0, 0])) == 0.0


def test_posterior_by_hand() -> None:
    mean, variance, own = posterior(
        np.array([3.0, np.nan]), np.array([1.0, np.nan]), np.array([1.0]), np.array([0.5]), 1.0
    )
    assert mean == pytest.approx([1 + (3 - 1) / 2, 1.0])
    assert variance == pytest.approx([1 / 2 + (1 / 2) ** 2 * 0.5, 1.0 + 0.5])
    assert own == pytest.approx([1 / 2, 0.0])


def estimates(rows: list[tuple[int, float, float]], *, state: int = 0) -> pd.DataFrame:
    """Items with (item, people shown, buyers among them), against controls who never buy it."""
    frame = pd.DataFrame(rows, columns=["item", "n_shown", "n_buyers"]).assign(state=state)
    frame["p_shown"] = frame["estimate"] = frame["n_buyers"] / frame["n_shown"]
    frame["omega"] = frame["n_effective"] = frame["n_shown"].astype(float)
    frame["n_users"] = frame["n_shown"]
    frame["std_error"] = np.sqrt(frame["p_shown"] * (1 - frame["p_shown"]) / frame["n_shown"])
    return frame


def categories(n: int, per: int) -> pd.DataFrame:
    return pd.DataFrame({"item": range(n), "cat": np.arange(n) // per})


def shop() -> pd.DataFrame:
    """Ten items of one category, bought by 0 to 90 of 200, and one seen by 5 people of whom 5 bought it."""
    return estimates([(i, 200, 10 * i) for i in range(10)] + [(10, 5, 5)])


def test_thin_items_are_drawn_further_than_thick_ones() -> None:
    found = shrink_lifts(shop(), categories(11, 11), n_states=4).set_index("item")
    drawn = (found["estimate"] - found["lift"]).abs()
    assert drawn[10] > drawn[:10].max()
    assert found["own"][10] < found["own"][:10].min()
    assert found["lift_error"][10] > found["lift_error"][:10].max()


def test_lifts_are_drawn_towards_the_category_and_never_past_it() -> None:
    found = shrink_lifts(shop(), categories(11, 11), n_states=4).set_index("item")
    low, high = found["lift"].min(), found["lift"].max()
    assert found["estimate"].min() < low < high < found["estimate"].max()


def test_five_people_who_did_not_buy_are_not_certain() -> None:
    found = shrink_lifts(estimates([(0, 5, 0), (1, 400, 40), (2, 400, 80)]), categories(3, 3), n_states=4).set_index(
        "item"
    )
    assert found["std_error"][0] == 0
    assert found["lift_error"][0] > 0.01
    assert found["lift"][0] > 0


def test_a_category_of_its_own_is_told_apart_only_with_data() -> None:
    thick = estimates([(i, 500, 10) for i in range(4)] + [(i, 500, 100) for i in range(4, 8)])
    thin = estimates([(i, 500, 10) for i in range(4)] + [(i, 2, 1) for i in range(4, 8)])
    far = shrink_lifts(thick, categories(8, 4), n_states=4).set_index("item")["lift"]
    near = shrink_lifts(thin, categories(8, 4), n_states=4).set_index("item")["lift"]
    assert far[4] == pytest.approx(0.2, abs=0.01)
    assert 0.5 - near[4] > 5 * (0.2 - far[4])


def test_low_rates_do_not_drag_the_mean_down() -> None:
    """300 items seen by 3 people each, 1 in 20 of whom buy: the mean is theirs, not that of the zeros."""
    rng = np.random.default_rng(1)
    rows = [(i, 3, int(b)) for i, b in enumerate(rng.binomial(3, 0.05, 300))]
    found = shrink_lifts(estimates(rows), categories(300, 3), n_states=4)
    assert found["lift"].mean() == pytest.approx(sum(b for _, _, b in rows) / 900, abs=0.005)


def test_a_state_nobody_was_in_has_no_rows_and_a_missing_item_takes_its_category_s() -> None:
    both = pd.concat([estimates([(0, 100, 10), (1, 100, 20)]), estimates([(0, 50, 25)], state=2)])
    found = shrink_lifts(both, categories(2, 2), n_states=4)
    assert sorted(zip(found["item"], found["state"], strict=True)) == [(0, 0), (0, 2), (1, 0), (1, 2)]
    carted = found[found["state"] == 2].set_index("item")
    assert carted["lift"][1] == pytest.approx(carted["lift"][0])
    assert carted["n_users"].tolist() == [50, 0]
