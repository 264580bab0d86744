"""One user at a time is answered as among all, to the last word, in shops of every kind; and what nobody can answer."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.recommend.shops import CONFIG, DAY, Log, events_of, write_effects, write_log
from whybuy import columns as c
from whybuy.config import RecommendConfig
from whybuy.recommend import candidates
from whybuy.recommend.answerer import Answerer, line
from whybuy.recommend.answerer import answerer as module
from whybuy.recommend.batch import build, recommend_all
from whybuy.recommend.personal import asked, network
from whybuy.recommend.reasons import RANKED_BY
from whybuy.recommend.terms import Terms

N_PEOPLE, N_ITEMS, DAYS = 60, 40, 12
KINDS = ("shoes", "shoes/boots", "hats", None, "bags")
CATALOG = {f"i{n:02d}": KINDS[n % 5] for n in range(N_ITEMS)}
EFFECTS = (
    ("view:hats", "purchase:shoes", 0.07, 0.01),
    ("view:shoes", "purchase:hats", 0.02, 0.004),
    ("cart:shoes/boots", "purchase:bags", 0.05, 0.01),
    ("search:query=boots", "purchase:shoes/boots", 0.09, 0.02),
    ("view:item=i03", "purchase:item=i04", 0.2, 0.03),
    ("cart:*", "purchase:hats", -0.06, 0.01),
    ("campaign:spring/treated", "purchase:bags", -0.01, 0.002),
)
MORE = (c.QUERY, c.CAMPAIGN, c.ARM, c.PROPENSITY, c.SLOT)


def person(rng: np.random.Generator, n: int, p_buy: float) -> list[tuple]:
    """Return what one person does: items of a taste, some bought, at times that may coincide."""
    taste, rows = rng.integers(0, 5), []
    for _ in range(int(rng.integers(1, 14))):
        item = int(rng.integers(0, N_ITEMS - 4)) // 5 * 5 + (taste if rng.random() < 0.7 else int(rng.integers(0, 5)))
        action = rng.choice(["view", "view", "view", "cart", "favorite", "click", "purchase", "review", "remove"])
        at = int(rng.integers(0, 24 * DAYS))
        rows.append((f"u{n:02d}", at, action, f"i{item:02d}", None, None, None, None, None))
        if action in ("view", "cart") and rng.random() < p_buy:
            rows.append((f"u{n:02d}", at + 1, "purchase", f"i{item:02d}", None, None, None, None, None))
    if n % 4 == 0:
        rows.append((f"u{n:02d}", 24 * DAYS - 30, "search", None, "boots", None, None, None, None))
    if n % 7 == 0:
        rows.append((f"u{n:02d}", 24 * DAYS - 60, "campaign", None, None, "spring", "treated", None, None))
    return rows


def exposed(rng: np.random.Generator, n: int) -> list[tuple]:
    """Return slates of three, with propensities, and purchases that follow; every ninth person touches nothing."""
    rows = []
    for at in rng.integers(0, 24 * DAYS, 12):
        for slot, item in enumerate(rng.permutation(N_ITEMS - 4)[:3]):
            rows.append((f"u{n:02d}", int(at), "impression", f"i{item:02d}", None, None, None, 0.1, slot))
            if n % 9 and rng.random() < 0.25:
                rows.append((f"u{n:02d}", int(at) + 2, "purchase", f"i{item:02d}", None, None, None, None, None))
    return rows


def log_of(
    folder: Path,
    *,
    impressions: bool = False,
    purchases: bool = True,
    has_times: bool = True,
    priced: bool = False,
    p_buy: float = 0.3,
) -> Log:
    rng = np.random.default_rng(5)
    rows = [row for n in range(N_PEOPLE) for row in person(rng, n, p_buy)]
    if impressions:
        rows = [row for row in rows if int(row[0][1:]) % 9] + [r for n in range(N_PEOPLE) for r in exposed(rng, n)]
    if not purchases:
        rows = [row for row in rows if row[2] != "purchase"]
    return write_log(
        folder / "log",
        events_of(rows, *MORE),
        CATALOG,
        shards=2,
        window=(0, DAYS * DAY),
        out_of_stock=["i02", "i11"],
        titles={"i05": "  Red boots ", "i06": "Blue Hat"},
        prices={item: 1.0 + n % 7 for n, item in enumerate(CATALOG) if n % 6} if priced else None,
        idle_users=["idle"],
        has_times=has_times,
    )


BY_MARGIN = CONFIG.model_copy(
    update={"recommend": RecommendConfig(by="margin", margins={"shoes": 0.2, "shoes/boots": 0.9, "*": 0.5})}
)
SHOPS = {
    "lifts by view": ({}, {}, 6),
    "lifts by view, hardly bought": ({"p_buy": 0.02}, {}, 30),
    "lists longer than what is known": ({}, {}, 60),
    "no lift, as nothing was bought": ({"purchases": False}, {}, 6),
    "no lift, as there are no times": ({"has_times": False}, {}, 6),
    "lifts by view, ranked by margin": ({"priced": True}, {}, 30),
    "lifts by person, ranked by margin": ({"priced": True, "impressions": True}, {}, 30),
    "explored": ({}, {"explore": 0.3, "seed": 4}, 6),
    "capped": ({}, {"per_category": 2}, 6),
    "lifts by person": ({"impressions": True}, {}, 6),
    "lifts by person, explored": ({"impressions": True}, {"explore": 0.2, "per_category": 3}, 6),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return what builds a log of these traits once, and puts these settings into a copy of its tables."""
    made = {}

    def make(traits: dict, settings: dict) -> tuple[Path, Log]:
        folder = tmp_path_factory.mktemp("shop")
        if str(traits) not in made:
            log = log_of(folder, **traits)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(network, "_FEWEST_STEPS", 30)
                config = BY_MARGIN if traits.get("priced") else CONFIG
                build(log, write_effects(folder / "effects.json", *EFFECTS), config, folder / "rec")
            made[str(traits)] = folder / "rec", log
        tables, log = made[str(traits)]
        if settings:
            tables = shutil.copytree(tables, folder / "rec")
            replace(Terms.open(tables), **settings).save(tables)
        return tables, log

    return make


