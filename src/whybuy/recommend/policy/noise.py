"""Random numbers that belong to a user, a round and an item, whatever else is drawn.

A counter-based generator is a function of its key and its counter: nothing is remembered between draws, so a user's
slate is the same alone, in any batch, in any order of candidates and on any machine. Philox with four words of 32 bits
and ten rounds (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011) is used in two steps: seed, round,
user, slot and draw give a key; key and item give the number.
"""

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLY_0, _MULTIPLY_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_ROUNDS = 10


def user_keys(user_hash: Words, *, seed: int, round_number: int, slot: int, draw: int) -> Words:
    """Return the (n_users,) keys of the users' items.

    Parameters
    ----------
    user_hash : (n_users,) 64 bits
    seed, round_number, slot, draw : 32 bits each
    """
    return _keys(user_hash, np.uint64(seed), np.uint64(round_number), np.uint64(slot), np.uint64(draw))


def exponentials(keys: Words, item_hash: Words) -> Floats:
    """Return (n_users, n_candidates) standard exponential numbers, one per user and item.

    Parameters
    ----------
    keys : (n_users,) of :func:`user_keys`
    item_hash : (n_users, n_candidates) 64 bits
    """
    return _exponentials(keys, item_hash)


@numba.njit(cache=True)
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def] # pragma: no cover
    """Return four words of 32 bits (each in 64) for a counter of four words and a key of two."""
    for _ in range(_ROUNDS):
        p0, p1 = _MULTIPLY_0 * c0, _MULTIPLY_1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@numba.njit(cache=True)
def _keys(user_hash, seed, round_number, slot, draw):  # type: ignore[no-untyped-def] # pragma: no cover
    keys = np.empty(len(user_hash), np.uint64)
    for u in range(len(user_hash)):
        a, b, _, _ = philox(user_hash[u] & _LOW, user_hash[u] >> _HALF, slot, draw, seed, round_number)
        keys[u] = (a << _HALF) | b
    return keys


@numba.njit(cache=True)
def _exponentials(keys, item_hash):  # type: ignore[no-untyped-def] # pragma: no cover
    out = np.empty(item_hash.shape)
    zero = np.uint64(0)
    for u in range(item_hash.shape[0]):
        for i in range(item_hash.shape[1]):
            item = item_hash[u, i]
            a, b, _, _ = philox(item & _LOW, item >> _HALF, zero, zero, keys[u] & _LOW, keys[u] >> _HALF)
            # 53 bits in the middle of their cell: never 0 or 1
            out[u, i] = -np.log((float(((a << _HALF) | b) >> np.uint64(11)) + 0.5) * 2.0**-53)
    return out
