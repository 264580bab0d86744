"""The generator gives the published words, and numbers that are exponential and independent of what is beside them."""

import numpy as np
from scipy import stats

from whybuy.recommend.policy.inputs import hash_ids
from whybuy.recommend.policy.noise import exponentials, philox, user_keys


def test_the_known_answers_of_philox():
    """Of the Random123 distribution, philox4x32 with 10 rounds."""
    ones = 0xFFFFFFFF
    asked = {
        (0,) * 6: (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        (ones,) * 6: (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0): (
            0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1,
        ),
    }  # fmt: skip
    for words, answer in asked.items():
        assert tuple(int(w) for w in philox(*(np.uint64(w) for w in words))) == answer


def test_numbers_are_exponential_and_those_of_neighbors_are_not_alike():
    keys = user_keys(hash_ids(np.arange(300)), seed=1, round_number=0, slot=0, draw=0)
    drawn = exponentials(keys, np.tile(hash_ids(np.arange(200)), (300, 1)))
    assert stats.kstest(drawn.ravel(), "expon").pvalue > 0.001
    across = [
        np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel()),
        np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel()),
    ]
    assert max(abs(c[0, 1]) for c in across) < 5 / np.sqrt(drawn.size)


def test_ids_hash_alike_alone_and_together_and_text_is_not_a_number():
    assert hash_ids(["a", "b"])[1] == hash_ids(["b"])[0]
    assert hash_ids(np.array(["b"]))[0] == hash_ids(np.array(["b"], object))[0]
    assert hash_ids(["1"])[0] != hash_ids([1])[0]
