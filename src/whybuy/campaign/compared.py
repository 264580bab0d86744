"""The people a campaign was judged by, with what every further question about it needs."""

from dataclasses import dataclass

from whybuy.campaign.compare import Comparison
from whybuy.campaign.exposures import Exposures
from whybuy.campaign.history import Bools
from whybuy.campaign.joint import Joint


@dataclass(frozen=True)
class Compared:
    """A comparison and what came of it.

    Attributes
    ----------
    outcome : (n,) what the campaign was judged by
    exposures : other campaigns that reached these people
    joint : those of the window
    """

    comparison: Comparison
    outcome: Bools
    exposures: Exposures
    joint: Joint
