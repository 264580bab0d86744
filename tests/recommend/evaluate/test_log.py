"""Arrays that are no log of a policy, each with one message."""

import numpy as np
import pytest

from whybuy.errors import ArraysError
from whybuy.recommend.evaluate import LoggedFeedback, Target

GOOD = {"action": [0, 1, 1], "reward": [0.0, 1.0, 0.0], "propensity": [0.5, 0.5, 0.25]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propensity": [0.5, 0.0, 0.5]}, r"1 of 3 rows have a propensity such as 0\. Needed: a probability above 0"),
        ({"propensity": [0.5, 1.5, 2.0]}, r"2 of 3 rows have a propensity such as 1\.5"),
        ({"propensity": [0.5, np.nan, 0.5]}, r"1 of 3 rows have no propensity\. Needed: the probability with which"),
        ({"propensity": [0.5, None, None]}, r"2 of 3 rows have no propensity"),
        ({"reward": [0.0, np.nan, 1.0]}, r"NaN or infinite values in reward"),
        ({"reward": ["0", "1", "0"]}, r"reward holds what is no number"),
        ({"reward": [0.0, 1.0]}, r"Rows: action has 3, reward has 2, propensity has 3"),
        ({"action": [], "reward": [], "propensity": []}, r"Rows: action has 0"),
        ({"action": [0, 1, -1]}, r"action has the value -1\. Needed: whole numbers from 0\. Number the actions"),
        ({"action": [0, 1, 0.5]}, r"action has the value 0\.5"),
        ({"users": ["u", "v"]}, r"Rows: action has 3, users has 2"),
        ({"users": ["u", None, "v"]}, r"1 of 3 rows have no user"),
        ({"slates": [1, 1, 1], "slots": [1, 2, None]}, r"1 of 3 rows have no slot"),
        ({"slates": [1, 1, 1], "slots": [1, 2, 2]}, r"1 rows repeat the slot of a slate.*Drop the duplicate"),
        ({"slates": [1, 1, 2], "users": ["u", "v", "v"]}, r"1 slates were shown to more than one user"),
        (
            {"predicted": [[0.1, 0.2]] * 2},
            r"predicted has the shape \(2, 2\)\. Needed: a value for every action in every row: \(3, 2 or more\)",
        ),
        ({"predicted": [[0.1]] * 3}, r"predicted has the shape \(3, 1\)"),
        ({"predicted": [[0.1, np.inf]] * 3}, r"NaN or infinite values in predicted"),
        ({"predicted": np.full((3, 2, 3), 0.1)}, r"predicted is for 3 slots, the log has none"),
    ],
)
def test_a_defect_of_the_log_has_one_message(change, message):
    with pytest.raises(ArraysError, match=message):
        LoggedFeedback.of(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ([[0.5, 0.4]] * 3, r"new sums to 0\.9 over the actions of row 0\. Needed: probabilities that sum to 1"),
        ([[1.5, -0.5]] * 3, r"new has probabilities from -0\.5 to 1\.5"),
        ([0.5, 0.5, 1.2], r"new has probabilities from 0\.5 to 1\.2"),
        ([0.5, 0.5], r"new has 2 probabilities, the log 3 rows"),
        ([0.5, np.nan, 0.5], r"NaN or infinite values in new"),
        (0.5, r"new has the shape \(\)"),
    ],
)
def test_a_defect_of_a_policy_has_one_message(policy, message):
    with pytest.raises(ArraysError, match=message):
        Target.of(LoggedFeedback.of(**GOOD), policy, name="new")


def test_what_is_given_stays_as_it_is():
    given = {name: np.array(values) for name, values in GOOD.items()}
    kept = {name: values.copy() for name, values in given.items()}
    log = LoggedFeedback.of(**given, slates=np.array([2, 2, 1]), slots=np.array([2, 1, 1]), predicted=np.ones((3, 2)))
    assert all((given[name] == kept[name]).all() for name in given)
    assert log.slate is not None
    assert log.slot is not None
    assert (log.slate.tolist(), log.slot.tolist(), log.user.tolist()) == ([1, 1, 0], [1, 0, 0], [1, 1, 0])
