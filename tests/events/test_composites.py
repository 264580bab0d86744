"""Composites: how they are written, and which decisions could complete one, by hand and against a plain loop."""

import numpy as np
import pytest

from tests.events.sequences_by_hand import DAY, HOUR, random_sequences, sequences, vocabulary
from whybuy.errors import BehaviorError
from whybuy.events.behaviors import Behavior, parse_behavior
from whybuy.events.composites import Composite, parse_treatment
from whybuy.events.moments import Moments, in_moment, prefix_counts
from whybuy.events.sequences import Sequences, matches


def completable(text: str, s: Sequences) -> list[bool]:
    composite = parse_treatment(text)
    moments = Moments.of(s, reach_ms=0)
    hits = np.stack([matches(part, s, vocabulary()) for part in composite.earlier], axis=1).astype(np.uint8)
    return composite.completable(in_moment(prefix_counts(hits), moments) > 0, moments).tolist()


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("2*view:shoes@1d", "view:shoes+view:shoes@1d"),
        (" 3 * view:* @ 36h ", "view:*+view:*+view:*@36h"),
        ("Search:shoes + view:shoes/boots@24h", "search:shoes+view:shoes/boots@1d"),
        ("search:query=a+b+view:c@1d", "search:query=a%2Bb+view:c@1d"),
        ("view:item=a%401d+cart:item=a%401d@30m", "view:item=a%401d+cart:item=a%401d@30m"),
    ],
)
def test_the_canonical_form_reads_as_itself(text, canonical):
    composite = parse_treatment(text)
    assert isinstance(composite, Composite)
    assert str(composite) == canonical
    assert parse_treatment(canonical) == composite


@pytest.mark.parametrize("text", ["view:shoes", "view:item=a@b", "search:query=red+boots", "view:a*b"])
def test_a_behavior_alone_is_one(text):
    assert parse_treatment(text) == parse_behavior(text)
    assert isinstance(parse_treatment(text), Behavior)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2*view:shoes", "has several parts and no time"),
        ("search:shoes+view:shoes", "has several parts and no time"),
        ("view:shoes@1d", "has 1 part within a time"),
        ("1*view:shoes@1d", "asks for 1 times"),
        ("10*view:shoes@1d", "asks for 10 times"),
        ("2*view:shoes@0d", "has a time of no length"),
        ("search:shoes>view:shoes@1d", "has 1 part within a time"),
        ("2*veiw:shoes@1d", "Did you mean 'view'"),
        ("search:shoes+vew:shoes@1d", "Did you mean 'view'"),
        ("search:shoes+view:shoes@1dd", "the time '1dd', which is no duration"),
    ],
)
def test_one_clear_error(text, said):
    with pytest.raises(BehaviorError, match=said.replace("(", r"\(")):
        parse_treatment(text)


def test_twice_within_a_day_by_hand():
    # user a views shoes at hours 0 and 20, carts at 30 and at 44; user b has looked at nothing yet.
    a = [(0, "view", 0), (20 * HOUR, "view", 0), (30 * HOUR, "cart", 0), (44 * HOUR, "cart", 0), (45 * HOUR, "cart", 0)]
    s = sequences({"a": a, "b": [(46 * HOUR, "view", 0), (46 * HOUR, "view", 0)]})
    assert completable("2*view:shoes@1d", s) == [False, True, True, True, False, False]
    assert completable("3*view:shoes@1d", s) == [False, False, False, False, False, False]
    assert completable("3*view:shoes@30h", s) == [False, False, True, False, False, False]


def test_equals_a_plain_loop():
    s = random_sequences(np.random.default_rng(1))
    text = "view:shoes+cart:*+view:*@9d"
    parts = parse_treatment(text).earlier
    hit = [matches(part, s, vocabulary()) for part in parts]
    expected = []
    for u in range(s.n_users):
        events = range(int(s.offsets[u]), int(s.offsets[u + 1]))
        for now in sorted({int(s.ts_ms[i]) for i in events}):
            pairs = (
                s.ts_ms[i] >= now - 9 * DAY and s.ts_ms[i] < s.ts_ms[j] < now
                for i in events
                for j in events
                if hit[0][i] and hit[1][j]
            )
            expected.append(any(pairs))
    assert completable(text, s) == expected
    assert 0 < sum(expected) < len(expected)
