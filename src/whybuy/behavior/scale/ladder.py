"""The shapes in which the behavior model grows, and what an event of training costs on each."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from whybuy.behavior.cost import StepSize, training_flops
from whybuy.behavior.model import ModelShape
from whybuy.behavior.scale.fit import Floats
from whybuy.behavior.transformer import TrunkShape


@dataclass(frozen=True)
class Ladder:
    """What an event of training costs along the shapes in which the model grows.

    Attributes
    ----------
    parameters : (k,) of the trunk, increasing
    flops : (k,) of training, per event
    """

    parameters: Floats
    flops: Floats

    @classmethod
    def of(
        cls, shape: ModelShape, step: StepSize, trunks: Iterable[TrunkShape], *, tokens_per_event: float
    ) -> "Ladder":
        """Count the arithmetic of ``trunks`` under the heads of ``shape``.

        Parameters
        ----------
        step : what a typical step reads
        tokens_per_event : more than one, as users have start tokens and long histories are read in windows that overlap
        """
        grown = sorted(trunks, key=trunk_parameters)
        per_token = [training_flops(replace(shape, trunk=t), step) / (step.rows * step.length) for t in grown]
        sizes = np.array([trunk_parameters(trunk) for trunk in grown], float)
        return cls(sizes, tokens_per_event * np.array(per_token))

    def of_size(self, parameters: npt.ArrayLike) -> Floats:
        """Return the operations per event of trunks of this size, between the ladder's by a smooth monotone curve."""
        curve = PchipInterpolator(np.log(self.parameters), np.log(self.flops))
        found: Floats = np.exp(curve(np.log(np.asarray(parameters, float))))
        return found


def trunk_parameters(trunk: TrunkShape) -> int:
    """Return the parameters of a trunk: twelve squares of the width a block, and the norms."""
    return trunk.depth * (12 * trunk.width**2 + 2 * trunk.width) + trunk.width
