import pandas as pd
import pytest

from whybuy.campaign import price
from whybuy.campaign.price import CategoryElasticity, PriceElasticity
from whybuy.causal.effects import Estimate
from whybuy.errors import QuestionError

TEA = CategoryElasticity(
    category="tea",
    elasticity=Estimate.of("elasticity", -1.5, 0.2),
    naive=-0.2,
    n_periods=52,
    n_spells=48,
    effective_spells=21.0,
    units=3_100.0,
    price_spread=0.12,
    share_left=0.5,
    reason=None,
)
JAM = CategoryElasticity(
    category="jam",
    elasticity=Estimate(estimand="elasticity"),
    naive=None,
    n_periods=52,
    n_spells=1,
    effective_spells=0.0,
    units=900.0,
    price_spread=0.0,
    share_left=0.0,
    reason="Its price hardly changes: by 0.0% (standard deviation).",
)
FOUND = PriceElasticity(
    categories=(JAM, TEA), together=TEA.elasticity, period="7d", n_cells=104, n_spells=49, reasons=("A note.",)
)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Elasticities without a log; returns the periods asked for."""
    seen = []

    def found(log: object, config: object, *, period: str) -> PriceElasticity:
        seen.append(period)
        if period == "1h":
            raise QuestionError.of(found="The log is short", needed="a longer one", do="Bring it")
        return FOUND

    monkeypatch.setattr(price, "price_elasticity_of_log", found)
    monkeypatch.setattr("whybuy.pipeline.Pipeline.log", None)
    return seen


def test_a_table_and_words(call, shop, stages, asked):
    out = call("prices").out
    assert asked == ["7d"]
    assert out.splitlines()[0].split() == ["category", "naive", "elasticity", "low", "high", "prices", "units"]
    assert out.splitlines()[1].split() == ["jam", "-", "-", "-", "-", "1", "900"]
    assert out.splitlines()[2].split() == ["tea", "-.20", "-1.50", "-1.89", "-1.11", "48", "3,100"]
    assert "jam: cannot tell. Its price hardly changes" in out
    assert (
        "tea: 10% dearer changes what is bought by -13.3% [-16.5, -10.0] (48 prices; sales against prices alone "
        "say -1.9%): elastic, a lower price brings more money." in out
    )
    assert "A note. Assumed:" in out


def test_one_json_document(call, shop, stages, asked):
    document = call("prices", "--period", "1d", "--json").json
    assert asked == ["1d"]
    assert document["together"]["estimate"] == -1.5
    assert [x["category"] for x in document["categories"]] == ["jam", "tea"]
    assert document["categories"][0]["elasticity"]["estimate"] is None


def test_a_table_and_a_figure_in_files(call, shop, stages, asked):
    call("prices", "--output", "out/prices.parquet", "--picture", "out/prices.html")
    frame = pd.read_parquet(shop / "out" / "prices.parquet")
    assert frame["category"].tolist() == ["jam", "tea"]
    assert frame["estimate"].tolist()[1] == -1.5
    assert "plotly" in (shop / "out" / "prices.html").read_text(encoding="utf-8")
    assert sorted(p.name for p in (shop / "out").iterdir()) == ["prices.html", "prices.parquet"]


def test_what_cannot_be_asked_is_said(call, shop, stages, asked):
    answer = call("prices", "--period", "1h")
    assert answer.code == 2
    assert "The log is short" in answer.err
