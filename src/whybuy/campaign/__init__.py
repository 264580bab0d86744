"""Campaigns: what being sent one changes, whom it moves, whom to send it to; the plain comparison beside it."""

from whybuy.campaign.analyze import analyze_campaign, analyze_campaigns
from whybuy.campaign.by_person import ByPerson
from whybuy.campaign.policy import Policy
from whybuy.campaign.portfolio import Portfolio, plan_campaigns
from whybuy.campaign.result import CampaignResult, SegmentEffect, campaigns_frame, campaigns_summary
from whybuy.campaign.terms import Asked

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
