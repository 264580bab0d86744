"""Campaigns, policies and elasticities in worlds whose truth is known, kept by tens, so that a stopped proof goes on.

    python -m tests.proofs.campaigns                    # what is missing of the proof; tables; benchmarks/measured
    python -m tests.proofs.campaigns --share 0.2        # a fifth of the draws, nothing written
    python -m tests.proofs.campaigns --first 0 --share 0.1      # the seeds that choose settings

Every draw is a log that goes through the same code as ``whybuy campaign``.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tests.campaign.shops import config, write_shop
from tests.proofs.kept import all_kept
from whybuy import columns as c
from whybuy.campaign import analyze_campaign
from whybuy.campaign.history import Window, history_of
from whybuy.campaign.nuisance import People, crossfit
from whybuy.campaign.price import price_elasticity_of_log
from whybuy.campaign.uplift import uplift
from whybuy.causal.effects import Z95, Naive
from whybuy.events.behaviors import parse_behavior
from whybuy.events.log import EventLog
from whybuy.worlds.chain import DAY_MS
from whybuy.worlds.promotions import HORIZON_DAYS, Run, chances, draw_prices, run, tables, with_and_without
from whybuy.worlds.promotions.equations import MOMENTUM
from whybuy.worlds.shop import Shop

MEASURED = Path(__file__).parents[2] / "benchmarks" / "measured" / "campaigns.json"
ROOMS = ("worlds", "campaign", "causal")
FIRST = 100
BATCH = 10
DRAWS = {"randomized": 200, "targeted": 150, "targeted, no effect": 150, "coupons": 100, "policy": 30, "prices": 100}
KINDS = {
    "randomized": ("randomized", 1.0, ("letter",)),
    "targeted": ("targeted", 1.0, ("letter",)),
    "targeted, no effect": ("targeted", 0.0, ("letter",)),
    "coupons": ("coupons", 1.0, ("coupon-coats", "coupon-shoes")),
}
N_USERS = 4_000
N_POLICY = 12_000
N_PRICES = 2_000
SHARE_TREATED = 0.3
_TRUTH_SEEDS, _TRUTH_USERS = range(1_000_000, 1_000_015), 20_000


def event_log(shop: Shop, folder: Path) -> EventLog:
    """Return a drawn shop as an ingested log."""
    ts = shop.events[c.TIME].dt.tz_localize(None).to_numpy().astype("datetime64[ms]").astype("int64")
    events = shop.events.drop(columns=c.TIME).assign(**{c.TIME_MS: ts})
    return write_shop(folder, events, users=shop.users, items=shop.items)


def effects(name: str, seeds: range) -> pd.DataFrame:
    """Return one row per draw and campaign: the answer of ``whybuy campaign``, and the naive one's interval."""
    kind, strength, campaigns = KINDS[name]
    rows = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            log = event_log(tables(run(kind, seed, N_USERS, effect=strength)), Path(folder) / "log")
            answers = [analyze_campaign(log, config(), campaign) for campaign in campaigns]
        for found in answers:
            e, (low, high) = found.effect, naive_interval(found.naive, found.n_treated, found.n_control)
            answer = {"estimate": e.estimate, "std_error": e.std_error, "low": e.ci_low, "high": e.ci_high}
            naive = {"naive": found.naive.difference, "naive_low": low, "naive_high": high}
            rows.append(
                {"world": name, "seed": seed, "campaign": found.campaign, "verdict": found.verdict} | answer | naive
            )
    return pd.DataFrame(rows).astype(dict.fromkeys(("estimate", "std_error", "low", "high"), float))


def naive_interval(naive: Naive, n_treated: int, n_control: int) -> tuple[float, float]:
    """Return the 95% interval of the plain difference."""
    treated = naive.p_outcome_given_treatment
    control = (naive.p_outcome - naive.p_joint) / (1 - naive.p_treatment)
    error = np.sqrt(treated * (1 - treated) / n_treated + control * (1 - control) / n_control)
    return naive.difference - Z95 * error, naive.difference + Z95 * error


