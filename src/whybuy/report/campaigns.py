"""From a workspace's campaigns to their part of the payload: effect, whom it moves, whom to send it to."""

from typing import Any

from whybuy.report.fields import clip, interval, lines, number
from whybuy.report.payload import Campaign, CampaignsPart, Curve, Missing, Segment, Sending, Tenth, Tried, Uplift

MAX_CAMPAIGNS, MAX_SEGMENTS = 20, 24


def campaigns_part(raw: Any, _: object = None) -> CampaignsPart:
    """Return the campaigns of ``campaigns.json``."""
    found = raw["campaigns"]
    return CampaignsPart(campaigns=tuple(_campaign(c) for c in found[:MAX_CAMPAIGNS]), n_campaigns=len(found))


def _campaign(raw: dict[str, Any]) -> Campaign:
    segments = raw.get("segments") or []
    return Campaign(
        campaign=clip(raw["campaign"]),
        kind=clip(raw["kind"]),
        outcome=clip(raw.get("outcome") or "purchase:*"),
        horizon=clip(raw.get("horizon") or "7d"),
        effect=interval(raw["effect"]),
        naive=number((raw.get("naive") or {}).get("difference")),
        verdict=clip(raw["verdict"]),
        reasons=lines(raw.get("reasons", ())),
        n_treated=raw.get("n_treated"),
        n_control=raw.get("n_control"),
        segments=tuple(
            Segment(attribute=clip(s["attribute"], 60), value=clip(s["value"], 60), effect=interval(s), n=s.get("n"))
            for s in segments[:MAX_SEGMENTS]
        ),
        n_segments=len(segments),
        uplift=_uplift(raw.get("uplift") or {}),
        sending=_sending(raw.get("policy") or {}),
    )


def _uplift(raw: dict[str, Any]) -> Uplift | Missing:
    if not raw.get("at"):
        return Missing(clip(raw.get("refused") or "Nobody asked whom it moves.", 400))
    dogs, revenue = raw["sleeping_dogs"], raw.get("revenue")
    return Uplift(
        curve=_curve(raw["at"], "share", "gain"),
        tenths=tuple(Tenth(foretold=t["foretold"], effect=interval(t, "effect")) for t in raw["deciles"]),
        qini=interval(raw, "qini", "qini_low", "qini_high"),
        auuc=number(raw["auuc"]),
        learner=clip(raw["learner"]),
        average=interval(raw["average"]),
        differs=raw["calibration"]["p_differs"],
        put_off=interval(dogs) if dogs["found"] else None,
        share_put_off=dogs["share"],
        revenue=None if revenue is None else interval(revenue["average"]),
        n_judging=raw["n_judging"],
        assumption=clip(raw["assumption"]),
    )


def _sending(raw: dict[str, Any]) -> Sending | Missing:
    if not raw.get("curve"):
        return Missing(clip(raw.get("needed") or raw.get("refused") or "Nobody asked whom to send it to.", 400))
    rule = raw.get("rule")
    return Sending(
        decision=lines(raw["decision"]),
        unit="money" if raw["unit"] == "money" else "outcome",
        budget=float(raw["budget"]),
        curve=_curve(raw["curve"], "budget", "gain"),
        likeliest=tuple(number(point["likeliest"]) for point in raw["curve"]),
        tried=tuple(
            Tried(
                name=clip(t["policy"]),
                share=t["share_sent"],
                spent=t["spent"],
                total=interval(t, "total_estimate", "total_ci_low", "total_ci_high"),
            )
            for t in raw["compared"]
        ),
        rule=lines(rule["words"]) if rule and rule["is_told"] else (),
    )


def _curve(points: list[dict[str, Any]], x: str, y: str) -> Curve:
    """Return a curve that begins at nothing."""

    def column(name: str) -> tuple[float | None, ...]:
        return (0.0, *(number(point[name]) for point in points))

    return Curve(
        x=column(x), estimate=column(y), low=column(f"{y}_low"), high=column(f"{y}_high"), random=column("random")
    )
