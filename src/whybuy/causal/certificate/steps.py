"""The compiled steps of a walk, one user after another.

A step goes through one moment: memories fade, a donor that is due joins, every marker marks or does not and may send a
donor, and only then does the moment enter the memory. A replay is the same steps from a state that was kept.
"""

import numba
import numpy as np

from whybuy.causal.certificate.arrays import MOST_WAITING, N_CHANNELS, N_INGREDIENTS, NEVER, State, Walked

_DRAWS = 4
_MARK, _SEND, _WAIT, _WHICH = range(_DRAWS)
_ON, _OFF, _AS_DRAWN = 1, 0, -1


@numba.njit(cache=True)
def _uniform(key, ts, draw):  # type: ignore[no-untyped-def] # pragma: no cover
    """Return a number in [0, 1) that is a hash of its arguments (Steele, Lea and Flood's SplitMix64, OOPSLA 2014)."""
    x = key + np.uint64(ts) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(draw) * np.uint64(0xD1B54A32D192ED03)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return float((x ^ (x >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@numba.njit(cache=True)
def _fresh(rules):  # type: ignore[no-untyped-def] # pragma: no cover
    K = len(rules.intercept)
    return State(np.zeros((K, N_CHANNELS + 1)), np.zeros((MOST_WAITING, 3), np.int64), np.array([0, NEVER, 0]))


@numba.njit(cache=True)
def _become(state, other):  # type: ignore[no-untyped-def] # pragma: no cover
    state.memory[:] = other.memory
    state.waiting[:] = other.waiting
    state.clock[:] = other.clock


@numba.njit(cache=True)
def _fade(state, rules, ts):  # type: ignore[no-untyped-def] # pragma: no cover
    gap = ts - state.clock[0]
    if gap > 0:
        for k in range(state.memory.shape[0]):
            for j in range(N_CHANNELS + 1):
                if state.memory[k, j] != 0.0:
                    state.memory[k, j] *= np.exp(-gap * rules.rate[k, j])
    state.clock[0] = ts


@numba.njit(cache=True)
def _ingredient(state, rules, k, j):  # type: ignore[no-untyped-def] # pragma: no cover
    """Return ingredient j of marker k.

    One saturates, one is an interaction of two that do, one rises and falls again, one is how long ago the last outcome
    was: 0 for just now, 1 for never.
    """
    s = state.memory[k]
    if j == 0:
        return s[0] / (1.0 + s[0])
    if j == 1:
        return s[1] / (1.0 + s[1]) * s[2] / (1.0 + s[2])
    if j == 2:
        return s[3] * np.exp(1.0 - s[3])
    if state.clock[1] == NEVER:
        return 1.0
    rested = (state.clock[0] - state.clock[1]) * rules.rest[k]
    return rested / (1.0 + rested)


@numba.njit(cache=True)
def _chance(state, rules, k):  # type: ignore[no-untyped-def] # pragma: no cover
    own = state.memory[k, N_CHANNELS]
    total = rules.intercept[k] + rules.weight[k, N_INGREDIENTS] * own / (1.0 + own)
    for j in range(N_INGREDIENTS):
        total += rules.weight[k, j] * _ingredient(state, rules, k, j)
    return 1.0 / (1.0 + np.exp(-total))


@numba.njit(cache=True)
def _join(state, ts):  # type: ignore[no-untyped-def] # pragma: no cover
    """Return the donor that joins a decision at ``ts``, -1 for none; those whose deadline is over leave."""
    kept, found = 0, -1
    for w in range(state.clock[2]):
        due, deadline, which = state.waiting[w]
        if deadline < ts:
            continue
        if found < 0 and due <= ts:
            found = which
            continue
        state.waiting[kept] = state.waiting[w]
        kept += 1
    state.clock[2] = kept
    return found


@numba.njit(cache=True)
def _send(state, rules, k, key):  # type: ignore[no-untyped-def] # pragma: no cover
    """Send a donor after a mark of marker k, with a chance that is higher the longer no outcome was."""
    ts, draw = state.clock[0], _DRAWS * k
    if rules.gift[k] == 0.0 or state.clock[2] == MOST_WAITING:
        return
    if _uniform(key, ts, draw + _SEND) < rules.gift[k] * (0.4 + 0.6 * _ingredient(state, rules, k, 3)):
        wait = -rules.wait_ms * np.log(1.0 - _uniform(key, ts, draw + _WAIT))
        which = int(_uniform(key, ts, draw + _WHICH) * len(rules.pool_bought))
        w = state.clock[2]
        state.waiting[w, 0] = ts + 1 + int(wait)
        state.waiting[w, 1] = ts + rules.horizon_ms
        state.waiting[w, 2] = which
        state.clock[2] = w + 1


@numba.njit(cache=True)
def _step(past, rules, state, at, forced, seen):  # type: ignore[no-untyped-def] # pragma: no cover
    """Go through moment ``at`` = (moment, key); ``forced`` = (marker, on or off); ``seen`` gets what happens there."""
    i, key = at
    ts = past.ts_ms[i]
    _fade(state, rules, ts)
    seen.bought[0] = past.bought[i]
    seen.donor[0] = -1
    seen.mark[0] = 0
    seen.chance[0] = 0.0
    if past.decided[i]:
        # Who joins was decided before; marks depend on the memory, which this moment has not entered yet.
        seen.donor[0] = _join(state, ts)
        for k in range(len(rules.intercept)):
            chance = _chance(state, rules, k)
            is_marked = _uniform(key, ts, _DRAWS * k + _MARK) < chance
            if forced[0] == k:
                is_marked = forced[1] == _ON
            seen.chance[0, k] = chance
            seen.mark[0, k] = is_marked
            if is_marked:
                _send(state, rules, k, key)
    _remember(past, rules, state, i, seen)


@numba.njit(cache=True)
def _remember(past, rules, state, i, seen):  # type: ignore[no-untyped-def] # pragma: no cover
    donor = seen.donor[0]
    if donor >= 0:
        for a in range(seen.bought.shape[1]):
            seen.bought[0, a] |= rules.pool_bought[donor, a]
    for k in range(len(rules.intercept)):
        for j in range(N_CHANNELS):
            column = rules.channel[k, j]
            state.memory[k, j] += past.counts[i, column]
            if donor >= 0:
                state.memory[k, j] += rules.pool_counts[donor, column]
        state.memory[k, N_CHANNELS] += seen.mark[0, k]
    if seen.bought[0].any():
        state.clock[1] = state.clock[0]


@numba.njit(cache=True)
def _one(past, rules):  # type: ignore[no-untyped-def] # pragma: no cover
    """Return room for what happens at one moment."""
    K, A = len(rules.intercept), past.bought.shape[1]
    return Walked(np.zeros((1, K), np.uint8), np.zeros((1, K)), np.zeros(1, np.int64), np.zeros((1, A), np.uint8))


@numba.njit(cache=True)
def walk_users(past, rules, keys, out):  # type: ignore[no-untyped-def] # pragma: no cover
    """Put what happens at every moment into ``out``, see :func:`~whybuy.causal.certificate.walk.walk`."""
    seen, nobody = _one(past, rules), (-1, _AS_DRAWN)
    for u in range(len(keys)):
        state = _fresh(rules)
        for i in range(past.offsets[u], past.offsets[u + 1]):
            _step(past, rules, state, (i, keys[u]), nobody, seen)
            out.mark[i] = seen.mark[0]
            out.chance[i] = seen.chance[0]
            out.donor[i] = seen.donor[0]
            out.bought[i] = seen.bought[0]


@numba.njit(cache=True)
def ingredients_users(past, rules, keys, found):  # type: ignore[no-untyped-def] # pragma: no cover
    """Put into ``found`` what chances are made of, see :func:`~whybuy.causal.certificate.walk.ingredients`."""
    seen, nobody = _one(past, rules), (-1, _AS_DRAWN)
    for u in range(len(keys)):
        state = _fresh(rules)
        for i in range(past.offsets[u], past.offsets[u + 1]):
            _fade(state, rules, past.ts_ms[i])
            for k in range(len(rules.intercept)):
                for j in range(N_INGREDIENTS):
                    found[i, k, j] = _ingredient(state, rules, k, j)
            _step(past, rules, state, (i, keys[u]), nobody, seen)


@numba.njit(cache=True)
def _replay(past, rules, state, at, forced, room):  # type: ignore[no-untyped-def] # pragma: no cover
    """Put into ``room`` = (seen, followed, end) which outcomes follow moment ``at``; ``state`` is used up."""
    i, key = at
    seen, followed, end = room
    nobody = (-1, _AS_DRAWN)
    followed[:] = 0
    _step(past, rules, state, at, forced, seen)
    for later in range(i + 1, end):
        if past.ts_ms[later] > past.ts_ms[i] + rules.horizon_ms:
            break
        _step(past, rules, state, (later, key), nobody, seen)
        for a in range(len(followed)):
            followed[a] |= seen.bought[0, a]


@numba.njit(cache=True)
def gains_users(past, rules, keys, asked, sums):  # type: ignore[no-untyped-def] # pragma: no cover
    """Add gains and weights to ``sums``, see :func:`~whybuy.causal.certificate.walk.gains`; ``keys`` of both walks."""
    K, A = len(rules.intercept), past.bought.shape[1]
    seen, there, nobody = _one(past, rules), _one(past, rules), (-1, _AS_DRAWN)
    state, before, other = _fresh(rules), _fresh(rules), _fresh(rules)
    drawn, changed, marked = np.zeros(A, np.uint8), np.zeros(A, np.uint8), np.zeros(K, np.uint8)
    for u in range(len(past.key)):
        _become(state, _fresh(rules))
        for i in range(past.offsets[u], past.offsets[u + 1]):
            _become(before, state)
            _step(past, rules, state, (i, keys[0][u]), nobody, seen)
            if not asked[i]:
                continue
            at, end = (i, keys[1][u]), past.offsets[u + 1]
            for k in range(K):
                marked[k] = _uniform(keys[1][u], past.ts_ms[i], _DRAWS * k + _MARK) < seen.chance[0, k]
            # One replay as drawn serves all markers: it is one of the two arms of each of them.
            _become(other, before)
            _replay(past, rules, other, at, nobody, (there, drawn, end))
            for k in range(K):
                _become(other, before)
                _replay(past, rules, other, at, (k, _OFF if marked[k] else _ON), (there, changed, end))
                weight = seen.chance[0, k] * (1.0 - seen.chance[0, k])
                sign = 1.0 if marked[k] else -1.0
                for a in range(A):
                    if not seen.bought[0, a]:
                        sums[0][u, k, a] += weight * sign * (float(drawn[a]) - float(changed[a]))
                        sums[1][u, k, a] += weight