def true_effects(name: str, seeds: range) -> pd.DataFrame:
    """Return the effect on everybody, or weighed by e (1 - e) where people are picked, from worlds of their own."""
    kind, strength, campaigns = KINDS[name]
    rows = []
    for seed in seeds:
        drawn = run(kind, seed, _TRUTH_USERS, effect=strength)
        for campaign in campaigns:
            sending = drawn.sendings[campaign]
            effect = _expected_effect(drawn, campaign)
            picked = kind == "targeted"
            weight = sending.chance * (1 - sending.chance) * (sending.before.S[:, MOMENTUM] > 0 if picked else 1)
            rows.append({"world": name, "campaign": campaign, "sum": weight @ effect, "weight": weight.sum()})
    return pd.DataFrame(rows)


def _expected_effect(drawn: Run, campaign: str) -> np.ndarray:
    """Return (n,) effects: given what was logged where one promotion is all, else with the other going on."""
    if len(drawn.promotions) == 1:
        sent, not_sent = chances(drawn, campaign, n_paths=4)
        return sent - not_sent
    sent, not_sent = with_and_without(drawn, campaign)
    return sent.astype(float) - not_sent


def policies(seeds: range) -> pd.DataFrame:
    """Return one row per draw: outcomes that treating 30% of the judging half adds per person, by who chooses them."""
    rows = []
    for seed in seeds:
        drawn = run("randomized", seed, N_POLICY)
        sending = drawn.sendings["letter"]
        shop = tables(drawn)
        at = (shop.events[c.TIME].min().normalize().value // 1_000_000) + np.rint(sending.at * DAY_MS).astype(np.int64)
        people = pd.DataFrame({c.USER: shop.users[c.USER], c.TIME_MS: at})
        with tempfile.TemporaryDirectory() as folder:
            log = event_log(shop, Path(folder) / "log")
            history = history_of(log, people, Window(parse_behavior("purchase:*"), HORIZON_DAYS * DAY_MS))
        found = uplift(history.X, sending.sent, history.outcome, 0.5, users=people[c.USER])
        buys = crossfit(People.of(history.X, people[c.USER].to_numpy(object)), history.outcome, ~found.judging, seed=7)
        sent, not_sent = chances(drawn, "letter")
        effect = (sent - not_sent)[found.judging]
        ranked = {"uplift": found.effect, "response": buys, "best": sent - not_sent}
        added = {name: added_at_top(effect, by[found.judging]) for name, by in ranked.items()}
        rows.append({"seed": seed, "learner": found.learner, **added, "random": SHARE_TREATED * effect.mean()})
    return pd.DataFrame(rows)


def added_at_top(effect: np.ndarray, priority: np.ndarray) -> float:
    """Return what treating the top 30% adds per person of all, over treating nobody."""
    top = np.argsort(-priority, kind="stable")[: round(SHARE_TREATED * len(effect))]
    return float(effect[top].sum() / len(effect))


def elasticities(seeds: range) -> pd.DataFrame:
    """Return one row per draw and category."""
    parts = []
    for seed in seeds:
        drawn = draw_prices(seed, N_PRICES)
        with tempfile.TemporaryDirectory() as folder:
            found = price_elasticity_of_log(event_log(drawn.shop, Path(folder) / "log"), config())
        frame = found.to_frame()
        truth = frame["category"].map(drawn.elasticity)
        parts.append(frame.assign(seed=seed, truth=truth, low=frame["ci_low"], high=frame["ci_high"]))
    columns = ["seed", "category", "truth", "estimate", "std_error", "low", "high", "naive", "share_left"]
    return pd.concat(parts, ignore_index=True)[columns]


def measured(*, first: int = FIRST, share: float = 1.0) -> dict[str, pd.DataFrame]:
    """Return the rows of all draws, "effects", "policy" and "prices"; what is not kept yet is computed first."""
    draws = {name: max(BATCH, round(share * n / BATCH) * BATCH) for name, n in DRAWS.items()}
    truth = all_kept({f"campaign-truth-{k}": partial(true_effects, k, _TRUTH_SEEDS) for k in KINDS}, ROOMS)
    sums = truth.groupby(["world", "campaign"])[["sum", "weight"]].sum()
    known = (sums["sum"] / sums["weight"]).rename("truth")
    jobs = {
        f"campaign-{k}-{seeds.start}": partial(effects, k, seeds) for k in KINDS for seeds in _batches(first, draws[k])
    }
    return {
        "effects": all_kept(jobs, ROOMS).join(known, on=["world", "campaign"]),
        "policy": all_kept(_jobs("policy", policies, first, draws), ROOMS),
        "prices": all_kept(_jobs("prices", elasticities, first, draws), ROOMS),
    }


def _jobs(name: str, draw, first: int, draws: Mapping[str, int]) -> dict:
    return {f"campaign-{name}-{seeds.start}": partial(draw, seeds) for seeds in _batches(first, draws[name])}


def _batches(first: int, n: int) -> Iterator[range]:
    return (range(k, k + BATCH) for k in range(first, first + n, BATCH))


def coverage(rows: pd.DataFrame, by: str, *, low: str = "low", high: str = "high") -> pd.DataFrame:
    """Return how often intervals hold the truth: draws, refused ones, share held, mean error, naive mean error."""
    held = ((rows[low] <= rows["truth"]) & (rows["truth"] <= rows[high])).where(rows[low].notna())
    z = (rows["estimate"] - rows["truth"]) / rows["std_error"]
    table = rows.assign(
        held=held.astype(float), z=z, error=rows["estimate"] - rows["truth"], off=rows["naive"] - rows["truth"]
    )
    grouped = table.groupby(by)
    return pd.DataFrame(
        {
            "n": grouped.size(),
            "refused": grouped["estimate"].apply(lambda x: int(x.isna().sum())),
            "truth": grouped["truth"].mean(),
            "held": grouped["held"].mean(),
            "mean error": grouped["error"].mean(),
            "rms z": grouped["z"].apply(lambda x: float(np.sqrt((x**2).mean()))),
            "naive error": grouped["off"].mean(),
        }
    )


def called_effective(rows: pd.DataFrame) -> pd.Series:
    """Return the share of draws whose verdict says that being sent it adds purchases, by world."""
    called = rows["verdict"].isin(["strong", "suggestive"]) & (rows["estimate"] > 0)
    return called.groupby(rows["world"]).mean()


def of_the_best(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what every policy adds, as a share of the best one: mean and least of the draws."""
    shares = rows[["uplift", "response", "random"]].div(rows["best"], axis=0)
    added = rows[["uplift", "response", "random"]].mean() / rows["best"].mean()
    return pd.DataFrame({"of the best": added, "least": shares.min(), "most": shares.max()})


def report(found: Mapping[str, pd.DataFrame]) -> str:
    """Return the tables."""
    naive = coverage(found["effects"], "world", low="naive_low", high="naive_high")["held"].rename("held by naive")
    table = coverage(found["effects"], "world").join(naive).join(called_effective(found["effects"]).rename("called"))
    parts = [
        table,
        of_the_best(found["policy"]),
        coverage(found["prices"], "category"),
        coverage(found["prices"].assign(all="all"), "all"),
    ]
    return "\n\n".join(part.round(4).to_string() for part in parts)


def written(found: Mapping[str, pd.DataFrame]) -> None:
    """Write the tables as JSON."""
    effects_table = coverage(found["effects"], "world").join(called_effective(found["effects"]).rename("called"))
    document = {
        "effects": effects_table.to_dict("index"),
        "policy": {"draws": len(found["policy"]), **of_the_best(found["policy"]).to_dict("index")},
        "prices": coverage(found["prices"], "category").to_dict("index"),
    }
    MEASURED.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run what is missing and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=FIRST, help="the first seed")
    parser.add_argument("--share", type=float, default=1.0, help="of the draws of the whole proof")
    asked = parser.parse_args()
    found = measured(first=asked.first, share=asked.share)
    sys.stdout.write(f"{report(found)}\n")
    if asked.first == FIRST and asked.share >= 1:
        written(found)


if __name__ == "__main__":
    main()
