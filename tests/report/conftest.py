"""A workspace as the stages leave it, written by hand: 30 days of a shop of six categories, seed 7."""

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest

from whybuy.causal.certificate import Certificate, MarkedPair
from whybuy.report import collect

DAY_MS = 86_400_000
START_MS = 19_800 * DAY_MS  # 2024-03-18
CATEGORIES = ("shoes", "boots", "bags", "phones", "cases", "books")
ACTIONS = {"view": 0.62, "search": 0.11, "cart": 0.1, "favorite": 0.08, "purchase": 0.07, "remove": 0.02}


def effect_json(treatment, outcome, *, naive, estimate, std_error=0.003, verdict="strong", **more):
    """One effect in the contract's shape; ``estimate`` None is a pair that has none."""
    none = estimate is None
    low, high = (None, None) if none else (estimate - 1.96 * std_error, estimate + 1.96 * std_error)
    loss = {"base_rate": 0.1, "log_loss_base": 0.325, "log_loss_counts": 0.29, "log_loss_model": 0.27, "log_loss": 0.26}
    checks = {
        "nuisance": {f"{kind}_{key}": value for kind in "em" for key, value in loss.items()},
        "overlap": {"ess": 20_412.0, "min_e": 0.004, "max_e": 0.71, "share_within_01_99": 0.97},
        "balance": {"max_smd_before": 0.61, "max_smd_after": 0.04, "max_smd_beyond_chance": 0.0},
        "placebo": {"estimate": 0.0001, "ci_low": -0.0006, "ci_high": 0.0008, "passed": True},
        "sensitivity": {"e_value": 1.9, "robustness_value": 0.06, "strongest_group": "view:shoes", "passed": True},
        "grounds": {"treated_outcome_users": 812, "control_outcome_users": 1904, "effective_users": 1203.4},
    }
    return {
        "treatment": treatment,
        "outcome": outcome,
        "horizon": "7d",
        "design": "step",
        "n_trials": 118_204,
        "n_treated": 9_120,
        "n_users": 3_612,
        "method": "confirmed",
        "naive": {
            "p_outcome": 0.081,
            "p_treatment": 0.077,
            "p_joint": 0.0081,
            "p_outcome_given_treatment": None if naive is None else 0.08 + naive,
            "p_treatment_given_outcome": 0.1,
            "lift": None if naive is None else 1 + naive / 0.08,
            "difference": naive,
        },
        "effect": {
            "estimand": "ato",
            "estimate": estimate,
            "std_error": None if none else std_error,
            "ci_low": low,
            "ci_high": high,
            "selected_low": None if none else low - 0.002,
            "selected_high": None if none else high + 0.002,
            "p_value": None if none else 1e-9,
            "q_value": None if none else 1e-8,
            "q_value_by": None if none else 1e-7,
        },
        "also": []
        if none
        else [{"estimand": "ato_by_user", "estimate": estimate * 0.9, "ci_low": low * 0.9, "ci_high": high * 0.9}],
        "verdict": verdict,
        "reasons": ["No estimate could be computed."] if none else ["Every check passed."],
        "checks": checks,
        "funnel": False,
        "meaning": f"{treatment} now instead of this user's usual alternatives",
        **more,
    }


def quality_json():
    return {
        "rows_read": 24_912,
        "rows_kept": 24_000,
        "duplicates_merged": 610,
        "rejected": {"no user": 120, "unknown action": 101, "suspected bot": 81},
        "actions": {action: round(24_000 * share) for action, share in ACTIONS.items()},
        "n_users": 3_612,
        "n_items": 480,
        "n_categories": 6,
        "n_sessions": 7_204,
        "n_moments": 23_100,
        "first_ms": START_MS,
        "last_ms": START_MS + 30 * DAY_MS,
        "start_ms": START_MS,
        "end_ms": START_MS + 30 * DAY_MS,
        "q01_ms": START_MS,
        "q99_ms": START_MS + 29 * DAY_MS,
        "has_times": True,
        "longest_gap_ms": 5 * 3_600_000,
        "attributes": ["age", "gender"],
        "campaigns": ["spring", "vip"],
        "columns_present": ["user_id", "ts", "action", "item_id"],
        "notes": ["Sessions were cut at gaps of 30 minutes, as the log names none."],
    }


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_shard(root: Path, times_ms, actions) -> None:
    folder = root / "events" / "shards"
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame({"ts_ms": np.asarray(times_ms, np.int64), "action": pd.Categorical(actions)})
    frame.to_parquet(folder / "shard-00000.parquet")


