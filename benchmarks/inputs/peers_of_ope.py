"""obp's estimators by our names, for the benchmark and the test that hold ours against them."""

import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from obp import ope


def peers(limit: float) -> dict[str, Any]:
    """Return the estimators of single items; switching happens at a weight of ``limit``."""
    return {
        "ips": ope.InverseProbabilityWeighting(),
        "snips": ope.SelfNormalizedInverseProbabilityWeighting(),
        "dm": ope.DirectMethod(),
        "dr": ope.DoublyRobust(),
        "sndr": ope.SelfNormalizedDoublyRobust(),
        "switch": ope.SwitchDoublyRobust(tau=limit),
    }
