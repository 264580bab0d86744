"""What the perceptron of :mod:`whybuy.behavior.baselines.mlp` has to say, in numbers, words and a figure."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from whybuy.behavior.baselines.judged import Judged, Measure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LAYERS = (64, 32, 1)

FEATURES = {
    "recency": "log(1 + hours) since the event before the moment; 60 days where there is none",
    "purchase recency": "log(1 + hours) since the last purchase; 60 days where there is none",
    "views": "log(1 + number of views) in 7 days",
    "searches": "log(1 + number of searches) in 7 days",
    "favorites": "log(1 + number of favorites) in 7 days",
    "carts": "log(1 + number of additions to the cart) in 7 days",
    "purchases": "log(1 + number of purchases) in 30 days",
    "spend": "log(1 + money spent) in 30 days; 0 where the log has no prices",
    "sessions": "log(1 + number of sessions, cut at gaps) with an event in 7 days",
    "hour": "hour of the day of the moment, UTC",
}
"""What the perceptron sees of a moment, in the order of its inputs."""


@dataclass(frozen=True)
class Epoch:
    """Binary cross-entropy and accuracy over one pass of the training moments, as Keras reports them."""

    epoch: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class MlpResult:
    """How well the perceptron predicts purchases of users that it was not trained on.

    Attributes
    ----------
    horizon : as in "7d"
    backend : of Keras
    n_train, n_test, n_train_users, n_test_users : moments and users
    n_without_follow_up : decisions left out because the log ends within their horizon
    share_of_moments : the part of the others that was used
    epochs : of the training
    loss : binary cross-entropy on the test moments, as Keras reports it
    judged : the test moments beside knowing nothing
    """

    horizon: str
    backend: str
    n_train: int
    n_test: int
    n_train_users: int
    n_test_users: int
    n_without_follow_up: int
    share_of_moments: float
    epochs: tuple[Epoch, ...]
    loss: float
    judged: Judged

    @property
    def misses(self) -> tuple[str, ...]:
        """What it misses, in words."""
        j, over, gain = self.judged, self.judged.over_always, self.judged.gain
        by_heart = "" if gain.ci_low > 0 else ": ten passes without a held-out set learn few users by heart"
        return (
            f"Its accuracy of {j.accuracy.estimate:.1%} is {_compared(over)} than the {j.always_accuracy:.1%} of "
            f"always answering {'yes' if j.base_rate > 0.5 else 'no'} ({over.estimate:+.2%} [{over.ci_low:+.2%}, "
            f"{over.ci_high:+.2%}]), since a purchase follows {j.base_rate:.1%} of the moments it learnt from.",
            f"Its log-loss of {j.log_loss.estimate:.4f} is {_compared(gain)} than the {j.base_log_loss:.4f} of always "
            f"predicting that base rate (a gain of {gain.estimate:+.4f} [{gain.ci_low:+.4f}, {gain.ci_high:+.4f}] "
            f"nats){by_heart}.",
            "It sees counts and two times, not the order of events: a cart filled before or after a view is the same.",
            "It sees no items and no categories: it cannot say what will be bought, nor what to show.",
            "It adjusts for nothing: that buyers fill carts does not say what a filled cart adds; "
            "`whybuy effects` answers that.",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON; :meth:`from_json` reads it back."""
        own = asdict(self)
        del own["judged"]
        return {
            "model": "mlp",
            "layers": list(LAYERS),
            "features": [{"name": name, "meaning": meaning} for name, meaning in FEATURES.items()],
            **own,
            "epochs": [asdict(epoch) for epoch in self.epochs],
            **self.judged.to_json(),
            "misses": list(self.misses),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """Return the result that :meth:`to_json` wrote."""
        known = {name: raw[name] for name in cls.__dataclass_fields__ if name != "judged"}
        known["epochs"] = tuple(Epoch(**epoch) for epoch in raw["epochs"])
        return cls(**known, judged=Judged.from_json(raw))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per figure: measure, estimate, ci_low, ci_high, and what knowing nothing gives."""
        return self.judged.to_frame()

    def summary(self) -> str:
        """Return the figures in words, and what they miss."""
        j = self.judged
        part = "" if self.share_of_moments == 1 else f" (a random {self.share_of_moments:.1%} of the moments was drawn)"
        lines = [
            f"A purchase within {self.horizon}, predicted from {len(FEATURES)} features by a "
            f"{'-'.join(map(str, LAYERS))} perceptron ({self.backend}): trained on {self.n_train:,} moments of "
            f"{self.n_train_users:,} users, judged on {self.n_test:,} of {self.n_test_users:,} others{part}; "
            f"{self.n_without_follow_up:,} decisions without full follow-up are left out.",
            f"loss {self.loss:.4f}, accuracy {j.accuracy}, AUC {j.auc}",
            f"log-loss {j.log_loss} nats, that of the base rate {j.base_log_loss:.4f}: gain {j.gain}; "
            f"calibration error {j.calibration_error:.4f}",
            "What it misses:",
            *(f"- {text}" for text in self.misses),
        ]
        return "\n".join(lines)

    def plot(self) -> "Figure":
        """Return the calibration: the share that bought against the prediction, with intervals over users."""
        import plotly.graph_objects as go

        bins = self.judged.calibration
        shares = [one.observed for one in bins]
        most = max([one.predicted for one in bins] + [share.ci_high for share in shares])
        figure = go.Figure()
        line = {"dash": "dot", "width": 1}
        figure.add_scatter(x=[0, most], y=[0, most], mode="lines", name="calibrated", line=line, hoverinfo="skip")
        figure.add_scatter(
            x=[one.predicted for one in bins],
            y=[share.estimate for share in shares],
            error_y={
                "array": [share.ci_high - share.estimate for share in shares],
                "arrayminus": [share.estimate - share.ci_low for share in shares],
            },
            mode="markers",
            name="tenths of the test moments",
        )
        figure.update_layout(
            title=f"Calibration on {self.n_test_users:,} users not trained on",
            xaxis_title=f"predicted P(purchase within {self.horizon})",
            yaxis_title="share that bought, with 95% interval",
        )
        return figure


def _compared(gain: Measure) -> str:
    return "better" if gain.ci_low > 0 else "worse" if gain.ci_high < 0 else "no better"
