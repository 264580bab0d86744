"""Recommendations from Python: ids as the log has them or as people write them, and the config's number of items."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from whybuy.config import config_from_dict
from whybuy.errors import ConfigError
from whybuy.recommending import Recommender
from whybuy.trust.privacy import pseudonyms

KEY = "a key of thirty-two letters or so"


@dataclass
class Echo:
    """Answers with what it was asked."""

    people: tuple[str, ...]

    def answer(self, user_id: str, k: int) -> tuple[str, int]:
        return user_id, k


def recommender(people: tuple[str, ...], tmp_path, **privacy: object) -> Recommender:
    raw = {"events": [{"path": "x.csv"}], "recommend": {"k": 7}, "privacy": privacy}
    return Recommender(Echo(people), config_from_dict(raw, base=tmp_path))


def test_k_is_the_config_s_unless_said(tmp_path):
    one = recommender(("u1",), tmp_path)
    assert one.answer("u1") == ("u1", 7)
    assert one.answer("u1", k=0) == ("u1", 0)


def test_pseudonyms_are_found_by_either_id(tmp_path, monkeypatch):
    hidden = pseudonyms(["u1"], KEY.encode())[0]
    one = recommender((hidden,), tmp_path, pseudonymize=True, key_variable="OUR_KEY")
    assert one.answer(hidden)[0] == hidden
    with pytest.raises(ConfigError, match="OUR_KEY"):
        one.answer("u1")
    monkeypatch.setenv("OUR_KEY", KEY)
    assert one.answer("u1")[0] == hidden
    assert one.answer("stranger")[0] == "stranger"


def test_the_recommend_stage_is_brought_up_to_date_and_opened(monkeypatch, tmp_path):
    ran, opened = [], []
    monkeypatch.setattr("whybuy.recommend.answerer.Answerer.open", lambda folder: opened.append(folder) or Echo(()))
    config = config_from_dict({"events": [{"path": "x.csv"}]}, base=tmp_path)
    pipeline = SimpleNamespace(run=ran.append, folder=lambda name: tmp_path / name, config=config)
    assert Recommender.of(pipeline).answer("u", 2) == ("u", 2)
    assert (ran, opened) == (["recommend"], [tmp_path / "recommend"])
