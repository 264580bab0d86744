"""Rankings against what people went on to buy: the lists that answers give, nothing after the cut, no luck for best."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.recommend.shops import CONFIG, DAY, events_of, write_effects, write_log
from whybuy import columns as c
from whybuy.config import Config
from whybuy.errors import QuestionError
from whybuy.recommend.backtest import HeldOut, heldout, hold_out, why_no_policies
from whybuy.recommend.backtest.foretold import Cut, RankingDifference, Scores
from whybuy.recommend.batch import build, recommend_all
from whybuy.recommend.metrics import Average

ITEMS = {item: "shoes" if item < "g" else "hats/caps" for item in "abcdefghijkl"}
K = 3
SETTINGS = CONFIG.model_copy(update={"recommend": CONFIG.recommend.model_copy(update={"k": K})})


def browsing(n_users: int = 80, seed: int = 1) -> pd.DataFrame:
    """Twenty days: people look at items, rarer ones farther down the alphabet, and buy a third of what they look at."""
    rng = np.random.default_rng(seed)
    weights = 0.8 ** np.arange(len(ITEMS))
    rows = []
    for user in range(n_users):
        for hour in np.sort(rng.uniform(0, 20 * 24, 14)):
            item = rng.choice(list(ITEMS), p=weights / weights.sum())
            rows.append((f"u{user:02d}", hour, "view", item))
            if rng.random() < 1 / 3:
                rows.append((f"u{user:02d}", hour + rng.uniform(0.1, 5), "purchase", item))
    return events_of(rows)


EVENTS = browsing()


def judged(folder: Path, events: pd.DataFrame, config: Config = SETTINGS, **options) -> HeldOut:
    log = write_log(folder / "log", events, ITEMS, **options)
    return hold_out(log, config, lack=why_no_policies(log))


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> HeldOut:
    return judged(tmp_path_factory.mktemp("shop"), EVENTS, shards=3)


@pytest.fixture(scope="module")
def cut_ms() -> int:
    """The last fifth of the purchases comes after it; that is less than seven days."""
    bought = EVENTS.loc[EVENTS[c.ACTION] == "purchase", c.TIME_MS]
    return int(np.quantile(bought, 0.8, method="inverted_cdf"))


def taken_after(cut_ms: int, events: pd.DataFrame = EVENTS) -> pd.DataFrame:
    later = events[(events[c.ACTION] == "purchase") & (events[c.TIME_MS] >= cut_ms)]
    known = events.loc[events[c.TIME_MS] < cut_ms, c.USER]
    return later[later[c.USER].isin(known)].drop_duplicates([c.USER, c.ITEM])


def measured(lists: pd.DataFrame, taken: pd.DataFrame) -> tuple[float, float]:
    """Return hit rate and NDCG of lists (user_id, rank, item_id), by a loop."""
    hits, gains = [], []
    for user, own in taken.groupby(c.USER)[c.ITEM]:
        ranked = lists[lists[c.USER] == user].sort_values("rank")[c.ITEM].tolist()
        gain = [1 / np.log2(2 + place) for place, item in enumerate(ranked) if item in set(own)]
        hits.append(bool(gain))
        gains.append(sum(gain) / sum(1 / np.log2(2 + place) for place in range(min(K, len(own)))))
    return float(np.mean(hits)), float(np.mean(gains))


def test_this_policy_is_what_recommend_all_answers_on_the_log_cut_at_that_time(found, cut_ms, tmp_path):
    early = EVENTS[EVENTS[c.TIME_MS] < cut_ms]
    log = write_log(tmp_path / "log", early, ITEMS, window=(int(early[c.TIME_MS].min()), cut_ms))
    build(log, write_effects(tmp_path / "effects.json"), SETTINGS, tmp_path / "recommend")
    answers = pd.read_parquet(recommend_all(tmp_path / "recommend", log, K, tmp_path / "all.parquet"))
    taken = taken_after(cut_ms)
    assert found.cut.n_users == taken[c.USER].nunique() > 30
    assert found.cut.n_taken == len(taken)
    averages = found["this policy"].averages
    estimates = averages["hit_rate"].estimate, averages["ndcg"].estimate
    assert estimates == pytest.approx(measured(answers, taken), abs=1e-12)
    assert found["this policy"].coverage >= answers.loc[answers[c.USER].isin(taken[c.USER]), c.ITEM].nunique() / 12


def test_popular_is_the_items_with_most_buyers_before_the_cut(found, cut_ms):
    early = EVENTS[(EVENTS[c.TIME_MS] < cut_ms) & (EVENTS[c.ACTION] == "purchase")]
    first = early.groupby(c.ITEM)[c.USER].nunique().nlargest(K).index
    taken = taken_after(cut_ms)
    lists = pd.DataFrame(
        [(user, rank, item) for user in taken[c.USER].unique() for rank, item in enumerate(first)],
        columns=[c.USER, "rank", c.ITEM],
    )
    averages = found["popular"].averages
    assert averages["hit_rate"].estimate == pytest.approx(measured(lists, taken)[0])
    assert averages["ndcg"].estimate == pytest.approx(measured(lists, taken)[1])
    assert found["popular"].coverage == K / len(ITEMS)


def test_nothing_after_the_cut_is_known_to_a_ranking(found, cut_ms, tmp_path):
    """Everybody's later purchases become ones of the rarest item: hits change, and what is shown does not."""
    later = (EVENTS[c.ACTION] == "purchase") & (EVENTS[c.TIME_MS] >= cut_ms)
    other = judged(tmp_path, EVENTS.assign(**{c.ITEM: EVENTS[c.ITEM].mask(later, "l")}), shards=3)
    assert (other.cut.at, other.cut.n_users) == (found.cut.at, found.cut.n_users)
    for name in ("this policy", "by P(buy)", "co-purchase", "last seen", "popular"):
        assert other[name].coverage == found[name].coverage
        for metric in ("novelty", "miscalibration"):
            assert other[name].averages[metric].estimate == pytest.approx(found[name].averages[metric].estimate)
    assert found["popular"].averages["hit_rate"].estimate > 0.3
    assert other["popular"].averages["hit_rate"].estimate == 0.0


