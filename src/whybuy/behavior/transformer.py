"""A causal Transformer over events, read before a moment at the moment's known time.

The trunk (pre-norm, rotary positions, ``scaled_dot_product_attention``) turns the events up to j into a state. Three
heads read it:

- *propensity*: P(the next moment is behavior b), for every b, from the state **before** the moment, its time, and the
  windowed counts before it (a wide part beside the deep one: what a count says need not be learned from events);
- *outcome*: P(outcome a in (ts, ts + horizon]) from the same place; once among moments that are not a itself
  (trials for a), once among all moments (a further a after an a);
- *forecast*: P(a within the horizon) from the state **after** the moment: what-if and profiles, never a nuisance.

Moments can hold several events (basket lines), so behaviors are sigmoids, not one softmax. No user-id embedding: the
model has to explain a person by what is logged.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whybuy.columns import ACTIONS

GAP_BINS = 32
HOURS_OF_WEEK = 168
_WIDE_LIMIT = 6.0


@dataclass(frozen=True)
class ModelShape:
    """The sizes of one behavior model.

    Attributes
    ----------
    n_items, n_categories, n_prices, n_exposures : embedding rows (0 stands for none)
    attribute_levels : levels of each user attribute, the unknown one included
    n_behaviors, n_outcomes : outputs; outcomes counts behaviors x horizons
    n_wide : windowed counts and other features of history read beside the state
    """

    n_items: int
    n_categories: int
    n_prices: int
    n_exposures: int
    attribute_levels: tuple[int, ...]
    n_behaviors: int
    n_outcomes: int
    n_wide: int
    width: int = 64
    depth: int = 2
    heads: int = 4
    dropout: float = 0.1


@dataclass
class EventBatch:
    """Padded rows of events; every tensor is (rows, length) of int64 unless said.

    ``attributes`` is (rows, n_attributes). Padding lies behind the events, where a causal model cannot see it.
    """

    action: Tensor
    item: Tensor
    category: Tensor
    price: Tensor
    gap: Tensor
    hour: Tensor
    exposure: Tensor
    attributes: Tensor


@dataclass
class ReadingTime:
    """What is known of a moment besides the events before it: (n,) gap bin and hour of week, (n, n_wide) features."""

    gap: Tensor
    hour: Tensor
    wide: Tensor


class Block(nn.Module):
    """Pre-norm attention and gated feed-forward."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = nn.Dropout(dropout)
        self.norm_attention = nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_forward = nn.RMSNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return (rows, T, D)."""
        rows, length, width = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(rows, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (rows, heads, T, D / heads)
        mixed = F.scaled_dot_product_attention(_rotate(q, cos, sin), _rotate(k, cos, sin), v, is_causal=True)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(rows, length, width)))
        hidden = self.up(self.norm_forward(x))
        return x + self.dropout(self.down(F.gelu(hidden)))


class BehaviorTransformer(nn.Module):
    """The trunk and its heads."""

    wide_mean: Tensor
    wide_sd: Tensor

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.action = nn.Embedding(len(ACTIONS), width)
        self.item = nn.Embedding(shape.n_items, width)
        self.category = nn.Embedding(shape.n_categories, width)
        self.price = nn.Embedding(shape.n_prices, width)
        self.gap = nn.Embedding(GAP_BINS, width)
        self.hour = nn.Embedding(HOURS_OF_WEEK, width)
        self.exposure = nn.Embedding(shape.n_exposures, width)
        self.attributes = nn.ModuleList(nn.Embedding(levels, width) for levels in shape.attribute_levels)
        self.start = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(Block(width, shape.heads, shape.dropout) for _ in range(shape.depth))
        self.norm = nn.RMSNorm(width)
        self.dropout = nn.Dropout(shape.dropout)
        self.register_buffer("wide_mean", torch.zeros(shape.n_wide))
        self.register_buffer("wide_sd", torch.ones(shape.n_wide))
        self.read_wide = nn.Linear(shape.n_wide, width)
        self.wide = nn.Linear(shape.n_wide, shape.n_behaviors + 2 * shape.n_outcomes, bias=False)
        nn.init.zeros_(self.wide.weight)
        self.read_time = nn.Sequential(nn.Linear(4 * width, 2 * width), nn.GELU(), nn.Dropout(shape.dropout))
        self.nuisance = nn.Linear(2 * width, shape.n_behaviors + 2 * shape.n_outcomes)
        self.read_now = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Dropout(shape.dropout))
        self.forecast = nn.Linear(width, shape.n_outcomes)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.5 / width**0.5)

    def start_from_rates(self, nuisance: Tensor, forecast: Tensor) -> None:
        """Set the heads' biases to the logits of base rates, so that training starts from the marginal model."""
        with torch.no_grad():
            self.nuisance.weight.mul_(0.1)
            self.forecast.weight.mul_(0.1)
            self.nuisance.bias.copy_(torch.logit(nuisance, eps=1e-5))
            self.forecast.bias.copy_(torch.logit(forecast, eps=1e-5))

    def person(self, batch: EventBatch) -> Tensor:
        """Return (rows, 1, D): what is known of the user besides events."""
        total = self.start.expand(len(batch.action), -1)
        for column, embedding in enumerate(self.attributes):
            total = total + embedding(batch.attributes[:, column])
        return total[:, None]

    def states(self, batch: EventBatch) -> Tensor:
        """Return (rows, T + 1, D): the state before any event, then after each event."""
        events = (
            self.action(batch.action)
            + self.item(batch.item)
            + self.category(batch.category)
            + self.price(batch.price)
            + self.gap(batch.gap)
            + self.hour(batch.hour)
            + self.exposure(batch.exposure)
        )
        x = torch.cat([self.person(batch), self.dropout(events) + self.person(batch)], dim=1)
        cos, sin = _rotary(x.shape[1], self.shape.width // self.shape.heads)
        for block in self.blocks:
            x = block(x, cos, sin)
        normed: Tensor = self.norm(x)
        return normed

    def standardize(self, mean: Tensor, sd: Tensor) -> None:
        """Set the scale of the wide features; a constant feature is left alone."""
        self.wide_mean.copy_(mean)
        self.wide_sd.copy_(torch.where(sd > 1e-4, sd, torch.ones_like(sd)))

    def nuisance_logits(self, state: Tensor, person: Tensor, at: "ReadingTime") -> Tensor:
        """Return (n, n_behaviors + 2 n_outcomes) from (n, D) states before moments and what is known at their times."""
        wide = ((at.wide - self.wide_mean) / self.wide_sd).clamp(-_WIDE_LIMIT, _WIDE_LIMIT)
        now = self.gap(at.gap) + self.hour(at.hour)
        read = self.read_time(torch.cat([state, person, now, self.read_wide(self.dropout(wide))], dim=-1))
        logits: Tensor = self.nuisance(read) + self.wide(wide)
        return logits

    def forecast_logits(self, state: Tensor, person: Tensor) -> Tensor:
        """Return (n, n_outcomes) from (n, D) states after moments."""
        logits: Tensor = self.forecast(self.read_now(torch.cat([state, person], dim=-1)))
        return logits


def _rotary(length: int, size: int) -> tuple[Tensor, Tensor]:
    """Rotary position embedding (RoFormer, 2021, equation 34)."""
    frequency = 10_000 ** (-torch.arange(0, size, 2) / size)
    angle = torch.arange(length)[:, None] * frequency
    return torch.cos(angle), torch.sin(angle)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
