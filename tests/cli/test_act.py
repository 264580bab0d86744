from pathlib import Path

import pandas as pd
import pytest

from whybuy.recommend import answerer, batch
from whybuy.recommend.answer import Recommendation, Recommendations

ITEM = Recommendation(
    item_id="7",
    rank=1,
    lift=0.01,
    lift_low=-0.01,
    lift_high=0.03,
    p_buy=0.05,
    basis="view",
    ranked_by="lift_by_view",
    reason="Looked at it.",
    propensity=1.0,
)


@pytest.fixture
def asked(monkeypatch) -> list[tuple]:
    """Recommendations without a log; returns what was asked for."""
    seen = []

    class One:
        people = ()

        @classmethod
        def open(cls, folder: Path) -> "One":
            seen.append(folder.name)
            return cls()

        def answer(self, user: str, k: int) -> Recommendations:
            seen[-1] = (seen[-1], user, k)
            return Recommendations(user_id=user, horizon="1d", items=(ITEM,))

    def many(folder, log, k, output, *, users=None, report):
        seen.append((folder.name, users, k))
        pd.DataFrame({"user_id": ["a", "b"]}).to_parquet(output)
        return output

    monkeypatch.setattr(answerer, "Answerer", One)
    monkeypatch.setattr(batch, "recommend_all", many)
    monkeypatch.setattr("whybuy.pipeline.Pipeline.log", None)
    return seen


def test_one_user(call, shop, stages, asked, conforms):
    answer = call("recommend", "--user", "007", "-k", "3", "--json")
    conforms(answer.json, "recommend")
    assert asked == [("recommend", "007", 3)]
    assert (
        "1. 7: +1.00 [-1.00, +3.00] purchases in 100 within 1d. Looked at it." in call("recommend", "--user", "x").out
    )


def test_one_user_to_a_file(call, shop, stages, asked):
    call("recommend", "--user", "007", "--output", "out/one.parquet")
    frame = pd.read_parquet(shop / "out" / "one.parquet")
    assert list(frame.columns) == [
        "user_id", "item_id", "rank", "lift", "lift_low", "lift_high", "p_buy", "basis", "ranked_by", "reason",
        "propensity",
    ]  # fmt: skip
    assert [p.name for p in (shop / "out").iterdir()] == ["one.parquet"]


def test_many_users_go_to_a_file_with_the_config_s_k(call, shop, stages, asked):
    assert call("recommend", "--all", "--output", "all.parquet", "--json").json == {"output": "all.parquet", "rows": 2}
    (shop / "ids.txt").write_text("a\nb\n", encoding="utf-8")
    answer = call("recommend", "--users", "ids.txt")
    assert answer.out == f"2 recommendations: {shop / 'whybuy-workspace' / 'recommendations.parquet'}\n"
    assert asked == [("recommend", None, 10), ("recommend", Path("ids.txt"), 10)]


@pytest.mark.parametrize("words", [(), ("--user", "a", "--all"), ("--all", "--users", "f.txt")])
def test_whom_to_recommend_to_is_said_once(call, shop, stages, words):
    answer = call("recommend", *words)
    assert answer.code == 2
    assert "Exactly one of them is needed" in answer.err


def test_an_output_that_cannot_be_written_is_exit_2(call, shop, stages, asked):
    answer = call("recommend", "--user", "a", "--output", "log.csv/x.parquet")
    assert answer.code == 2
    assert "log.csv/x.parquet cannot be written" in answer.err
    assert "Name another --output" in answer.err
