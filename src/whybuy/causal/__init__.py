"""From the trained model to causal answers: trials, nuisance, scan, confirmation, checks, verdict, graph."""

from importlib.util import find_spec

DISCOVERY_PACKAGES = {"causallearn": "causal-learn", "statsmodels": "statsmodels"}
"""Modules of the extra ``discovery``, and what their packages are called."""


def missing_for_discovery() -> str | None:
    """Return a package that a second opinion needs and that is not installed, None where all are; loads nothing."""
    return next((package for module, package in DISCOVERY_PACKAGES.items() if find_spec(module) is None), None)