def shop_effects(rng: np.random.Generator):
    """Effects of the demo's kind: a wrong sign, mirages, funnel pairs, many small ones, some that cannot be told."""
    named = [
        effect_json("view:books", "purchase:bags", naive=0.052, estimate=-0.021),
        effect_json("search:shoes", "purchase:shoes", naive=0.116, estimate=0.048, verdict="suggestive"),
        effect_json("favorite:cases", "purchase:bags", naive=0.041, estimate=0.0006, std_error=0.0016, verdict="none"),
        effect_json("view:phones", "purchase:cases", naive=0.061, estimate=0.034),
        effect_json("favorite:shoes", "purchase:shoes", naive=0.142, estimate=0.062, std_error=0.005),
        effect_json("view:boots", "purchase:shoes", naive=0.009, estimate=-0.018),
        effect_json("cart:shoes", "purchase:shoes", naive=0.31, estimate=0.19, funnel=True, std_error=0.008),
        effect_json("cart:phones", "purchase:phones", naive=0.27, estimate=0.162, funnel=True, std_error=0.009),
    ]
    seen = {(e["treatment"], e["outcome"]) for e in named}
    for action in ("view", "search", "favorite", "cart", "remove"):
        for b in (*CATEGORIES, "*"):
            for a in (*CATEGORIES, "*"):
                if (f"{action}:{b}", f"purchase:{a}") in seen:
                    continue
                estimate = float(rng.normal(0, 0.013) * rng.random() ** 2)
                se = float(np.exp(rng.normal(math.log(0.003), 0.5)))
                strong = abs(estimate) > 3 * se
                none = abs(estimate) + 2 * se < 0.005
                word = "strong" if strong and rng.random() < 0.6 else "suggestive" if strong else "cannot_tell"
                cell = {"std_error": se, "verdict": "none" if none else word}
                cell["estimate"] = None if rng.random() < 0.06 else estimate
                cell["verdict"] = cell["verdict"] if cell["estimate"] is not None else "cannot_tell"
                naive = float(estimate + abs(rng.normal(0.02, 0.015)))
                funnel = b == a and action != "search"
                named.append(effect_json(f"{action}:{b}", f"purchase:{a}", naive=naive, funnel=funnel, **cell))
    return named


TRUTHS = [
    ("view:books", "purchase:bags", -0.0195),
    ("search:shoes", "purchase:shoes", 0.045),
    ("favorite:cases", "purchase:bags", 0.0),
    ("view:phones", "purchase:cases", 0.031),
    ("favorite:shoes", "purchase:shoes", 0.066),
    ("view:boots", "purchase:shoes", -0.0172),
]


