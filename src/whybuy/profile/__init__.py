"""Profiles: what every user did, likes and is worth, each fact with its evidence."""

from whybuy.profile.build import build_profiles
from whybuy.profile.result import Favorite, Profile
from whybuy.profile.store import profile_of, profile_summary

__all__ = ["Favorite", "Profile", "build_profiles", "profile_of", "profile_summary"]
