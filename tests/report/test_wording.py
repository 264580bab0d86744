import pytest

from whybuy.report import wording
from whybuy.report.payload import Interval


@pytest.mark.parametrize(
    ("estimate", "low", "high", "text"),
    [
        (0.021, 0.014, 0.028, "+2.1 pp [1.4, 2.8]"),
        (-0.0213, -0.0271, -0.0154, "−2.1 pp [−2.7, −1.5]"),
        (0.0004, -0.0003, 0.0011, "+0.04 pp [−0.03, 0.11]"),  # a narrow interval carries a second decimal
        (0.0, -0.01, 0.01, "0.0 pp [−1.0, 1.0]"),
        (0.2, -0.3, 0.7, "+20.0 pp [−30.0, 70.0]"),
        (0.021, None, None, "+2.1 pp"),
        (None, None, None, "–"),
    ],
)
def test_points_with_interval(estimate, low, high, text):
    assert wording.points_interval(Interval(estimate=estimate, low=low, high=high)) == text


def test_a_missing_number_is_a_dash_and_never_a_zero():
    assert [f(None) for f in (wording.points, wording.percent, wording.count, wording.plain)] == ["–"] * 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (1203.4, "1,203"), (0.0784, "0.0784"), (1e-9, "1e−09"), (812, "812"), (0.0, "0"), ("c", "c")],
)
def test_values_of_checks(value, text):
    assert wording.plain(value) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (92 * 86_400_000, "92 days"),
        (86_400_000, "1 day"),
        (19_800_000, "5.5 hours"),
        (1000, "1 second"),
        (7, "7 milliseconds"),
    ],
)
def test_spans(ms, text):
    assert wording.span(ms) == text


@pytest.mark.parametrize(
    ("horizon", "text"), [("7d", "7 days"), ("1h", "1 hour"), ("30m", "30 minutes"), ("soon", "soon")]
)
def test_windows(horizon, text):
    assert wording.window(horizon) == text


def test_behaviors_are_read_without_percent_encoding():
    assert wording.behavior("view:%E5%A5%B3%E8%A3%85/a%20b") == "view:女装/a b"


def test_long_names_lose_their_middle():
    assert wording.shortened("abcdefghij", 7) == "abc…hij"
    assert wording.shortened("abc", 7) == "abc"