def regulars(n_users: int = 60) -> pd.DataFrame:
    """Everybody looks at an item of their own and buys l and k; ten days later half buy the own item, half l again."""
    rows = []
    for user in range(n_users):
        own, name = "abcdef"[user % 6], f"u{user:02d}"
        rows += [(name, 1 + user / 60, "view", own), (name, 40 + user / 60, "purchase", "l")]
        rows += [(name, 24 * 10 + user / 60, "purchase", own if user % 2 else "l")]
        rows += [(name, 60 + user / 60 + hours, "purchase", "k") for hours in (0, 1, 2)]
    return events_of(rows)


def test_hits_by_hand(tmp_path):
    """Seven days before the last purchase everybody has last seen k, l and the own item, in this order."""
    found = judged(tmp_path, regulars())
    assert found.cut.at == "1970-01-04T00:59:00+00:00"
    assert (found.cut.n_users, found.cut.n_taken, found.cut.n_again) == (60, 60, 30)
    assert found["last seen"].averages["hit_rate"].estimate == 1.0
    in_place = np.where(np.arange(60) % 2, 1 / np.log2(4), 1 / np.log2(3))
    assert found["last seen"].averages["ndcg"].estimate == pytest.approx(in_place.mean())
    assert found["last seen"].numbers("hit_rate") == (1.0, None, None)  # everybody has a hit: resamples tell nothing
    assert found["this policy"].averages["miscalibration"].n_users == 60


def test_a_horizon_bounds_what_is_judged(tmp_path):
    short = SETTINGS.model_copy(update={"horizons": ("2d",)})
    found = judged(tmp_path, EVENTS, short)
    first, last = (pd.Timestamp(text) for text in (found.cut.at, found.cut.until))
    assert (last - first).total_seconds() == pytest.approx(2 * 86_400, abs=1)


def test_without_times_the_cut_is_a_position(found, tmp_path):
    other = judged(tmp_path, EVENTS, has_times=False)
    assert other.cut.at.startswith("position ")
    assert other.cut.n_users == found.cut.n_users
    assert "an order but no times" in other.lack
    assert list(other.refused) == ["by P(buy)"]
    both = [one["popular"].averages["ndcg"].estimate for one in (found, other)]
    assert both[0] == pytest.approx(both[1])


