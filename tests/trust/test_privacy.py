import hashlib
import hmac

import pytest

from whybuy.errors import ConfigError
from whybuy.trust.privacy import key_from_environment, pseudonyms


def test_a_pseudonym_is_half_of_the_keyed_hash():
    whole = hmac.new(b"key", "Zoë 😀".encode(), hashlib.sha256).hexdigest()
    assert pseudonyms(["Zoë 😀", ""], b"key")[0] == whole[:32]


def test_equal_ids_have_equal_pseudonyms_and_others_other_ones():
    first, second, again = pseudonyms(["u1", "u2", "u1"], b"key")
    assert first == again != second
    assert pseudonyms(["u1"], b"other key") != [first]


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_key_is_refused(monkeypatch, value):
    monkeypatch.delenv("SHOP_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("SHOP_KEY", value)
    with pytest.raises(ConfigError, match=r"SHOP_KEY is not set\. A secret key is needed.* export SHOP_KEY="):
        key_from_environment("SHOP_KEY")


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("SHOP_KEY", "s3cret")
    assert key_from_environment("SHOP_KEY") == b"s3cret"