def _segment(attribute, value, estimate, half, n):
    ends = {"ci_low": estimate - half, "ci_high": estimate + half}
    return {"attribute": attribute, "value": value, "estimate": estimate, **ends, "n": n, "n_treated": n // 2}


def campaign_json(name, kind, *, naive, estimate, half, verdict, segments, uplift=None, policy=None):
    effect = {"estimand": "ato", "estimate": estimate, "ci_low": estimate - half, "ci_high": estimate + half}
    return {
        "campaign": name, "kind": kind, "effect": effect, "naive": {"difference": naive}, "verdict": verdict,
        "reasons": ["Arms are balanced.", "Every check passed."], "segments": segments, "also": [], "checks": {},
        "uplift": uplift or {"qini": None, "at": [], "refused": "No overlap."},
        "policy": policy or {"needed": "To say whom to send it to, it takes a budget."},
        "n_treated": 1_204, "n_control": 1_198, "outcome": "purchase:*", "horizon": "7d",
    }  # fmt: skip


def uplift_json():
    """An order that puts those first who gain: the gain is .09 share less .06 share squared."""

    def gain(share):
        return 0.09 * share - 0.06 * share**2

    at = [
        {
            "share": share, "effect": gain(share) / share, "effect_low": 0.0, "effect_high": 0.1, "gain": gain(share),
            "gain_low": gain(share) - 0.015 * share**0.5, "gain_high": gain(share) + 0.015 * share**0.5,
            "random": 0.03 * share,
        }
        for share in (k / 50 for k in range(1, 51))
    ]  # fmt: skip
    deciles = [
        {"decile": k + 1, "foretold": 0.08 - 0.011 * k, "effect": 0.085 - 0.012 * k + 0.01 * (k % 3),
         "ci_low": 0.025 - 0.012 * k, "ci_high": 0.145 - 0.012 * k}
        for k in range(10)
    ]  # fmt: skip
    average = {"estimate": 0.03, "ci_low": 0.012, "ci_high": 0.048}
    return {
        "qini": 0.01, "qini_low": 0.004, "qini_high": 0.016, "auuc": 0.025, "at": at, "deciles": deciles,
        "learner": "dr", "average": average, "calibration": {**average, "p_differs": 0.003}, "n_judging": 1_200,
        "sleeping_dogs": {"share": 0.12, "found": False, **average}, "assumption": "Randomized.",
        "revenue": {"average": {"estimate": 1.7, "ci_low": 0.4, "ci_high": 3.0}}, "refused": None,
    }  # fmt: skip


def policy_json():
    """What 500 of money, at 1 a letter, adds among 2,400 people."""
    curve = [
        {"budget": 120.0 * k, "gain": 10.8 * k - 0.36 * k**2, "gain_low": 6.0 * k - 0.36 * k**2,
         "gain_high": 15.0 * k - 0.36 * k**2, "random": 3.6 * k, "likeliest": 2.0 * k + 0.08 * k**2}
        for k in range(1, 21)
    ]  # fmt: skip
    tried = [("plan", 0.21, 500.0, 39.0), ("at random", 0.21, 500.0, 15.0), ("likeliest to buy", 0.21, 500.0, 9.7),
             ("everybody", 1.0, 2_400.0, 72.0), ("nobody", 0.0, 0.0, 0.0)]  # fmt: skip
    compared = [
        {"policy": name, "share_sent": share, "spent": spent, "total_estimate": total,
         "total_ci_low": total - 14 * (total > 0), "total_ci_high": total + 14 * (total > 0)}
        for name, share, spent, total in tried
    ]  # fmt: skip
    rule = {"words": ["age is young: send it (33% of people)"], "is_told": True}
    words = ["Send spring to 500 of 2,400 people, for 500.00 of 500.00."]
    return {"unit": "outcome", "budget": 500.0, "decision": words, "curve": curve, "compared": compared, "rule": rule}


def training_json():
    def twin(shift):
        losses = [3.1 * math.exp(-0.6 * k) + 1.9 + shift for k in range(6)]
        return [
            {
                "epoch": k + 1,
                "train": x,
                "validation": x - 0.4,
                "held_out": {"propensity": x - 1, "outcome": 0.6},
            }
            for k, x in enumerate(losses)
        ]

    sizes = {"parameters": 181_412, "n_events": 24_000, "n_users": 3_612, "n_behaviors": 42, "n_outcomes": 7}
    return {"twins": [twin(0.0), twin(0.06)], **sizes, "share_of_users": 1.0}


def calibration_json():
    def curve(name, kind, bend):
        said = [0.001 * 1.5**k for k in range(14)]
        happened = [p**bend for p in said]
        sizes = {"n": 14 * 500, "ece": 0.0042, "ece_repaired": 0.0042, "ece_by_chance": 0.004, "weight": [500] * 14}
        return {"name": name, "kind": kind, "predicted": said, "happened": happened, **sizes}

    return {"7d": [curve("view:shoes", "e", 1.02), curve("view:boots", "e", 0.98), curve("purchase:*", "m", 1.05)]}


def samples_json():
    def item(rank, title, category, lift):
        words = {"item_id": f"i{rank:03d}", "title": title, "category": category, "rank": rank, "basis": "impression"}
        ends = {"lift_low": None if lift is None else lift - 0.004, "lift_high": None if lift is None else lift + 0.004}
        reason = f"You viewed {category}; showing it adds purchases." if lift else "Never shown so far."
        return {**words, "lift": lift, **ends, "p_buy": 0.031, "reason": reason}

    shown = [item(1, "Trail boots, waterproof", "boots", 0.0121), item(2, "Leather tote", "bags", 0.0084)]
    users = ["u0017", "用户-42", "👟fan", "مستخدم٧"]
    history = ["view shoes", "search boots", "view boots ×3", "cart boots"]
    samples = [{"user_id": u, "history": history, "items": [*shown, item(3, "", "phones", None)]} for u in users]
    samples[1]["history"] = []
    return {"samples": samples}


def profiles_json():
    lines = [
        "Bought 3 times in 30 days, last 4 days ago.",
        "Likes boots and bags.",
        "Responds to: nothing that is sure.",
    ]
    stages = {"new": 812, "active": 1410, "loyal": 388, "slipping": 604, "lost": 398}
    return {"stages": stages, "examples": [{"user_id": u, "summary": lines} for u in ("u0017", "用户-42", "مستخدم٧")]}


def certificate_json():
    """Twenty pairs without and ten with an effect; co-occurrence is off by 3 points, one interval misses."""
    pairs = [
        MarkedPair(
            copy=1, marker=f"click:mark{k}", outcome="purchase:bags", kind=kind, like="view:shoes", frequency=0.1,
            explained=0.05, n_treated=900, naive=truth + 0.03, estimate=truth + error, std_error=0.004,
            ci_low=truth + error - 0.008, ci_high=truth + error + 0.008, truth=truth, truth_error=0.0, verdict="none",
        )
        for k in range(30)
        for kind, truth in [("null", 0.0) if k < 20 else ("non-null", 0.02)]
        for error in [0.009 if k == 3 else 0.001]
    ]  # fmt: skip
    return Certificate(horizon="7d", pairs=tuple(pairs), notes=("30 pairs instead of 200.",)).to_json()


def opinion_json():
    """Three pairs: all agree, PC and Granger each differ, nothing can be told."""

    def number(estimate, q_value=None):
        ends = {"ci_low": estimate - 0.1, "ci_high": estimate + 0.1}
        return {"estimand": "x", "estimate": estimate, "std_error": 0.05, **ends, "q_value": q_value}

    def pair(names, verdict, arrow, sign, why):
        treatment, outcome = names
        agree = None if verdict == "cannot_tell" else not why
        influence = (
            None if sign is None else number({"+": 0.4, "-": -0.3, "0": 0.01}[sign], 0.5 if sign == "0" else 0.01)
        )
        return {
            "treatment": treatment, "outcome": outcome, "verdict": verdict, "effect": number(0.03), "arrow": arrow,
            "influence": influence, "sign": sign, "pc_agrees": agree, "granger_agrees": agree, "why": why,
        }  # fmt: skip

    pairs = [
        pair(("view:phones", "purchase:cases"), "strong", "->", "+", []),
        pair(
            ("view:boots", "purchase:shoes"),
            "strong",
            "",
            "-",
            ["PC has no edge: it asks.", "Granger has another sign."],
        ),
        pair(("view:books", "purchase:bags"), "cannot_tell", None, None, []),
    ]
    sizes = {"n_users": 3_612, "n_moments": 23_100, "n_rows": 3_000}
    behaviors = ["view:phones", "view:boots", "view:books", "purchase:cases", "purchase:shoes", "purchase:bags"]
    return {"horizon": "7d", "pairs": pairs, "behaviors": behaviors, "left_out": ["purchase:*"], **sizes}


def write_workspace(root: Path) -> Path:
    rng = np.random.default_rng(7)
    times = START_MS + rng.integers(0, 30 * DAY_MS, 24_000)
    write_shard(root, np.sort(times), rng.choice(list(ACTIONS), 24_000, p=list(ACTIONS.values())))
    write_json(root / "events" / "quality.json", quality_json())
    write_json(root / "model" / "training.json", training_json())
    write_json(root / "confirm" / "effects.json", {"effects": shop_effects(rng)})
    spring = [_segment("age", "young", 0.081, 0.03, 800), _segment("age", "middle", 0.004, 0.03, 802)]
    spring.append(_segment("age", "old", -0.006, 0.031, 800))
    campaigns = [
        campaign_json(
            "spring",
            "randomized",
            naive=0.027,
            estimate=0.026,
            half=0.018,
            verdict="strong",
            segments=spring,
            uplift=uplift_json(),
            policy=policy_json(),
        ),
        campaign_json("vip", "targeted", naive=0.148, estimate=0.003, half=0.02, verdict="cannot_tell", segments=[]),
    ]
    write_json(root / "scan" / "calibration.json", calibration_json())
    write_json(root / "campaign" / "campaigns.json", {"campaigns": campaigns})
    write_json(root / "recommend" / "samples.json", samples_json())
    write_json(root / "profile" / "summary.json", profiles_json())
    write_json(root / "report" / "second_opinion.json", opinion_json())
    write_json(root / "certificate" / "certificate.json", certificate_json())
    truths = [{"treatment": b, "outcome": a, "truth": t, "std_error": 0.0004, "kind": ""} for b, a, t in TRUTHS]
    write_json(root / "truth.json", truths)
    return root


@pytest.fixture
def effect():
    """The function that writes one effect in the contract's shape."""
    return effect_json


@pytest.fixture
def put():
    """The function that writes a JSON file of the workspace."""
    return write_json


@pytest.fixture
def put_shard():
    """The function that writes one shard of times and actions."""
    return write_shard


@pytest.fixture
def workspace(tmp_path):
    return write_workspace(tmp_path / "ws")


@pytest.fixture(scope="session")
def whole():
    """The payload of the workspace, for tests that only look."""
    with TemporaryDirectory() as folder:
        return collect(write_workspace(Path(folder)))