def everybody(folder: Path, log: Log, k: int) -> pd.DataFrame:
    """Return the rows of all users and of one whom nobody knows."""
    ids, output = folder.parent / "ids.txt", folder.parent / "all.parquet"
    ids.write_text("\n".join([*log.users()[c.USER], "nobody ' knows"]))
    return pd.read_parquet(recommend_all(folder, log, k, output, users=ids)).astype({"rank": int})


@pytest.fixture(scope="module")
def answered(built):
    """Return the rows of a shop, everybody's at once, and what they were made from."""
    made = {}

    def answers(name: str) -> tuple[pd.DataFrame, Path, Log]:
        if name not in made:
            traits, settings, k = SHOPS[name]
            folder, log = built(traits, settings)
            made[name] = everybody(folder, log, k), folder, log
        return made[name]

    return answers


def one_by_one(folder: Path, users: list[str], k: int) -> pd.DataFrame:
    answerer = Answerer.open(folder)
    return pd.concat([answerer.answer(user, k).to_frame() for user in users], ignore_index=True).astype({"rank": int})


def same(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Networks tell the lifts of a person to seven digits, so that two decimals may be rounded another way."""
    by_person = theirs[c.REASON].str.contains("Shown to people like you").any()
    names = [c.USER, "rank", c.ITEM, "basis", "ranked_by", *([] if by_person else [c.REASON])]
    assert ours[names].values.tolist() == theirs[names].values.tolist()
    if by_person:
        texts = [frame[c.REASON].str.replace(r"\d+\.\d\d", "#", regex=True).tolist() for frame in (ours, theirs)]
        assert texts[0] == texts[1]
        assert (ours[c.REASON] == theirs[c.REASON]).mean() > 0.99
    numbers = ["lift", "lift_low", "lift_high", "p_buy", c.PROPENSITY]
    close = 1e-4 if by_person else 1e-12
    np.testing.assert_allclose(ours[numbers].astype(float), theirs[numbers].astype(float), rtol=close, atol=close)


@pytest.mark.parametrize("name", SHOPS)
def test_one_user_is_answered_as_among_all(name, answered):
    theirs, folder, log = answered(name)
    ours = one_by_one(folder, list(theirs[c.USER].drop_duplicates()), SHOPS[name][2])
    assert set(theirs[c.USER]) == {*log.users()[c.USER], "nobody ' knows"}
    same(ours, theirs)
    assert theirs[c.REASON].nunique() > 30
    by_person = theirs[c.REASON].str.contains("Shown to people like you").any()
    assert by_person == ("person" in name)
    assert theirs["lift"].notna().any() == ("no lift" not in name)


def test_large_catalogs_are_weighed_near_what_a_person_did(built, monkeypatch):
    """With 500 items as the limit everything is weighed; with 5 only the nearest 3, for one as for all."""
    folder, log = built({"impressions": True}, {})
    for place in (asked, module):
        monkeypatch.setattr(place, "EVERY_ITEM", 5)
        monkeypatch.setattr(place, "NEAREST_ITEMS", 3)
    monkeypatch.setattr(candidates, "BEST_ITEMS", 4)
    monkeypatch.setattr(line, "BEST_ITEMS", 4)
    theirs = everybody(folder, log, 4)
    same(one_by_one(folder, list(theirs[c.USER].drop_duplicates()), 4), theirs)


def test_reasons_of_every_kind_were_held_against_each_other(answered):
    """The shops above make the words matter: each of these stands in an answer of theirs."""
    words = " ".join(reason for name in SHOPS for reason in answered(name)[0][c.REASON])
    for part in (
        "Nothing this user did", "the whole log has only", "You looked at it", "You put it in the cart",
        "You bought it before", "it is here only because", "Looking at it adds", "Looking at it takes away",
        "too few to tell it", "is drawn to that of its kind", "it may be nothing", "others bought it",
        "others took it", "After Red boots, one of", "of a category you were in", "Ranked by the number of people",
        "nobody has touched", "You searched for boots: that adds", "of the figure above",
        "this is the one people take most", "Shown to people like you", "they rarely find it alone",
        "it was never looked at", "looking at other things",
    ):  # fmt: skip
        assert part in words, part


def test_what_a_place_rests_on_is_told_in_a_token_of_every_kind(answered):
    told = [answered(name)[0] for name in SHOPS]
    assert set(pd.concat(told)["ranked_by"]) == set(RANKED_BY) - {"lift_by_impression", "repeat_purchase"}
    for frame in told:
        by_lift = frame[frame["ranked_by"].str.startswith("lift_by_")]
        assert by_lift["lift"].notna().all()
        assert frame.loc[~frame.index.isin(by_lift.index) & (frame["ranked_by"] != "filler"), "lift"].isna().all()
        assert (by_lift["ranked_by"] == "lift_by_person").equals(by_lift[c.REASON].str.contains("people like you"))
        assert (frame["ranked_by"] == "filler").equals(frame[c.REASON].str.contains("it is here only because"))
        assert (frame["ranked_by"] == "untouched").equals(frame[c.REASON].str.contains("nobody has touched"))
        assert frame.loc[frame["ranked_by"] == "lift_by_view", "basis"].eq("view").all()


def test_an_answerer_is_not_changed_by_its_answers(built):
    folder, _ = built({"impressions": True}, {})
    answerer = Answerer.open(folder)
    first = answerer.answer("u04", 6)
    for user in ("u05", "nobody", "u06"):
        answerer.answer(user, 60)
    assert answerer.answer("u04", 6) == first


def test_who_is_known_can_be_asked(built):
    people = Answerer.open(built({}, {})[0]).people
    assert list(people) == [f"u{n:02d}" for n in range(N_PEOPLE)]
    assert len(people) == N_PEOPLE
    assert "u07" in people
    for stranger in ("idle", "", "u", "u07 ", "zzz", "Ω"):
        assert stranger not in people