def test_impressions_without_propensities_are_no_reason_not_to_hold_out(found, tmp_path):
    shown = EVENTS[EVENTS[c.ACTION] == "view"].assign(**{c.ACTION: "impression"})
    other = judged(tmp_path, pd.concat([EVENTS, shown]))
    assert f"None of {len(shown):,} impressions has a propensity" in other.lack
    assert other.cut.n_users == found.cut.n_users
    assert any("impressions have no probability of being shown" in note for note in other.notes)


def test_a_sample_of_users_is_judged_where_there_are_many(found, tmp_path, monkeypatch):
    monkeypatch.setattr(heldout, "MOST_USERS", 40)
    other = judged(tmp_path, EVENTS)
    assert 20 < other.cut.n_users < found.cut.n_users == other.cut.n_buyers
    assert f"The {other.cut.n_users} users were drawn from {other.cut.n_buyers}." in other.notes


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (EVENTS[EVENTS[c.ACTION] == "view"], "no impressions.*; and it has no purchases of items.*at least 30 who did"),
        (
            EVENTS[EVENTS[c.USER] < "u20"],
            "; and [12][0-9] of its users did something before 1970-01-.* and bought an item after",
        ),
        (
            EVENTS[EVENTS[c.ACTION] == "purchase"].assign(**{c.TIME_MS: DAY}),
            "; and 0 of its users did something before 1970-01-02T00:00:00.00:00",
        ),
        (
            EVENTS.assign(**{c.ITEM: EVENTS[c.ITEM].mask(EVENTS[c.ACTION] == "purchase")}),
            "it has no purchases of items",
        ),
    ],
)
def test_a_log_that_nothing_can_be_foretold_on_is_refused(events, said, tmp_path):
    with pytest.raises(QuestionError, match=said):
        judged(tmp_path, events)


def test_the_answer_says_prediction_everywhere(found, conforms):
    conforms({**found.to_json(), "figure": "x"}, "held_out")
    for text in (found.verdict(), found.summary(), found.to_json()["assumption"]):
        assert "This is prediction: what people took by themselves, not what showing adds." in text
    assert "Prediction, not effect" in found.plot().layout.title.text
    frame = found.to_frame().set_index(["ranking", "metric"])
    assert frame.loc[("popular", "coverage"), "estimate"] == K / len(ITEMS)
    assert frame["estimate"].notna().all()
    assert [len(trace.y) for trace in found.plot().data] == [6, 6, 6, 6, 6, 5]


def compared(low: float, n_telling: int) -> HeldOut:
    """Two rankings, one of which has an NDCG more by .1, from ``low`` to .2."""
    average = Average(metric="ndcg", estimate=0.3, low=0.2, high=0.4, level=0.95, n_users=99, n_without=0)
    more = RankingDifference(
        metric="ndcg", ranking="this policy", against="popular", estimate=-0.1, low=-0.2, high=-low, n_telling=n_telling
    )
    lower = dict.fromkeys(("hit_rate", "ndcg", "novelty", "miscalibration"), average)
    higher = {**lower, "ndcg": replace(average, estimate=0.4)}
    return HeldOut(
        scores=(
            Scores(ranking="this policy", averages=lower, coverage=1.0),
            Scores(ranking="popular", averages=higher, coverage=0.1),
        ),
        differences=(more,),
        refused={},
        cut=Cut(at="a", until="b", n_users=99, n_buyers=99, n_taken=99, n_again=0, n_unknown=0),
        k=10,
        lack="x",
        notes=(),
    )


def test_a_difference_whose_interval_includes_0_or_that_few_users_make_names_no_best():
    assert compared(0.01, 20).foretells_best == "popular"
    assert "popular foretells purchases best" in compared(0.01, 20).verdict()
    for unclear in (compared(0.0, 20), compared(-0.01, 99), compared(0.01, 19)):
        assert unclear.foretells_best is None
        assert "popular has the highest NDCG@10, and this policy may be as good" in unclear.verdict()
    assert "winner" not in compared(0.01, 20).summary()
