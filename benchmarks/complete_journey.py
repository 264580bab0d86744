"""The campaigns of the Complete Journey: naive beside adjusted, redemption, spillover, and what cannot be told.

    python benchmarks/complete_journey.py [--horizon 14d]

reads ``completejourney`` under ``WHYBUY_DATA`` and prints one line of numbers per campaign, in 100 people.
"""

import argparse
import os
import tempfile
from pathlib import Path

import pandas as pd

from whybuy.campaign import CampaignResult, analyze_campaigns
from whybuy.config import CouponsConfig, load_config
from whybuy.events.propose import propose, write_config
from whybuy.pipeline import Pipeline
from whybuy.workspace import Workspace

DATA = Path(os.environ.get("WHYBUY_DATA", "../shared/data")) / "completejourney"


def in_100(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 1)


def line(result: CampaignResult) -> dict[str, object]:
    e, further = result.effect, result.further
    alone = next((a.estimate for a in result.also if a.estimand == "ato_alone"), None)
    redeeming = None if further.redemption is None else further.redemption.effect
    net = further.spillover.purchases[-1].effect if further.spillover and further.spillover.purchases else None
    return {
        "campaign": result.campaign,
        "sent": result.n_treated,
        "naive": in_100(result.naive.difference),
        "alone": in_100(alone),
        "effect": in_100(e.estimate),
        "low": in_100(e.ci_low),
        "high": in_100(e.ci_high),
        "verdict": result.verdict,
        "redeemers": 0 if further.redemption is None else further.redemption.n_redeemers,
        "redeeming low": None if redeeming is None else in_100(redeeming.ci_low),
        "redeeming high": None if redeeming is None else in_100(redeeming.ci_high),
        "net purchases": None if net is None else in_100(net.estimate),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--horizon", default="14d")
    horizon = parser.parse_args().horizon
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "whybuy.toml"
        write_config(propose(DATA, into=file.parent), file)
        config = load_config(file)
        coupons = CouponsConfig(path=str((DATA / "coupons.parquet").resolve()), columns={"item_id": "product_id"})
        campaign = config.campaign.model_copy(update={"horizon": horizon, "coupons": coupons})
        config = config.model_copy(update={"campaign": campaign})
        pipeline = Pipeline(config, Workspace(Path(folder) / "workspace"))
        pipeline.run("events")
        results = analyze_campaigns(pipeline.log, config)
    print(pd.DataFrame([line(result) for result in results]).to_string(index=False))


if __name__ == "__main__":
    main()
