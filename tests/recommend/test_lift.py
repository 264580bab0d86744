"""Lifts by hand, and against a plain loop over users, items and moments."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.recommend.shops import CONFIG, DAY, HOUR, Log, events_of, write_log
from whybuy import columns as c
from whybuy.progress import quiet
from whybuy.recommend.catalog import load_facts, load_items
from whybuy.recommend.lift import load_lifts
from whybuy.recommend.store import connection
from whybuy.recommend.terms import Terms, terms_of


def lifts_of(log: Log) -> tuple[pd.DataFrame, Terms]:
    with connection() as (con, scratch):
        load_items(con, log)
        terms = terms_of(con, log, CONFIG)
        load_facts(con, log, terms, quiet)
        terms = load_lifts(con, log, terms, scratch, quiet)
        frame = con.execute(f"SELECT * FROM lifts ORDER BY {c.ITEM}, state").df()
    return frame.set_index([c.ITEM, "state"]), terms


# Four people look once each on day 3; the log runs from day 0 to day 6. a: 2 looked, 1 bought within a day. Others of
# its category: 2 looked (at b), nobody bought a. c belongs to another category.
FOUR = [
    ("u1", 72, "view", "a"),
    ("u1", 80, "purchase", "a"),
    ("u2", 72, "view", "a"),
    ("u2", 97, "purchase", "a"),  # 25 hours later: outside the horizon
    ("u3", 72, "view", "b"),
    ("u4", 72, "view", "b"),
    ("u5", 72, "view", "c"),
    ("u5", 73, "view", "d"),
]
SHOP = {"a": "shoes", "b": "shoes", "c": "hats", "d": "hats"}


def test_lift_by_view_is_the_difference_within_the_category(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", events_of(FOUR), SHOP, window=(0, 6 * DAY))
    found, terms = lifts_of(log)
    assert terms.basis == "view"
    assert found.loc[("a", 0), "estimate"] == pytest.approx(1 / 2 - 0 / 2)
    assert found.loc[("b", 0), "estimate"] == pytest.approx(0 / 2 - 0 / 2)
    # Two people with residuals +1/2 and -1/2 over two: the variance of the mean is (1/4 + 1/4) / 4.
    assert found.loc[("a", 0), "std_error"] == pytest.approx(np.sqrt(1 / 8))
    assert found.loc[("a", 0), ["n_users", "n_buyers"]].tolist() == [2, 1]


def test_a_purchase_in_the_same_moment_is_neither_outcome_nor_control(tmp_path: Path) -> None:
    rows = [*FOUR, ("u4", 72, "purchase", "a"), ("u6", 72, "view", "b"), ("u6", 73, "purchase", "a")]
    found, _ = lifts_of(write_log(tmp_path / "log", events_of(rows), SHOP, window=(0, 6 * DAY)))
    # u4's moment is left out for a; of the controls u3 and u6, u6 bought it.
    assert found.loc[("a", 0), "estimate"] == pytest.approx(1 / 2 - 1 / 2)


def test_moments_without_history_or_follow_up_do_not_count(tmp_path: Path) -> None:
    rows = [*FOUR, ("u7", 23, "view", "a"), ("u8", 121, "view", "a"), ("u8", 122, "purchase", "a")]
    found, _ = lifts_of(write_log(tmp_path / "log", events_of(rows), SHOP, window=(0, 6 * DAY)))
    assert found.loc[("a", 0), "n_shown"] == 2


def test_states_are_those_strictly_before(tmp_path: Path) -> None:
    rows = [
        *FOUR,
        ("u7", 72, "cart", "a"),  # in the moment itself: still the state "none"
        ("u7", 72, "view", "a"),
        ("u7", 74, "view", "a"),  # carted two hours before
        ("u7", 75, "purchase", "a"),
        ("u7", 76, "view", "a"),  # bought an hour before
    ]
    found, _ = lifts_of(write_log(tmp_path / "log", events_of(rows), SHOP, window=(0, 6 * DAY)))
    assert found.loc[("a", 0), "n_shown"] == 3
    # Nobody looked at another shoe in those states: nothing to compare, no state's lift.
    assert 2 not in found.loc["a"].index
    assert 3 not in found.loc["a"].index


def test_impressions_are_weighted_by_their_probability(tmp_path: Path) -> None:
    shown = [("u1", "a", 0.5), ("u2", "a", 0.25), ("u3", "b", 0.5), ("u4", "b", 0.75), ("u5", "b", 0.5)]
    rows = [(user, 72.0, "impression", item, p) for user, item, p in shown]
    rows += [("u2", 73, "purchase", "a", None), ("u3", 73, "purchase", "a", None)]
    log = write_log(tmp_path / "log", events_of(rows, c.PROPENSITY), SHOP, window=(0, 6 * DAY))
    found, terms = lifts_of(log)
    assert terms.basis == "impression"
    # Shown: (0/.5 + 1/.25) / (1/.5 + 1/.25) = 4/6; not shown: 1 of 3.
    assert found.loc[("a", 0), "estimate"] == pytest.approx(4 / 6 - 1 / 3)


@pytest.mark.parametrize("bad", [None, 0.0, 1.5])
def test_an_impression_without_a_usable_probability_is_left_out(tmp_path: Path, bad: float | None) -> None:
    rows = [("u1", 72, "impression", "a", 0.5), ("u2", 72, "impression", "b", 0.5), ("u3", 72, "impression", "b", 0.5)]
    rows += [("u4", 72, "impression", "a", bad), ("u2", 73, "purchase", "b", None), ("u3", 73, "purchase", "a", None)]
    log = write_log(tmp_path / "log", events_of(rows, c.PROPENSITY), SHOP, window=(0, 6 * DAY))
    found, terms = lifts_of(log)
    assert found.loc[("a", 0), "estimate"] == pytest.approx(0 - 1 / 2)
    assert "1 impressions have no probability" in terms.notes[0]
    # For b, u4's slot is one in which b was not shown.
    assert found.loc[("b", 0), "estimate"] == pytest.approx(1 / 2 - 0 / 2)


def test_the_other_slots_of_a_slate_are_no_controls(tmp_path: Path) -> None:
    rows = [("u1", 72, "impression", "a", 0.5), ("u1", 72, "impression", "b", 0.5), ("u1", 73, "purchase", "a", None)]
    rows += [("u2", 72, "impression", "b", 0.5), ("u2", 72, "impression", "c", 0.5)]
    log = write_log(tmp_path / "log", events_of(rows, c.PROPENSITY), SHOP, window=(0, 6 * DAY))
    found, _ = lifts_of(log)
    assert found.loc[("a", 0), "estimate"] == pytest.approx(1.0 - 0.0)


def random_log(folder: Path, rng: np.random.Generator, *, impressions: bool, shards: int = 3) -> Log:
    """16 people, 8 items in three categories (one alone in its own, one without), 10 days."""
    n = 600
    items = {"a": "x", "b": "x", "c": "x", "d": "y", "e": "y", "f": "y", "g": "z", "h": None}
    actions = ["view", "cart", "favorite", "purchase"] + (["impression"] if impressions else [])
    weights = np.array([0.6, 0.1, 0.1, 0.2] + ([0.6] if impressions else []))
    frame = pd.DataFrame(
        {
            c.USER: [f"u{i}" for i in rng.integers(0, 16, n)],
            c.TIME_MS: rng.integers(0, 40, n) * 6 * HOUR,
            c.ACTION: rng.choice(actions, n, p=weights / weights.sum()),
            c.ITEM: rng.choice(list(items), n),
            c.PROPENSITY: rng.choice([0.1, 0.3, 0.6], n),
        }
    ).drop_duplicates([c.USER, c.TIME_MS, c.ACTION, c.ITEM])
    return write_log(folder, frame, items, shards=shards)


def plain_lifts(log: Log, *, impressions: bool) -> dict[tuple[str, int], tuple[float, float]]:
    """Every user, item and moment, one after another."""
    events = pd.concat([pd.read_parquet(s) for s in log.shards]).astype({c.ACTION: str})
    category = log.items().set_index(c.ITEM)[c.CATEGORY].to_dict()
    pool = {i: p if isinstance(p, str) and p != "z" and not impressions else "rest" for i, p in category.items()}
    shown_by = "impression" if impressions else "view"
    found = {item: defaultdict(lambda: defaultdict(lambda: [0.0] * 5)) for item in pool}
    for user, rows in events.groupby(c.USER):
        logged = list(zip(rows[c.ACTION], rows[c.ITEM], rows[c.TIME_MS], rows[c.PROPENSITY], strict=True))
        for item, cells in found.items():
            views = [t for a, i, t, _ in logged if a == "view" and i == item]
            carted = [t for a, i, t, _ in logged if a in ("cart", "favorite") and i == item]
            bought = [t for a, i, t, _ in logged if a == "purchase" and i == item]
            looks = {t for a, i, t, _ in logged if a == "view" and pool[i] == pool[item]}
            slates = defaultdict(list)
            for action, i, t, p in logged:
                if action == shown_by and pool[i] == pool[item]:
                    slates[t].append((i, p))
            for t, slate in slates.items():
                early = t < log.quality.start_ms + DAY
                if early or t + DAY > log.quality.end_ms or t in bought:
                    continue
                y = float(any(t < at <= t + DAY for at in bought))
                sums = cells[_plain_stratum(t, views, carted, bought, looks)][user]
                here = [p for i, p in slate if i == item]
                if here:
                    w = 1 / here[0] if impressions else 1.0
                    sums[:3] = [sums[0] + 1, sums[1] + w, sums[2] + w * y]
                else:
                    n = len(slate) if impressions else 1
                    sums[3:] = [sums[3] + n, sums[4] + n * y]
    out = {}
    for item, cells in found.items():
        out.update(_plain_estimates(item, cells))
    return out


def _plain_stratum(t: int, views: list, carted: list, bought: list, looks: set) -> tuple[int, int]:
    """The state on the item and how busy in the pool, from the day strictly before ``t``."""
    state = 0
    if any(t - DAY <= at < t for at in views):
        state = 1
    if any(t - DAY <= at < t for at in carted):
        state = 2
    if any(at < t for at in bought):
        state = 3
    busy = sum(t - DAY <= at < t for at in looks)
    return state, 0 if busy == 0 else 1 if busy < 4 else 2


def _plain_estimates(item: str, cells: dict) -> dict[tuple[str, int], tuple[float, float]]:
    out = {}
    for state in range(4):
        tops, omegas, psi = [], [], defaultdict(float)
        for (s, _), users in cells.items():
            n1, w1, y1, n0, y0 = np.sum(list(users.values()), axis=0)
            if s != state or n1 == 0 or n0 == 0:
                continue
            omega = n1 * n0 / (n1 + n0)
            omegas.append(omega)
            tops.append(omega * (y1 / w1 - y0 / n0))
            for user, (_, w, y, m, x) in users.items():
                psi[user] += omega * ((y - w * y1 / w1) / w1 - (x - m * y0 / n0) / n0)
        if omegas:
            out[item, state] = (sum(tops) / sum(omegas), np.sqrt(sum(p * p for p in psi.values())) / sum(omegas))
    return out


@pytest.mark.parametrize("impressions", [False, True])
def test_estimates_equal_a_plain_loop(tmp_path: Path, impressions: bool) -> None:
    log = random_log(tmp_path / "log", np.random.default_rng(3), impressions=impressions)
    found, _ = lifts_of(log)
    plain = plain_lifts(log, impressions=impressions)
    known = found[found["n_users"] > 0]
    assert set(known.index) == set(plain)
    assert len(plain) > 20
    np.testing.assert_allclose(known["estimate"], [plain[key][0] for key in known.index], atol=1e-12)
    np.testing.assert_allclose(known["std_error"], [plain[key][1] for key in known.index], atol=1e-12)


def test_shards_do_not_change_the_answer(tmp_path: Path) -> None:
    one = random_log(tmp_path / "one", np.random.default_rng(3), impressions=False, shards=1)
    many = random_log(tmp_path / "many", np.random.default_rng(3), impressions=False, shards=5)
    a, b = lifts_of(one)[0], lifts_of(many)[0]
    np.testing.assert_allclose(a[["lift", "lift_low", "p_buy"]], b[["lift", "lift_low", "p_buy"]], atol=1e-12)


def test_p_buy_is_a_probability_and_so_is_the_chance_without(tmp_path: Path) -> None:
    found, _ = lifts_of(random_log(tmp_path / "log", np.random.default_rng(5), impressions=False))
    assert found["p_buy"].between(0, 1).all()
    assert (found["p_buy"] - found["lift"]).between(-1e-12, 1 + 1e-12).all()
    assert (found["lift_low"] < found["lift"]).all()
