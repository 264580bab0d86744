"""The second opinion: finds the chain of a known point process, and errs as documented where a state is not logged."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.causal.chains import judged
from tests.causal.point_processes import DAY_MS, HOUR_MS, START_MS, draw
from whybuy import causal
from whybuy.causal.discovery import MAX_BEHAVIORS, SecondOpinion, comparable, compare, second_opinion
from whybuy.causal.effects import Estimate
from whybuy.causal.granger import Points, _influences, draw_points, granger
from whybuy.causal.histories import Histories, histories_of, independent_columns
from whybuy.causal.opinions import ASSUMES
from whybuy.causal.pc import pc_arrows, window_counts
from whybuy.config import config_from_dict
from whybuy.errors import MissingExtraError, QuestionError
from whybuy.events.behaviors import parse_behavior
from whybuy.events.sequences import encode_log
from whybuy.events.shards import ingest

B, C, A, APART = "search:boots", "view:bags", "purchase:shoes", "view:books"
STRONG, NONE = Estimate.of("ato", 0.1, 0.005), Estimate.of("ato", 0.0, 0.001)
WINDOWS = {"horizon_ms": 2 * DAY_MS, "lookback_ms": 2 * DAY_MS}


def opinions(histories: Histories, pairs: dict[tuple[str, str], Estimate], seed: int) -> SecondOpinion:
    effects = [replace(judged(b, a, e), horizon="2d") for (b, a), e in pairs.items()]
    return compare(effects, histories, lookback_ms=2 * DAY_MS, seed=seed)


def test_the_chain_is_found_by_both():
    arms, nulls = [(B, C), (C, A)], [(B, A), (C, B), (B, APART), (APART, A)]
    false = []
    for seed in (100, 101, 102):
        histories = draw({(B, C): 1.4, (C, A): 1.4}, seed=seed, n_users=2_500, days=20)
        pairs = dict.fromkeys(arms, STRONG) | dict.fromkeys(nulls, NONE)
        found = {(p.treatment, p.outcome): p for p in opinions(histories, pairs, seed).pairs}
        assert [found[pair].sign for pair in arms] == ["+", "+"]
        assert [found[pair].arrow for pair in (*arms, *nulls)] == ["->", "->", "", "<-", "", ""]
        assert all(found[pair].granger_agrees and found[pair].pc_agrees for pair in arms)
        # The true influence is 1.4 log(1 + x); half of the moments of a have about one half-faded moment of c before.
        assert 0.4 < found[C, A].influence.estimate < 1.2
        false += [found[pair] for pair in nulls if found[pair].sign != "0"]
    # The false discovery rate is held at 5%: among six discoveries and twelve nulls one is no surprise, three are.
    assert len(false) < 3


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_an_unlogged_state_that_moves_both_fools_both_as_documented(seed):
    """Nothing influences anything; a state that lasts for a week raises the rates of b and of a."""
    histories = draw({}, seed=seed, taste={B: 0.7, A: 0.7}, n_users=2_500, days=20)
    found = opinions(histories, {(B, A): NONE, (B, C): NONE}, seed)
    fooled, clean = found.pairs
    assert (fooled.outcome, fooled.arrow, fooled.sign) == (A, "->", "+")
    assert (fooled.pc_agrees, fooled.granger_agrees) == (False, False)
    assert "it assumes no hidden common cause" in fooled.why[0]
    assert "it assumes that no unlogged state moves both rates" in fooled.why[1]
    assert (clean.arrow, clean.sign, clean.why) == ("", "0", ())
    assert found.agreement("pc") == found.agreement("granger") == (1, 2)
    assert found.apart == (fooled,)
    assert "no hidden common cause" in ASSUMES["PC"]
    assert "no unlogged state" in ASSUMES["Granger"]


def test_a_behavior_that_lowers_a_rate_has_a_minus():
    histories = draw({(B, A): -4.0}, seed=100, n_users=2_500, days=20)
    (found,) = opinions(histories, {(B, A): STRONG}, 100).pairs
    assert found.sign == "-"
    assert found.granger_agrees is False
    assert "Granger has the opposite sign" in found.why[-1]


@pytest.mark.slow
def test_without_influences_the_intervals_cover():
    z = []
    for seed in range(110, 140):
        rng = np.random.default_rng(seed)
        found = granger(draw({}, seed=seed, n_users=2_500, days=20), (A, C), rng=rng, **WINDOWS)
        z += [i.change / i.std_error for i in found]
    outside = np.mean(np.abs(z) > 1.96)
    assert len(z) == 30 * 6
    # Six pairs of one log are alike: the band is that of 60 independent ones.
    assert outside < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)
    assert abs(np.mean(z)) < 3 / np.sqrt(60)


def test_dummies_have_the_rate_that_the_offset_says():
    """A point drawn at rate rho stands for 1 / rho of time, so that all of them add up to the time that was watched."""
    h = draw({(B, C): 1.4}, seed=3, n_users=300, days=20)
    points = draw_points(h, rng=np.random.default_rng(0), n_dummies=60_000, **WINDOWS)
    weight = np.exp(-points.log_rho[points.moment < 0])
    begin = np.maximum(START_MS + 2 * DAY_MS, h.ts_ms[h.offsets[:-1]])
    assert weight.sum() == pytest.approx((h.end_ms - begin).sum(), rel=0.02)
    assert (points.ts_ms >= START_MS + 2 * DAY_MS).all()


def small(times_hours, hits, n_users: int = 1, days: int = 10) -> Histories:
    """The same few moments for every user."""
    n = len(times_hours)
    return Histories(
        names=(B, A),
        offsets=np.arange(n_users + 1) * n,
        ts_ms=np.tile(START_MS + np.array(times_hours) * HOUR_MS, n_users),
        hits=np.tile(np.array(hits, np.uint8), (n_users, 1)),
        start_ms=START_MS,
        end_ms=START_MS + days * DAY_MS,
    )


def test_a_first_moment_is_there_by_construction_and_is_no_case():
    h = small([100, 101], [[1, 0], [0, 1]])
    points = draw_points(h, rng=np.random.default_rng(0), n_dummies=100, **WINDOWS)
    (case,) = np.flatnonzero(points.moment >= 0)
    assert points.moment[case] == 1
    # An hour after it, a moment of b has decayed by the half-lives: 2 d / 168, 2 d / 7, 2 d.
    expected = [np.log1p(2 ** -(1 / (48 * share))) for share in (1 / 168, 1 / 7, 1)]
    np.testing.assert_allclose(points.past[case, :, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(points.past[case, :, 1], 0)
    np.testing.assert_allclose(points.past[case, :, 2], expected, rtol=1e-5)


def test_the_windows_of_pc_by_hand():
    """Moments at hours 60, 70, 80: only the middle of a short log has two days before and after it."""
    h = small([60, 70, 80], [[1, 0], [1, 0], [0, 1]], days=5)
    rows = window_counts(h, horizon_ms=2 * DAY_MS, rng=np.random.default_rng(0))
    # At 60: one b up to it, one b and one a after. At 70: two b, then one a. 80 h and two days end after the log.
    options = [np.log1p([1, 0, 1, 1]), np.log1p([2, 0, 0, 1])]
    assert any(np.allclose(rows[0], option) for option in options)
    assert window_counts(h, horizon_ms=4 * DAY_MS, rng=np.random.default_rng(0)).shape == (0, 4)


def test_pc_reads_a_collider_in_its_direction_and_leaves_out_what_repeats():
    rng = np.random.default_rng(0)
    earlier = rng.normal(size=(3_000, 4))
    x, y, noise = rng.normal(size=(3, 3_000))
    later = np.stack([x, y, x + y + noise, x], axis=1)
    arrows = pc_arrows(np.concatenate([earlier, later], axis=1), ("x", "y", "z", "again"))
    assert (arrows["x", "z"], arrows["z", "x"]) == ("->", "<-")
    assert (arrows["y", "z"], arrows["x", "y"]) == ("->", "")
    assert ("again", "z") not in arrows


def test_columns_that_follow_from_those_before_them():
    x = np.random.default_rng(0).normal(size=(50, 2))
    X = np.column_stack([x, x.sum(axis=1), np.ones(50)])
    assert independent_columns(X).tolist() == [True, True, False, False]


def test_rates_that_run_away_are_no_answer():
    """Every moment of a has b before it, and no dummy does."""
    n = 200
    is_case = np.arange(n) % 2
    h = replace(small([50], [[0, 1]], n_users=n))
    past = np.repeat(is_case[:, None, None], 9, axis=1).reshape(n, 3, 3).astype(np.float32)
    moment = np.where(is_case > 0, np.arange(n), -1)
    points = Points(np.arange(n), h.ts_ms + np.arange(n) * HOUR_MS, moment, np.zeros(n), past)
    assert _influences(h, points, 1) == []


def test_too_few_users_are_refused():
    h = small([60, 70, 80], [[1, 0], [1, 0], [0, 1]], n_users=40)
    with pytest.raises(QuestionError, match=r"40 users have a moment with 2d before and after it.* 300, since a user"):
        opinions(h, {(B, A): STRONG}, 0)


def test_behaviors_that_contain_another_are_left_out():
    effects = [judged("view:bags", "purchase:*", STRONG), judged("view:bags", "purchase:bags", NONE)]
    assert comparable(effects) == ("view:bags", "purchase:bags")


def test_the_commonest_others_are_held_fixed():
    scanned = [
        replace(judged(b, "purchase:bags", STRONG), method="scan", n_treated=n)
        for b, n in (("view:boots", 70), ("view:shoes", 90), ("view:*", 900), ("view:never", 0))
    ]
    found = comparable([*scanned, judged("view:bags", "purchase:bags", STRONG)])
    assert found == ("view:bags", "purchase:bags", "view:shoes", "view:boots")
    many = [replace(e, treatment=f"{e.treatment}{i}") for e in scanned[:2] for i in range(20)]
    assert len(comparable([*many, judged("view:bags", "purchase:bags", STRONG)])) == MAX_BEHAVIORS


def test_fewer_than_two_behaviors_are_refused():
    with pytest.raises(QuestionError, match="1 behaviors of the confirmed pairs can be compared"):
        comparable([judged("purchase:*", "purchase:*", STRONG)])


def test_it_comes_back_from_json_and_has_numbers_in_its_frame():
    histories = draw({(B, C): 1.4}, seed=4, n_users=600, days=20)
    found = opinions(histories, {(B, C): STRONG, (C, A): Estimate.of("ato", 0.01, 0.02), ("cart:x", A): STRONG}, 0)
    assert SecondOpinion.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    frame = found.to_frame()
    assert list(frame["treatment"]) == [B, C]
    assert frame.loc[0, "granger_low"] < frame.loc[0, "granger"] < frame.loc[0, "granger_high"]
    assert found.left_out == ("cart:x",)
    # What cannot be told agrees with nothing and differs from nothing.
    assert frame.loc[1, "pc_agrees"] is None
    assert found.summary().startswith("PC agrees on ")
    agrees, differs, untold = found.plot().data
    assert list(agrees.y) == [f"{B} → {C}"]
    assert agrees.x[0] == pytest.approx(np.exp(frame.loc[0, "granger"]))
    assert list(differs.y) == []
    assert list(untold.y) == [f"{C} → {A}"]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """40 users; each views a bag every day, and buys one in the same second of every third day."""
    folder = tmp_path_factory.mktemp("log")
    day = np.tile(np.arange(12), 40)
    views = pd.DataFrame(
        {
            "user_id": np.repeat([f"u{i:02d}" for i in range(40)], 12),
            "ts": START_MS + day * DAY_MS,
            "action": "view",
            "category": "bags",
            "item_id": "b1",
        }
    )
    events = pd.concat([views, views[day % 3 == 0].assign(action="purchase")])
    names = ["user_id", "ts", "action", "category", "item_id"]
    source = {"path": "table:log", "columns": dict(zip(names, names, strict=True))}
    config = config_from_dict({"horizons": ["2d"], "lookback": "2d", "events": [source]}, base=folder)
    for name in ("events", "sequences"):
        (folder / name).mkdir()
    found = ingest(config, folder / "events", tables={"log": events})
    return encode_log(found, folder / "sequences"), found, config


def test_histories_are_the_moments_of_the_log(log):
    store, found, _ = log
    h = histories_of(store, found, (parse_behavior("view:bags"), parse_behavior("purchase:bags")))
    inside = (h.ts_ms >= h.start_ms) & (h.ts_ms <= h.end_ms)
    assert inside.all()
    assert h.n_users == 40
    assert h.hits[:, 0].all()
    day = (h.ts_ms - START_MS) // DAY_MS
    np.testing.assert_array_equal(h.hits[:, 1], day % 3 == 0)
    np.testing.assert_array_equal(h.before(h.user, h.ts_ms), np.arange(len(h.ts_ms)))


def test_a_log_that_is_too_thin_and_a_missing_extra_are_refused(log, monkeypatch):
    store, found, config = log
    effects = [replace(judged("view:bags", "purchase:bags", STRONG), horizon="2d")]
    with pytest.raises(QuestionError, match="40 users have a moment"):
        second_opinion(effects, store, found, config, horizon="2d")
    monkeypatch.setattr(causal, "find_spec", lambda name: None if name == "causallearn" else object())
    with pytest.raises(MissingExtraError, match=r"causal-learn is not installed.*pip install 'whybuy\[discovery\]'"):
        second_opinion(effects, store, found, config, horizon="2d")
