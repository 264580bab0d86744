"""Campaigns: what being sent one changes, whom it moves, whom to send it to; the plain comparison beside it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whybuy.campaign.analyze import analyze_campaign, analyze_campaigns
    from whybuy.campaign.asked import Asked
    from whybuy.campaign.by_person import ByPerson
    from whybuy.campaign.policy import Policy
    from whybuy.campaign.portfolio import Portfolio, plan_campaigns
    from whybuy.campaign.result import CampaignResult, SegmentEffect, campaigns_frame, campaigns_summary

_HOMES = {
    "Asked": "asked",
    "ByPerson": "by_person",
    "CampaignResult": "result",
    "Policy": "policy",
    "Portfolio": "portfolio",
    "SegmentEffect": "result",
    "analyze_campaign": "analyze",
    "analyze_campaigns": "analyze",
    "campaigns_frame": "result",
    "campaigns_summary": "result",
    "plan_campaigns": "portfolio",
}
"""Where each name is defined."""

__all__ = [
    "Asked",
    "ByPerson",
    "CampaignResult",
    "Policy",
    "Portfolio",
    "SegmentEffect",
    "analyze_campaign",
    "analyze_campaigns",
    "campaigns_frame",
    "campaigns_summary",
    "plan_campaigns",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for: what refuses a slip of the pen must not wait for the learners."""
    if name not in _HOMES:
        message = f"module 'whybuy.campaign' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"whybuy.campaign.{_HOMES[name]}"), name)
