"""Columns of a shard as small integers: pure functions, one per field of the sequences.

0 (of codes -1) says that the log does not tell; a value that is known is never 0. No function looks at another event
than its own, but for :func:`session_starts`, which looks back.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whybuy import columns as c

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

MAX_SLOT = 30
RELATIVE_EDGES = 2.0 ** np.array([-2.5, -1.5, -0.75, -0.25, 0.25, 0.75, 1.5, 2.5])
"""Inner edges of the bands of price / median: the middle one is within a fifth of the median, the outermost beyond
nearly six times it."""
_QUANTITY_EDGES = 2.0 ** np.arange(1, 7)


def codes_of(column: pa.ChunkedArray, values: pa.Array) -> Int32s:
    """Return the int32 index of every entry in ``values``, -1 where absent."""
    codes = pc.index_in(column.cast(pa.string()), value_set=values)
    found: Int32s = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return np.where(column.is_null().to_numpy(zero_copy_only=False), np.int32(-1), found)


def numbers_of(column: pa.ChunkedArray) -> Floats:
    """Return a column of numbers as float64, NaN where nothing is written."""
    return column.to_numpy(zero_copy_only=False).astype(float)


def price_bands(price: Floats, edges: Floats) -> Int8s:
    """Return the band of every price from 1, 0 without one."""
    return np.where(np.isfinite(price), np.searchsorted(edges, price) + 1, 0).astype(np.int8)


def relative_bands(price: Floats, median: Floats) -> Int8s:
    """Return the band (1 to 9) of log2(price / median), 0 where one of them is unknown; a price of 0 is in band 1."""
    known = np.isfinite(price) & np.isfinite(median)
    ratio = np.divide(price, median, out=np.ones_like(price), where=known)
    return np.where(known, np.searchsorted(RELATIVE_EDGES, ratio) + 1, 0).astype(np.int8)


def quantity_bands(quantity: Floats) -> Int8s:
    """Return 1 + floor(log2(quantity)), from 1 to 7 (2 and 3 units: 2, 64 and more: 7); 0 where it is unknown or 0."""
    known = np.isfinite(quantity) & (quantity > 0)
    return np.where(known, np.searchsorted(_QUANTITY_EDGES, quantity, side="right") + 1, 0).astype(np.int8)


def rating_levels(rating: Floats) -> Int8s:
    """Return ratings rounded to 1-5, halves up; 0 without one."""
    known = np.isfinite(rating)
    return np.where(known, np.clip(np.floor(np.where(known, rating, 0.0) + 0.5), 1, 5), 0).astype(np.int8)


def slot_levels(slot: Floats) -> Int8s:
    """Return 1 + slot, the slot capped at :data:`MAX_SLOT`; 0 without one."""
    known = np.isfinite(slot)
    return np.where(known, 1 + np.minimum(np.where(known, slot, 0.0), MAX_SLOT), 0).astype(np.int8)


def session_codes(session: pa.ChunkedArray) -> Int32s:
    """Return a code per distinct session id of the column, -1 without one; codes of two columns are not comparable."""
    if pa.types.is_null(session.type):
        return np.full(len(session), -1, np.int32)
    encoded = session.dictionary_encode().unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # without any chunk there is nothing to combine
        return np.empty(0, np.int32)
    return pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)


def session_starts(session: Int32s, offsets: Ints) -> Bools:
    """Return which events are the first of their user's session, by code; a user's first event always is one.

    A session that goes on after another one began (two devices at once) does not start a second time.
    """
    starts = np.zeros(len(session), bool)
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    named = np.flatnonzero(session >= 0)
    n_sessions = int(session.max(initial=-1)) + 1
    _, first = np.unique(user[named] * n_sessions + session[named], return_index=True)
    starts[named[first]] = True
    starts[offsets[:-1]] = True
    return starts


def spend_of(action: Int8s, price: Floats, quantity: Floats) -> npt.NDArray[np.float32]:
    """Return price x quantity of purchases with a known price, else 0; an unknown quantity is one unit."""
    amount = price * np.where(np.isfinite(quantity), quantity, 1.0)
    counted = (action == c.ACTIONS.index("purchase")) & np.isfinite(amount)
    return np.where(counted, amount, 0.0).astype(np.float32)


def exposure_names(table: pa.Table) -> pa.ChunkedArray:
    """Return "campaign/arm" of campaign events, null elsewhere; an event without an arm is "campaign/"."""
    arm = pc.fill_null(table[c.ARM].cast(pa.string()), "")
    name = pc.binary_join_element_wise(table[c.CAMPAIGN].cast(pa.string()), arm, "/")
    sent = pc.equal(table[c.ACTION].cast(pa.string()), "campaign")
    return pc.if_else(sent, name, pa.scalar(None, pa.string()))


def exposure_codes(table: pa.Table, exposures: list[str]) -> npt.NDArray[np.int16]:
    """Return the code of every event's exposure from 1, 0 for none and for rare ones."""
    return (codes_of(exposure_names(table), pa.array(exposures, pa.string())) + 1).astype(np.int16)


def run_starts(values: npt.NDArray[Any]) -> Bools:
    """Return which entries differ from the one before; the first does."""
    return np.concatenate([[True], values[1:] != values[:-1]]) if len(values) else np.empty(0, bool)
