"""What holds in every world: size, known truth, where co-occurrence is wrong, and that everything is logged."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from tests.worlds.oracle import Trials

from whybuy.config import load_config
from whybuy.errors import ConfigError, ModelError
from whybuy.events.behaviors import parse_behavior
from whybuy.events.features import ACTION_WINDOWS
from whybuy.worlds import WORLDS, campaign, habit, season, world
from whybuy.worlds.chain import HOUR_MS
from whybuy.worlds.intervene import Population
from whybuy.worlds.truth import fingerprint, read_truth, truth_path

NEW = ("habit", "season", "campaign")
ALL = tuple(WORLDS)
RECOMPUTED = {
    "demo": ("view:boots", "purchase:shoes"),
    "habit": ("purchase:milk", "purchase:milk"),
    "season": ("view:tents", "purchase:jackets"),
    "campaign": ("view:rugs", "purchase:sofas"),
}


@pytest.fixture(scope="module", params=NEW)
def drawn(request):
    """A world and a small shop of it: 150 users over the whole 35 days."""
    found = world(request.param)
    return found, found.draw(3, n_users=150, with_propensity=True)


def test_a_world_that_is_not_there():
    with pytest.raises(ConfigError, match=r"no world called 'mall'\. Needed: one of demo, habit, season, campaign\."):
        world("mall")


def test_same_seed_same_shop(drawn):
    of, shop = drawn
    again = of.draw(3, n_users=150)
    for name in ("events", "items", "users"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(shop, name))
    assert again.propensity is None
    assert not of.draw(4, n_users=150).events.equals(shop.events)


def test_sizes_and_mix(drawn):
    of, shop = drawn
    own = shop.events[shop.events["action"] != "campaign"]
    assert 3_000 <= of.equations.n_users <= 3_600
    assert 50 < len(own) / len(shop.users) < 70
    assert 0.03 < (own["action"] == "purchase").mean() < 0.08
    assert len(of.equations.categories) <= 6
    assert 3 <= len(of.equations.actions) <= 5
    assert set(own["action"]) == set(of.equations.actions)
    gap = own.sort_values(["user_id", "ts"]).groupby("user_id")["ts"].diff()
    assert gap.min() > pd.Timedelta(1, "s")  # else it would be taken for a near-duplicate


def test_propensities_are_of_decisions_and_nothing_is_hidden(drawn):
    of, shop = drawn
    sent = (shop.events["action"] == "campaign").to_numpy()
    assert shop.cells == of.equations.cells
    assert np.isnan(shop.propensity[sent]).all()
    assert shop.propensity[~sent].sum(axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(shop.propensity, shop.logged_propensity)


def test_written_shop_has_a_config_that_asks_for_the_known_pairs(drawn, tmp_path):
    of, shop = drawn
    config = load_config(of.write(shop, tmp_path))
    assert config.causal.confirm == list(of.equations.pairs)
    assert len(pd.read_parquet(config.resolve(config.events[0].path))) == len(shop.events)


def test_no_memory_is_a_window_of_the_features():
    windows = {1 / 60, *(w / HOUR_MS for w in ACTION_WINDOWS)}
    hours = {*habit.TIME_HOURS, *habit.HALF_LIVES.values(), *season.HALF_LIVES.values(), *campaign.HALF_LIVES.values()}
    hours |= {season.SALE_HALF_LIFE_HOURS, season.EXCITED_MINUTES / 60}
    assert windows.isdisjoint(hours)


def test_habit_remembers_by_a_power_law():
    hours = np.geomspace(1 / 60, 40 * 24, 50)
    kernel = np.exp(-hours[:, None] / habit.TIME_HOURS) @ habit.WEIGHTS
    power = (1 + hours / habit.KERNEL_HOURS) ** -habit.KERNEL_POWER
    assert kernel == pytest.approx(power, rel=0.11)
    assert kernel[hours < 240] == pytest.approx(power[hours < 240], rel=0.05)


@pytest.mark.parametrize("name", NEW)
def test_stored_truth_has_the_promised_kinds(name):
    effects = world(name).truth()
    assert 25 <= len(effects) <= 32
    assert all(str(parse_behavior(e.treatment)) == e.treatment for e in effects)
    assert max(e.std_error for e in effects) < 0.00065
    null = [e for e in effects if e.kind == "no cause"]
    assert len(null) >= 0.3 * len(effects)
    assert all(abs(e.truth) < 0.002 for e in null)
    assert sum(abs(e.naive) > 0.015 for e in null) >= 3
    wrong = [e for e in effects if e.kind == "wrong sign"]
    assert wrong
    assert all(e.truth < -0.01 and e.naive > 0.005 for e in wrong)
    assert any(e.naive > 0.02 for e in wrong)
    assert sum(abs(e.truth) > 0.03 for e in effects if e.kind == "cause") >= 4


@pytest.mark.parametrize("name", NEW)
def test_truth_of_other_equations_is_refused(name, monkeypatch, tmp_path):
    equations = world(name).equations
    stale = json.loads(truth_path(equations).read_text(encoding="utf-8")) | {"fingerprint": "0123456789abcdef"}
    (tmp_path / "stale.json").write_text(json.dumps(stale), encoding="utf-8")
    with pytest.raises(ModelError, match=rf"equations 0123456789abcdef, .* Run `python -m whybuy.worlds {name}`"):
        read_truth(equations, tmp_path / "stale.json")
    before = fingerprint(equations.constants)
    monkeypatch.setattr(equations.constants, "RETURN_PER_DAY", 0.5)
    assert fingerprint(equations.constants) != before


@pytest.mark.parametrize("name", ALL)
def test_one_cell_recomputed_with_another_seed(name):
    treatment, outcome = RECOMPUTED[name]
    of = world(name)
    stored = next(e for e in of.truth() if (e.treatment, e.outcome) == (treatment, outcome))
    population = Population.draw(of.equations, 2_000, np.random.default_rng(11))
    found = population.effects(treatment, 8_000, np.random.default_rng(12))
    a = of.equations.outcomes.index(outcome)
    error = np.hypot(found.std_error[a], stored.std_error)
    assert abs(found.effect[a] - stored.truth) < 4 * error
    assert found.effect[a] < -2 * error  # it can fail: the co-occurrence is positive


@pytest.mark.parametrize("name", NEW)
def test_naive_misses(name):
    of = world(name)
    trials = Trials(of, of.draw(5, with_propensity=True))
    effects = {(e.treatment, e.outcome): e for e in of.truth()}
    wrong = effects[RECOMPUTED[name]]
    assert trials.naive(wrong)[0] > 0 > wrong.truth
    tempting = max((e for e in effects.values() if e.kind == "no cause"), key=lambda e: abs(e.naive))
    assert abs(trials.naive(tempting)[0]) > 0.01
    assert abs(tempting.truth) < 0.002


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_oracle_intervals_hold_the_truth(name):
    """6 shops x 30 pairs, dependent within a shop: coverage within .90 and .99, scaled errors near 1."""
    of, z = world(name), []
    for seed in range(6):
        trials = Trials(of, of.draw(seed, with_propensity=True))
        for effect in of.truth():
            estimate, error = trials.oracle(effect)
            z.append((estimate - effect.truth) / np.hypot(error, effect.std_error))
            assert effect.std_error < 0.25 * error  # the truth is far more exact than what it judges
    assert 0.90 < np.mean(np.abs(z) < 1.96) < 0.99
    assert 0.8 < np.sqrt(np.mean(np.square(z))) < 1.2


def test_propensities_are_a_function_of_what_is_logged(drawn):
    """Second implementation: one user's probabilities, event by event, from nothing but the three tables."""
    of, shop = drawn
    by_hand = {"habit": _habit_by_hand, "season": _season_by_hand, "campaign": _campaign_by_hand}[of.name]
    mine, who = _busiest(shop)
    rows = mine.index[mine["action"] != "campaign"]
    for row in rows[[0, 1, len(rows) // 2, len(rows) - 1]]:
        now = mine.loc[row, "ts"]
        weights = np.array([by_hand(cell, _past(mine, now), who, now) for cell in shop.cells])
        assert shop.propensity[row] == pytest.approx(weights / weights.sum(), rel=3e-3)


def test_mails_are_sent_by_what_is_logged_and_bring_discounts():
    shop = world("campaign").draw(3, n_users=150)
    mine, who = _busiest(shop)
    for mail in mine[mine["action"] == "campaign"].itertuples():
        states = _campaign_states(_past(mine, mail.ts))
        log_odds = campaign.MAIL["constant"] + campaign.MAIL["vip"] * (who["status"] == "vip")
        log_odds += campaign.MAIL["momentum"] * math.log1p(states.get("momentum", 0))
        promoted = mail.campaign_id.removeprefix("mail-")
        log_odds += campaign.MAIL["interest"] * math.log1p(states.get(f"interest:{promoted}", 0))
        sent = 1 / (1 + math.exp(-log_odds))
        assert mail.propensity == pytest.approx(sent if mail.arm == "treated" else 1 - sent, rel=1e-3)
    priced = shop.events.dropna(subset="item_id").merge(shop.items, on="item_id", suffixes=("", "_listed"))
    off = (1 - priced["price"] / priced["price_listed"]).round(2)
    assert set(off) == {0.0, campaign.DISCOUNT}


def _busiest(shop):
    """Return all rows of the user with most events, categories filled in, and who that is."""
    events = shop.events.merge(
        shop.items[["item_id", "category"]], on="item_id", how="left", suffixes=("_searched", "")
    )
    if "category_searched" in events:
        events["category"] = events["category"].fillna(events["category_searched"])
    user = events.loc[events["action"] != "campaign", "user_id"].value_counts().index[0]
    return events[events["user_id"] == user], shop.users.set_index("user_id").loc[user]


def _past(mine, now):
    return [((now - e.ts) / pd.Timedelta(1, "h"), e.action, e.category, e) for e in mine[mine["ts"] < now].itertuples()]


def _matching(table, action, category):
    """Yield the (state, size) that an event moves, categories filled in."""
    for (state, event), size in table.items():
        if event in (f"{action}:{category}", f"{action}:*"):
            yield state, size
        elif event == f"{action}:c":
            yield state.replace(":c", f":{category}"), size


def _arrows_into(table, cell):
    action, category = cell.split(":")
    return _matching(table, action, category)


def _base(world_module, cell):
    return world_module.BASE[f"{cell.split(':')[0]}:*"] + world_module.BASE.get(cell, 0)


def _kernel(module, state, hours):
    return 0.5 ** (hours / module.HALF_LIVES.get(state, module.HALF_LIVES.get(f"{state.split(':')[0]}:c", math.nan)))


def _habit_by_hand(cell, past, who, now):
    states = {}
    for hours, action, category, _ in past:
        for state, size in _matching(habit.JUMPS, action, category):
            is_long = state.split(":")[0] in ("taste", "treat", "diet", "activity")
            weights = zip(habit.WEIGHTS, habit.TIME_HOURS, strict=True)
            k = sum(w * math.exp(-hours / t) for w, t in weights) if is_long else _kernel(habit, state, hours)
            states[state] = states.get(state, 0) + size * k
    features = {name: max(s, 0) / (1 + max(s, 0)) for name, s in states.items()}
    features |= {"family": who["household"] == "family", "city": who["home"] == "city"}
    return math.exp(_base(habit, cell) + sum(z * features.get(f, 0) for f, z in _arrows_into(habit.ARROWS, cell)))


def _states_with_closing(module, past, jumps):
    states, before = {}, None
    for hours, action, category, event in past:
        states = {s: v * (_kernel(module, s, before - hours) if before is not None else 1) for s, v in states.items()}
        before = hours
        for state, keeps in _matching(module.KEEPS, action, category):
            states[state] = states.get(state, 0) * keeps
        for state, size in jumps(action, category, event):
            states[state] = states.get(state, 0) + size
    return {s: max(v * _kernel(module, s, before), 0) for s, v in states.items()}


def _season_by_hand(cell, past, who, now):
    own = [p for p in past if p[1] != "campaign"]
    states = _states_with_closing(season, own, lambda a, k, _: _matching(season.JUMPS, a, k))
    heard = [hours for hours, action, _, _ in past if action == "campaign"]
    day = (now - now.normalize()) / pd.Timedelta(1, "D")
    features = {name: math.log1p(states.get(name, 0)) for name in ("doubt", "spent")}
    features |= {
        "member": who["membership"] == "member",
        "parent": who["household"] == "children",
        "weekend": math.cos(2 * math.pi * (now.day_of_week + day - season.BUSY_DAY) / 7),
        "evening": math.cos(2 * math.pi * (24 * day - season.BUSY_HOUR) / 24),
        "sale": sum(0.5 ** (hours / season.SALE_HALF_LIFE_HOURS) for hours in heard),
    }
    tilt = _base(season, cell) + sum(z * features[f] for f, z in _arrows_into(season.TILTS, cell))
    return math.exp(tilt) * (1 + sum(z * states.get(s, 0) for s, z in _arrows_into(season.GAINS, cell)))


def _campaign_states(past):
    def jumps(action, category, event):
        if action != "campaign":
            return _matching(campaign.JUMPS, action, category)
        of = event.campaign_id.removeprefix("mail-")
        return [(f"coupon:{of}", 1), ("mailed", 1)] if event.arm == "treated" else []

    return _states_with_closing(campaign, past, jumps)


def _campaign_by_hand(cell, past, who, now):
    features = {name: math.sqrt(s) for name, s in _campaign_states(past).items()}
    features |= {"vip": who["status"] == "vip", "renter": who["home"] == "rented"}
    return math.exp(_base(campaign, cell) + sum(z * features.get(f, 0) for f, z in _arrows_into(campaign.ARROWS, cell)))
