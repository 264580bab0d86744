"""What a log cannot tell: refused, or ``cannot_tell`` with the reason, and never a number without grounds.

The shop: 160 users, 40 days, an event every 16 hours: views of shoes and bags, carts of bags, and purchases of bags
(half the time after a cart). Among them, in the same log:

- purchases of scarves by three people, once each;
- favorites of hats, on the first two days alone;
- a review of bags after every search, and no other: it is perfectly predicted;
- removals of belts, each within the same moment as a cart of belts, and no cart of belts without one;
- views of caps, by two people who do nothing else, forty times a day.
"""

import numpy as np
import pandas as pd
import pytest

import whybuy
from whybuy.errors import BehaviorError, QuestionError

DAY = 86_400_000
START = 1_700_000_000_000
N_USERS, N_EVENTS = 160, 60
NORMAL = [
    ("view", "shoes"),
    ("view", "bags"),
    ("cart", "bags"),
    ("search", "bags"),
    ("cart", "belts"),
    ("view", "mugs"),
]
CART, SEARCH, BELTS, PURCHASE, REVIEW = 2, 3, 4, 6, 7
KINDS = [*NORMAL, ("purchase", "bags"), ("review", "bags")]


def frame(rows: list[tuple[str, int, str, str]]) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["user_id", "ms", "action", "category"])
    found["item_id"] = found["category"] + "-" + (found.index % 3).astype(str)
    return found.assign(ts=pd.to_datetime(found["ms"], unit="ms")).drop(columns="ms")


def usual(seed: int, n_users: int = N_USERS) -> list[tuple[str, int, str, str]]:
    rng = np.random.default_rng(seed)
    choice = np.zeros((n_users, N_EVENTS), int)
    for k in range(1, N_EVENTS):
        p_buy = np.where(choice[:, k - 1] == CART, 0.5, 0.08)
        drawn = np.where(rng.random(n_users) < p_buy, PURCHASE, rng.integers(0, len(NORMAL), n_users))
        choice[:, k] = np.where(choice[:, k - 1] == SEARCH, REVIEW, drawn)
    rows = []
    for u in range(n_users):
        for k in range(N_EVENTS):
            at = START + k * 2 * DAY // 3 + 60_000 * u
            rows.append((f"{u:03d}", at, *KINDS[choice[u, k]]))
            if choice[u, k] == BELTS:
                rows.append((f"{u:03d}", at, "remove", "belts"))
    return rows


def odd() -> list[tuple[str, int, str, str]]:
    rows = usual(1)
    rows += [(f"{u:03d}", START + 20 * DAY + u, "purchase", "scarves") for u in range(3)]
    rows += [(f"{u:03d}", START + h * 3_600_000 + 7_000, "favorite", "hats") for u in range(80) for h in (3, 30)]
    rows += [(f"eager{i}", START + k * DAY // 40, "view", "caps") for i in range(2) for k in range(40 * 40)]
    return rows


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> whybuy.Log:
    return whybuy.read(frame(odd()), workspace=tmp_path_factory.mktemp("odd"))


def asked(log: whybuy.Log, treatment: str, outcome: str = "purchase:bags"):
    return whybuy.effect(log, treatment=treatment, outcome=outcome)


def without_number(found) -> str:
    assert found.verdict == "cannot_tell"
    assert [e.estimate for e in (found.effect, *found.also)] == [None] * (1 + len(found.also))
    return " ".join(found.reasons)


@pytest.mark.whole
@pytest.mark.parametrize(
    ("treatment", "outcome", "why"),
    [
        ("view:bags", "purchase:scarves", "purchase:scarves happens 3 times by 3 users; 50 events by 20 users"),
        ("favorite:hats", "purchase:bags", "No decision of a trial is this behavior"),
        ("view:caps", "purchase:bags", "by 2 users; 50 events by 20 users are needed"),
        ("remove:belts", "purchase:bags", "together with cart:belts"),
        ("cart:belts", "purchase:bags", "together with remove:"),
    ],
)
def test_without_grounds_there_is_no_number_but_a_reason(log, treatment, outcome, why):
    assert why in without_number(asked(log, treatment, outcome))


@pytest.mark.whole
def test_a_perfectly_predicted_behavior_cannot_be_told(log):
    assert "perfectly predicted: 0.0% of its variance is left" in without_number(asked(log, "review:bags"))


@pytest.mark.whole
def test_what_never_happens_and_what_follows_too_late_cannot_be_asked(log):
    with pytest.raises(BehaviorError, match=r"view:gloves never happens in this log"):
        asked(log, "view:gloves")
    with pytest.raises(QuestionError, match=r"The log spans 39\..* days\. Needed: more than lookback plus horizon"):
        whybuy.effect(log, treatment="view:bags", outcome="purchase:bags", horizon="35d")


@pytest.mark.whole
def test_the_planted_effect_is_still_found(log):
    assert asked(log, "cart:bags").effect.ci_low > 0


@pytest.mark.whole
def test_a_behavior_that_is_always_taken_cannot_be_told(tmp_path):
    """Whatever is no purchase is a view of bags."""
    rows = [(u, at, *(("view", "bags") if action != "purchase" else (action, c))) for u, at, action, c in usual(2)]
    log = whybuy.read(frame([r for r in rows if r[2] in ("view", "purchase")]), workspace=tmp_path)
    assert "Only 0 users had the outcome after another decision" in without_number(asked(log, "view:bags"))


@pytest.mark.whole
def test_one_user_with_half_of_all_events_carries_no_answer(tmp_path):
    rng = np.random.default_rng(3)
    n = N_USERS * N_EVENTS
    at = np.sort(rng.integers(0, 40 * DAY, n))
    kinds = rng.integers(0, 7, n)
    one = [("busy", START + int(t), *KINDS[k]) for t, k in zip(at, kinds, strict=True)]
    log = whybuy.read(frame([*usual(3), *one]), workspace=tmp_path)
    assert "users' worth of information; 30 are needed" in without_number(asked(log, "cart:bags"))


@pytest.mark.whole
def test_five_users_cannot_tell(tmp_path):
    log = whybuy.read(frame(usual(4, n_users=5)), workspace=tmp_path)
    assert "by 5 users; 50 events by 20 users are needed" in without_number(asked(log, "cart:bags"))
