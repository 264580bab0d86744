"""A certificate holds where the adjustment is right, does not where it is not, and says what it cannot tell."""

from dataclasses import replace

import numpy as np
import pytest

from tests.causal.certificate.small import past, rules
from whybuy.causal.certificate.arrays import Past, Walked
from whybuy.causal.certificate.result import Certificate, KindResult, MarkedPair, effective_pairs, wilson
from whybuy.causal.certificate.walk import gains, walk
from whybuy.causal.checks import PairData
from whybuy.causal.confirm import clustered_ato
from whybuy.causal.effects import Estimate, Naive

PAIR = MarkedPair(
    copy=1, marker="click:mark1", outcome="purchase:*", kind="null", like="view:*", frequency=0.1, explained=0.05,
    n_treated=900, naive=0.04, estimate=0.001, std_error=0.002, ci_low=-0.003, ci_high=0.005, truth=0.0,
    truth_error=0.0, verdict="none",
)  # fmt: skip
MISSED = replace(PAIR, estimate=0.01, ci_low=0.006, ci_high=0.014, verdict="strong")


def test_wilson_by_hand():
    # 9 of 10: (.9 + 3.8415 / 20) / (1 + .38415) = .7892, half 1.96 sqrt(.009 + 3.8415 / 400) / 1.38415 = .1932
    assert wilson(0.9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert wilson(0.0, 0) == (0.0, 1.0)
    assert wilson(1.0, 20)[1] == 1.0


def test_pairs_that_hit_and_miss_together_count_as_one():
    alone = [k % 10 != 0 for k in range(100)]
    assert effective_pairs(alone, range(100)) == 100
    # Ten markers of ten pairs, of which one misses altogether: no more is known than of ten pairs.
    assert effective_pairs([k >= 10 for k in range(100)], [k // 10 for k in range(100)]) == 10
    assert effective_pairs([True] * 30, [1] * 30) == 30
    assert effective_pairs([True, False], ["a", "a"]) == 1


def several(pairs: list[MarkedPair]) -> list[MarkedPair]:
    return [replace(pair, marker=f"click:mark{k}") for k, pair in enumerate(pairs)]


def test_a_kind_is_summed_up():
    refused = replace(PAIR, estimate=None, std_error=None, ci_low=None, ci_high=None, verdict="cannot_tell")
    found = KindResult.of("null", [PAIR, MISSED, refused, replace(PAIR, kind="non-null")])
    assert (found.n_pairs, found.n_refused, found.n_strong) == (2, 1, 1)
    assert found.bias == pytest.approx(0.0055)
    assert found.rms_z == pytest.approx(np.sqrt((0.5**2 + 5**2) / 2))
    assert found.coverage == 0.5
    assert found.naive_rmse == pytest.approx(0.04)
    nothing = KindResult.of("non-null", [refused])
    assert (nothing.n_pairs, nothing.bias, nothing.finding) == (0, None, "cannot tell")


@pytest.mark.parametrize(
    ("pairs", "finding"),
    [
        ([PAIR] * 95 + [MISSED] * 5, "holds"),
        ([PAIR] * 80 + [MISSED] * 20, "does not hold"),
        ([PAIR] * 12, "cannot tell"),
        ([PAIR] * 85 + [replace(PAIR, verdict="strong")] * 15, "does not hold"),
    ],
)
def test_what_null_pairs_say(pairs, finding):
    assert KindResult.of("null", several(pairs)).finding == finding


def test_the_worst_kind_decides():
    other = [replace(p, kind="non-null") for p in [PAIR] * 100]
    assert Certificate(horizon="7d", pairs=(*[PAIR] * 100, *other)).finding == "holds"
    assert Certificate(horizon="7d", pairs=(PAIR,) * 100).finding == "cannot tell"
    assert Certificate(horizon="7d", pairs=(*[MISSED] * 100, *other)).finding == "does not hold"


def test_words_frame_and_json(conforms):
    refused = replace(PAIR, naive=None, estimate=None, std_error=None, ci_low=None, ci_high=None)
    found = Certificate(horizon="7d", pairs=(PAIR, MISSED, refused), notes=("3 pairs instead of 200.",))
    conforms({**found.to_json(), "report": "report.html"}, "certify")
    assert Certificate.from_json(found.to_json()) == found
    assert "hidden confounding is not tested" in found.summary().casefold()
    assert "null pairs: 2 (1 more refused); 95% intervals hold the truth in 50.0%" in found.summary()
    assert len(found.to_frame()) == 3
    assert len(found.kinds_frame()) == 2
    assert [trace.name for trace in found.plot().data] == [
        "co-occurrence", "adjusted, 95% interval", "interval misses the truth",
    ]  # fmt: skip
    assert list(found.plot().data[2].x) == [1.0]


def estimated(log: Past, walked: Walked, k: int, a: int, *, broken: bool) -> tuple[Estimate, Naive]:
    """Return the ATO with the true propensities, or with constant ones: an adjustment that adjusts for nothing."""
    horizon = rules((0.0,)).horizon_ms
    n, each = len(log.ts_ms), log.offsets[1]
    bought, ts = walked.bought[:, a].reshape(-1, each), log.ts_ms.reshape(-1, each)
    later = (ts[:, None, :] > ts[:, :, None]) & (ts[:, None, :] <= ts[:, :, None] + horizon)
    Y = (later & (bought[:, None, :] > 0)).any(axis=2).ravel()
    keep = log.decided & (walked.bought[:, a] == 0)
    T, Y = walked.mark[keep, k].astype(float), Y[keep].astype(float)
    e = np.full(len(T), T.mean()) if broken else walked.chance[keep, k]
    user = np.unique(np.repeat(np.arange(n // each), each)[keep], return_inverse=True)[1]
    value, error, _ = clustered_ato(PairData(T, Y, e, np.full(len(Y), Y.mean()), user))
    counts = {"treated": T.sum(), "outcome": Y.sum(), "joint": (T * Y).sum()}
    return Estimate.of("ato", value, error), Naive.of_counts(n=len(T), **{c: int(v) for c, v in counts.items()})


def certificate(*, broken: bool) -> Certificate:
    pairs = []
    for copy in range(16):
        log, markers = past(100 + copy, n_users=150, each=30), rules((0.5, 0.5, 0.0, 0.0, 0.0), seed=copy)
        walked = walk(log, markers, seed=copy)
        gain, weight = gains(log, markers.first(2), seed=copy, afresh=50 + copy, asked=log.decided)
        truth = np.zeros((5, 2))
        truth[:2] = gain.sum(0) / weight.sum(0)
        for k, a in np.ndindex(truth.shape):
            e, naive = estimated(log, walked, k, a, broken=broken)
            numbers = {name: getattr(e, name) for name in ("estimate", "std_error", "ci_low", "ci_high")}
            verdict = "strong" if e.p_value < 0.01 else "cannot_tell"
            kind = "non-null" if k < 2 else "null"
            pair = replace(PAIR, copy=copy, marker=f"mark {k}", outcome=str(a), kind=kind, verdict=verdict, **numbers)
            pairs.append(replace(pair, naive=naive.difference, truth=float(truth[k, a])))
    return Certificate(horizon="5d", pairs=tuple(pairs))


def test_true_propensities_are_certified_and_constant_ones_are_not():
    good, bad = certificate(broken=False), certificate(broken=True)
    assert good.finding == "holds"
    assert max(p.truth for p in good.pairs) > 0.03
    assert bad.finding == "does not hold"
    assert [kind.finding for kind in bad.kinds] == ["does not hold", "does not hold"]
    # Without adjustment the effect is the naive difference, the wrong one.
    assert bad.kinds[0].rmse == pytest.approx(bad.kinds[0].naive_rmse, rel=1e-6)
    assert good.kinds[0].rmse < 0.5 * good.kinds[0].naive_rmse
