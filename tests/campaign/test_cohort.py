"""Who is compared with whom."""

import numpy as np
import pandas as pd

from tests.campaign.shops import DAY, HOUR, config, event, write_shop
from whybuy import columns as c
from whybuy.campaign import cohort as module
from whybuy.campaign.assignments import TREATED, design_of, read_assignments
from whybuy.campaign.cohort import Cohort, Observed, arms_cohort, only_active, sampled, targeted_cohort, wave_ends


def shop_of(tmp_path, assignments):
    """Six users who view on every day of 40; ``assignments`` are the campaign's events."""
    views = [event(user, day + 0.5, "view") for user in "abdefg" for day in range(40)]
    return write_shop(tmp_path, [*views, *assignments])


def letter(user, day, arm=None):
    return event(user, day, "campaign", campaign_id="spring", arm=arm)


def targeted(shop):
    design = design_of(read_assignments(shop).of("spring"), config(), "spring")
    return targeted_cohort(shop, design, Observed.of(shop, config(), 7 * DAY), "spring")


def test_arms_without_followup_are_left_out_and_counted(tmp_path):
    shop = shop_of(tmp_path, [letter("a", 10, "x"), letter("b", 10, "control"), letter("d", 35, "x")])
    design = design_of(read_assignments(shop).of("spring"), config(), "spring")
    found = arms_cohort(design, Observed.of(shop, config(), 7 * DAY))
    assert found.rows[c.USER].tolist() == ["a", "b"]
    assert found.treated.tolist() == [True, False]
    assert found.set_aside == {"without_followup": 1}
    assert found.notes == ("Left out because assigned less than 7d before the log ends: 1.",)


def test_the_controls_of_one_wave_are_those_who_were_never_sent_it(tmp_path):
    found = targeted(shop_of(tmp_path, [letter("a", 20), letter("b", 20.2)]))
    assert found.rows.loc[found.treated, c.USER].tolist() == ["a", "b"]
    assert found.rows.loc[~found.treated, c.USER].tolist() == ["d", "e", "f", "g"]
    assert set(found.rows[c.TIME_MS]) == {20 * DAY, round(20.2 * DAY)}


def test_where_sending_goes_on_people_are_controls_before_they_are_sent_it(tmp_path):
    sent = [letter(user, 12 + i * 0.4) for i, user in enumerate("abdefg")]
    rows = targeted(shop_of(tmp_path, sent)).rows
    assert rows[TREATED].sum() == 6
    assert (~rows[TREATED]).sum() > 0
    own = rows[rows[TREATED]].set_index(c.USER)[c.TIME_MS]
    controls = rows[~rows[TREATED]]
    assert (controls[c.TIME_MS].to_numpy() < own[controls[c.USER]].to_numpy()).all()


def test_controls_who_are_sent_it_soon_are_counted(tmp_path):
    sent = [letter(user, 12 + i * 0.4) for i, user in enumerate("abdefg")]
    found = targeted(shop_of(tmp_path, sent))
    n = int((~found.treated).sum())
    assert found.set_aside == {"controls_sent_within_horizon": n}
    assert found.notes[0].startswith(f"{n} of {n} controls were sent it later within the horizon")


def test_people_sent_it_at_the_ends_of_the_log_are_left_out(tmp_path):
    found = targeted(shop_of(tmp_path, [letter("a", 3), letter("b", 20), letter("d", 36)]))
    assert found.rows.loc[found.treated, c.USER].tolist() == ["b"]
    assert found.set_aside == {"without_followup": 1, "without_lookback": 1}
    assert "Left out because sent it before the log had 7d of history: 1." in found.notes


def test_the_draw_depends_on_seed_and_campaign_alone(tmp_path):
    shop = shop_of(tmp_path, [letter("a", 10), letter("b", 20), letter("d", 25)])
    assert targeted(shop).rows.equals(targeted(shop).rows)


def test_waves_are_short_and_half_a_day_apart():
    times = pd.Series([0, 8, 20, 33, 34, 45, 57, 69]) * HOUR
    # 0-20 is a wave; from 33 to 69 no pause is longer than 12 hours, and that is longer than a day
    assert (wave_ends(times, times) // HOUR).tolist() == [20, 20, 20, 33, 34, 45, 57, 69]


def test_people_who_never_did_anything_before_are_left_out():
    rows = pd.DataFrame({c.USER: ["a", "b"], c.TIME_MS: [1, 1], TREATED: [True, False], c.ARM: None})
    found = only_active(Cohort(rows), np.array([False, True]))
    assert found.rows[c.USER].tolist() == ["b"]
    assert found.set_aside == {"without_activity_before": 1}


def test_large_arms_are_sampled_and_said(monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS_PER_ARM", 10)
    rows = pd.DataFrame(
        {c.USER: [f"u{i}" for i in range(40)], c.TIME_MS: 1, TREATED: [True] * 5 + [False] * 35, c.ARM: None}
    )
    found = sampled(Cohort(rows))
    assert found.treated.sum() == 5
    assert (~found.treated).sum() == 10
    assert found.notes == ("A random 10 of the 35 controls are looked at.",)
