"""Kinds of assignment and the sample-ratio check."""

import pandas as pd
import pytest

from tests.campaign.shops import config, event, write_shop
from whybuy import columns as c
from whybuy.campaign.assignments import TREATED, design_of, logged_shares, read_assignments, sample_ratio


def assigned(*rows):
    """Rows of (user, arm, propensity), at time 0."""
    frame = pd.DataFrame(rows, columns=[c.USER, c.ARM, c.PROPENSITY])
    return frame.assign(
        **{c.CAMPAIGN: "spring", c.TIME_MS: 0, "n_arms": 1, c.PROPENSITY: frame[c.PROPENSITY].astype(float)}
    )


def split(n_sent, n_held, p_sent=None, p_held=None):
    sent = [(f"s{i}", "letter", p_sent) for i in range(n_sent)]
    held = [(f"h{i}", "Control", p_held) for i in range(n_held)]
    return assigned(*sent, *held)


def test_campaigns_are_listed_as_people_count(tmp_path):
    sent = [event("a", day, "campaign", campaign_id=str(day), arm="letter") for day in (1, 2, 10, 11)]
    shop = write_shop(tmp_path, [*sent, event("a", 12, "view")])
    assert read_assignments(shop).campaigns == ["1", "2", "10", "11"]


def test_the_first_event_of_a_campaign_is_the_assignment(tmp_path):
    shop = write_shop(
        tmp_path,
        [
            event("a", 3, "campaign", campaign_id="spring", arm="letter"),
            event("a", 1, "campaign", campaign_id="spring", arm="letter"),
            event("a", 2, "campaign", campaign_id="summer"),
            event("b", 2, "campaign", campaign_id="spring", arm="control"),
            event("b", 5, "campaign", campaign_id="spring", arm="Letter"),
            event("b", 6, "redeem", campaign_id="spring"),
            event("b", 6, "view"),
        ],
    )
    found = read_assignments(shop)
    assert found.campaigns == ["spring", "summer"]
    spring = found.of("spring")
    assert spring[c.USER].tolist() == ["a", "b"]
    assert spring[c.TIME_MS].tolist() == [86_400_000, 2 * 86_400_000]
    assert spring["n_arms"].tolist() == [1, 2]
    assert found.redeemed_of("spring")[c.USER].tolist() == ["b"]


def test_randomized_is_what_the_config_declares():
    design = design_of(split(60, 40), config(campaign={"randomized": ["spring"]}), "spring")
    assert design.kind == "randomized"
    assert design.sample_ratio["passed"] is None
    assert design.notes == ("Declared randomized; the intended split could not be checked: no propensity is logged.",)


def test_randomized_is_what_constant_propensities_and_the_split_agree_on():
    design = design_of(split(60, 40, 0.6, 0.4), config(), "spring")
    assert design.kind == "randomized"
    assert design.sample_ratio == {
        "observed": {"control": 40, "letter": 60},
        "expected": {"control": 40.0, "letter": 60.0},
        "p_value": 1.0,
        "passed": True,
    }


def test_a_split_that_is_off_is_not_random():
    # chi-square = 50^2 / 500 + 50^2 / 500 = 10, whose p-value with one degree of freedom is .0016; with 60 it is 14.4
    assert sample_ratio({"a": 550, "b": 450}, {"a": 0.5, "b": 0.5})["p_value"] == pytest.approx(0.0015654, abs=1e-7)
    assert sample_ratio({"a": 550, "b": 450}, {"a": 0.5, "b": 0.5})["passed"]
    assert not sample_ratio({"a": 560, "b": 440}, {"a": 0.5, "b": 0.5})["passed"]
    assert design_of(split(560, 440, 0.5, 0.5), config(), "spring").kind == "unknown"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (split(2, 2), "no propensity is logged."),
        (assigned(("a", "x", 0.5), ("b", "control", None)), "the propensity is missing for 1 of 2 people."),
        (split(2, 2, 1.5, 0.5), "some propensities lie outside (0, 1]."),
        (
            assigned(("a", "x", 0.5), ("b", "x", 0.4), ("d", "control", 0.5)),
            "the propensities differ between people of one arm.",
        ),
        (split(2, 2, 0.8, 0.4), "the propensities of the arms are inconsistent: they sum to 1.2, not to 1."),
    ],
)
def test_propensities_that_give_no_split_are_said_why(rows, why):
    assert logged_shares(rows) == (None, why)
    design = design_of(rows, config(), "spring")
    assert design.kind == "unknown"
    assert design.notes == (f"Nothing shows that the arms were drawn at random: {why}",)


def test_without_a_control_arm_a_campaign_is_targeted_even_where_it_is_declared_random():
    rows = assigned(("a", None, None), ("b", None, None))
    assert design_of(rows, config(), "spring").kind == "targeted"
    declared = design_of(rows, config(campaign={"randomized": ["spring"]}), "spring")
    assert declared.kind == "targeted"
    assert "no control arm is logged" in declared.notes[1]


def test_people_in_two_arms_and_without_arm_are_set_aside_and_counted():
    rows = assigned(("a", "letter", None), ("b", "control", None), ("d", None, None), ("e", "letter", None))
    rows.loc[3, "n_arms"] = 2
    design = design_of(rows, config(), "spring")
    assert design.set_aside == {"in_two_arms": 1, "without_arm": 1}
    assert design.rows[[c.USER, TREATED]].to_numpy().tolist() == [["a", True], ["b", False]]
    assert design.notes[:2] == (
        "Set aside because logged in more than one arm: 1.",
        "Set aside because logged without an arm: 1.",
    )


def test_control_arms_are_those_of_the_config_in_any_case():
    design = design_of(
        assigned(("a", "A", None), ("b", " Quiet ", None)), config(campaign={"controls": ["quiet"]}), "x"
    )
    assert design.rows[TREATED].tolist() == [True, False]
    assert design.treated_arms == ["a"]
