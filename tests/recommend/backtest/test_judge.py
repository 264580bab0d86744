"""Who is asked about a round knows what came before it, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from tests.recommend.shops import CONFIG, DAY, events_of, write_log
from whybuy import columns as c
from whybuy.progress import quiet
from whybuy.recommend.backtest.judge import BY_P_BUY, POPULAR, RANDOM, THIS, Judged, judge
from whybuy.recommend.backtest.learn import Learned, learn, number_items
from whybuy.recommend.backtest.slates import Reading, survey
from whybuy.recommend.store import connection
from whybuy.recommend.terms import terms_of

CUT = 6 * DAY
READING = Reading(reward="purchase", horizon_ms=DAY, lookback_ms=DAY, end_ms=10 * DAY, first_slot=1)


def history(n_users: int = 40) -> list[tuple]:
    """One of three items shown a day with equal chances; a is bought when shown, b by two thirds, c by nobody."""
    rng = np.random.default_rng(1)
    rows = []
    for user in range(n_users):
        for day in range(10):
            item = "abc"[rng.integers(3)]
            rows.append((f"u{user:02d}", 24 * day + user / 100, "impression", item, 1 / 3, 1))
            if item == "a" or (item == "b" and user % 3):
                rows.append((f"u{user:02d}", 24 * day + user / 100 + 1, "purchase", item, None, None))
    return rows


def judged(tmp_path, rows: list[tuple], shards: int = 1) -> tuple[Learned, Judged]:
    """Judge by states, whose ranks can be told by hand: lifts by person are forecasts."""
    events = events_of(rows, c.PROPENSITY, c.SLOT)
    log = write_log(tmp_path, events, dict.fromkeys("abc"), shards=shards, window=(0, 10 * DAY))
    with connection(tmp_path) as (con, scratch), pytest.MonkeyPatch.context() as patch:
        patch.setattr("whybuy.recommend.personal.asked.has_grounds", lambda terms: False)
        terms = terms_of(con, log, CONFIG)
        number_items(con, log)
        surveyed = survey(con, log, READING, quiet)
        learned = learn(con, log, terms, reading=READING, before_ms=CUT, scratch=scratch, report=quiet)
        return learned, judge(con, log, learned, surveyed, from_ms=CUT, report=quiet)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> tuple[Learned, Judged]:
    return judged(tmp_path_factory.mktemp("base") / "log", history())


def test_rewards_are_purchases_after_showing(base):
    shown = base[1]
    assert (shown.reward[shown.item == 0] == 1).all()
    assert (shown.reward[shown.item == 2] == 0).all()
    assert (shown.reward[shown.item == 1] == (shown.user[shown.item == 1] % 3 > 0)).all()


def test_weights_are_one_over_rank(base):
    learned, shown = base
    assert learned.popular.argmin() == 0
    np.testing.assert_allclose(shown.policies[RANDOM], 1 / 3)
    np.testing.assert_allclose(shown.propensity, 1 / 3)
    np.testing.assert_allclose(shown.policies[POPULAR], (np.array([6, 3, 2]) / 11)[learned.popular[shown.item] - 1])


def state_before(rows: list[tuple], user: str, hours: float, item: str, *, repeated: bool) -> tuple[int, int]:
    """Return the state of a user on an item just before a time, and whether it was bought just now; event by event."""
    state, last = 0, 0
    for who, when, action, what, *_ in rows:
        if who != user or what != item or when >= hours:
            continue
        recent = when >= hours - 24
        if action == "purchase":
            state, last = 3, last or int(recent and not repeated)
        elif action == "review":
            last = last or int(not repeated)
        elif recent:
            state = max(state, {"cart": 2, "view": 1}.get(action, 0))
    return state, last


def test_rankings_know_the_state_just_before_the_round(tmp_path):
    rng = np.random.default_rng(2)
    rows = history(20)
    for user, hours, action in zip(
        rng.integers(0, 20, 300), rng.uniform(0, 240, 300), rng.integers(0, 3, 300), strict=True
    ):
        rows.append((f"u{user:02d}", hours, ("view", "cart", "review")[action], "abc"[rng.integers(3)], None, None))
    rows += [(f"u{user:02d}", 150.5, "purchase", "c", None, None) for user in range(0, 20, 3)]
    learned, shown = judged(tmp_path / "log", rows)
    asked = sorted(row for row in rows if row[2] == "impression" and 144 <= row[1] <= 216)
    assert len(asked) == len(shown.item)
    assert not learned.repeated.all()
    for line, policy in ((learned.by_lift, THIS), (learned.by_p_buy, BY_P_BUY)):
        expected = []
        for user, hours, _, item, *_ in asked:
            states = [state_before(rows, user, hours, one, repeated=learned.repeated[k]) for k, one in enumerate("abc")]
            places = [int(line[k, state, last]) for k, (state, last) in enumerate(states)]
            expected.append((6, 3, 2)[sorted(places).index(places["abc".index(item)])] / 11)
        np.testing.assert_allclose(shown.policies[policy], expected)
        assert len(set(np.round(expected, 6))) == 3


def test_nothing_after_a_round_or_after_the_cut_changes_what_is_said_of_it(base, tmp_path):
    later = [("u00", 24 * 9 + hours, "purchase", item, None, None) for hours in range(2, 20) for item in "bc"]
    learned, shown = judged(tmp_path / "log", [*history(), *later])
    for name in ("by_lift", "by_p_buy", "popular"):
        np.testing.assert_array_equal(getattr(learned, name), getattr(base[0], name))
    for name in (THIS, BY_P_BUY, POPULAR, RANDOM):
        np.testing.assert_array_equal(shown.policies[name], base[1].policies[name])


def test_shards_do_not_matter(base, tmp_path):
    shown = judged(tmp_path / "log", history(), shards=3)[1]

    def rows(one: Judged) -> pd.DataFrame:
        frame = pd.DataFrame({"item": one.item, "reward": one.reward, **one.policies})
        return frame.sort_values(list(frame.columns), ignore_index=True)

    assert len(np.unique(shown.user)) == 40
    pd.testing.assert_frame_equal(rows(shown), rows(base[1]))
