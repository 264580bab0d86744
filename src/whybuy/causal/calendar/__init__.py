"""The calendar design: landmarks on a grid with washout, for what takes hold slowly."""

from whybuy.causal.calendar.answer import DESIGN, asked_of, calendar_effect
from whybuy.causal.calendar.grid import Grid
from whybuy.causal.calendar.landmarks import Asked, LandmarkTable, draw

__all__ = ["DESIGN", "Asked", "Grid", "LandmarkTable", "asked_of", "calendar_effect", "draw"]
