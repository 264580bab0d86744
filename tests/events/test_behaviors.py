"""The grammar: read, written canonically, and what is inside what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybuy.errors import BehaviorError
from whybuy.events.behaviors import Behavior, contains, is_funnel, parse_behavior


@pytest.mark.parametrize(
    ("text", "behavior"),
    [
        ("view:*", Behavior("view")),
        ("view:shoes/boots", Behavior("view", "category", "shoes/boots")),
        ("purchase:item=123", Behavior("purchase", "item", "123")),
        ("search:query=  Red Boots ", Behavior("search", "query", "red boots")),
        ("cart:brand=acme", Behavior("cart", "brand", "acme")),
        ("campaign:spring", Behavior("campaign", "campaign", "spring")),
        ("campaign:spring/treated", Behavior("campaign", "campaign", "spring", "treated")),
        ("impression:item=0099", Behavior("impression", "item", "0099")),
        ("VIEW:a%3Db", Behavior("view", "category", "a=b")),
    ],
)
def test_reads_every_form(text, behavior):
    assert parse_behavior(text) == behavior


@pytest.mark.parametrize("text", ["view:*", "view:a%20b/c", "purchase:item=%CE%B1%2F1", "campaign:s%2Fp/x"])
def test_the_canonical_form_is_kept(text):
    assert str(parse_behavior(text)) == text


@given(
    st.sampled_from(["item", "brand", "category"]),
    st.text(min_size=1).filter(lambda s: s.strip("/").strip() and s == s.strip("/") and s != "*"),
)
def test_every_name_survives_writing_and_reading(kind, name):
    behavior = Behavior("view", kind, name)
    assert parse_behavior(str(behavior)) == behavior


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("veiw:shoes", "Did you mean 'view'"),
        ("view", "names no target"),
        ("view:", "names no target"),
        ("view:color=red", "has the key 'color'"),
        ("view:item=", "has the key 'item'"),
    ],
)
def test_says_what_is_wrong(text, message):
    with pytest.raises(BehaviorError, match=message):
        parse_behavior(text)


def test_containment_and_funnel():
    view, boots = parse_behavior("view:shoes"), parse_behavior("purchase:shoes/boots")
    assert contains(parse_behavior("purchase:*"), boots)
    assert contains(parse_behavior("purchase:shoes"), boots)
    assert not contains(boots, parse_behavior("purchase:shoes"))
    assert is_funnel(view, boots)
    assert is_funnel(parse_behavior("view:*"), parse_behavior("purchase:*"))
    assert not is_funnel(parse_behavior("view:bags"), boots)
    assert not is_funnel(boots, view)
    assert not is_funnel(parse_behavior("remove:shoes"), boots)
