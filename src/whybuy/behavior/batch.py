"""What one step of training or reading needs, as tensors; not frozen, because Fabric rebuilds them in its precision."""

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


@dataclass
class Stream:
    """Packed tokens, (rows, columns) each; ``small`` is (rows, columns, f).

    ``seconds`` is float64 and counts from each window's first event; ``segment`` is -1 for padding.
    """

    small: Tensor
    entity: Tensor
    text: Tensor
    place: Tensor
    seconds: Tensor
    segment: Tensor


@dataclass
class Moment:
    """(n,) moments to be read: flat positions of the states before and after, and what is known at their times.

    ``gap`` and ``hour`` are rows of the small fields; ``wide`` is (n, n_wide) features of history; ``recent_item`` and
    ``recent_category`` are (n, N_RECENT) codes, the latest first, -1 where there are fewer.
    """

    before: Tensor
    after: Tensor
    gap: Tensor
    hour: Tensor
    wide: Tensor
    recent_item: Tensor
    recent_category: Tensor


@dataclass
class Labels:
    """What the moments turned out to be; masks are floats of 0 and 1.

    Attributes
    ----------
    behavior : (n, B)
    outcome, in_trial, followed : (n, A x horizons)
    count, counted : (n, A x forecast horizons)
    spend, spent : (n, forecast horizons)
    gap_bin : (n,) bin of the gap, -1 for a user's first moment
    event_moment : (m,) which of the moments each event belongs to
    event_weight : (m,) one over the events of its moment
    action, category, item : (m,) of the events; the last class is "none"
    """

    behavior: Tensor
    outcome: Tensor
    in_trial: Tensor
    followed: Tensor
    count: Tensor
    counted: Tensor
    spend: Tensor
    spent: Tensor
    gap_bin: Tensor
    event_moment: Tensor
    event_weight: Tensor
    action: Tensor
    category: Tensor
    item: Tensor


@dataclass
class Batch:
    """One packed batch."""

    stream: Stream
    moment: Moment
    labels: Labels

    def to(self, device: Any) -> "Batch":
        """Return the batch on a device."""
        return Batch(_moved(self.stream, device), _moved(self.moment, device), _moved(self.labels, device))


def _moved(part: Any, device: Any) -> Any:
    return type(part)(**{f.name: getattr(part, f.name).to(device) for f in fields(part)})
