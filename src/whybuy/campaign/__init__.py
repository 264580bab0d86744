"""Campaigns: what being sent one changes, with the plain comparison beside it."""

from whybuy.campaign.analyze import analyze_campaign, analyze_campaigns
from whybuy.campaign.result import CampaignResult, SegmentEffect, campaigns_frame, campaigns_summary

__all__ = [
    "CampaignResult",
    "SegmentEffect",
    "analyze_campaign",
    "analyze_campaigns",
    "campaigns_frame",
    "campaigns_summary",
]
