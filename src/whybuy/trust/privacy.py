"""Pseudonyms of user ids: a keyed hash, so that ids can be joined by who holds the key and guessed by nobody else.

HMAC-SHA256 rather than a plain hash: user ids are few and regular, and a plain hash of them is undone by hashing all of
them. The key comes from the environment and is stored nowhere. Half of the digest is kept: 128 bits make an accidental
collision among a billion users less likely than one in 10^20.
"""

import hmac
import os
from collections.abc import Iterable

from whybuy.errors import ConfigError

_BYTES = 16


def key_from_environment(variable: str) -> bytes:
    """Return the key of pseudonyms that the environment variable holds.

    Raises
    ------
    ConfigError
        The variable is not set or empty.
    """
    key = os.environ.get(variable, "")
    if not key:
        raise ConfigError.of(
            found=f"[privacy] pseudonymize = true, and the environment variable {variable} is not set",
            needed="A secret key is needed, the same in every run, else users change their names",
            do=f"Set it, as in: export {variable}=$(openssl rand -hex 32), or set pseudonymize = false",
        )
    return key.encode()


def pseudonyms(user_ids: Iterable[str], key: bytes) -> list[str]:
    """Return the pseudonym of every id: the first 32 hexadecimal digits of HMAC-SHA256(key, id)."""
    base = hmac.new(key, digestmod="sha256")
    return [_pseudonym(base, user_id) for user_id in user_ids]


def _pseudonym(base: "hmac.HMAC", user_id: str) -> str:
    signed = base.copy()  # the key's own hashing is done once
    signed.update(user_id.encode())
    return signed.digest()[:_BYTES].hex()
