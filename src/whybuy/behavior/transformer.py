"""The trunk: a causal Transformer over packed rows of events, aware of order and of time.

Pre-norm blocks with ``scaled_dot_product_attention``. Half of every head's channels are rotated by the order of events
and half by their times, so that a query meets a key by how many events *and* how many minutes, hours or days lie
between (rotary embedding, RoFormer, 2021, equation 34, with a second clock). Rotation needs no matrix of biases, so it
costs the same on long rows, and a cache of keys stays valid as events arrive one at a time.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SHORTEST_PERIOD_S, _LONGEST_PERIOD_S = 600.0, 180 * 86_400.0


@dataclass(frozen=True)
class TrunkShape:
    """Sizes of the trunk.

    Attributes
    ----------
    width : channels of a state
    depth : blocks
    heads : attention heads; ``width / heads`` is divisible by 4
    dropout : share of channels dropped in training
    time_aware : whether half of the rotations go by time; otherwise all go by order
    """

    width: int = 64
    depth: int = 2
    heads: int = 2
    dropout: float = 0.1
    time_aware: bool = True


@dataclass(frozen=True)
class Cache:
    """Keys and values of the events read so far, (rows, heads, events, width / heads) per block."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


class Block(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.dropout = nn.Dropout(shape.dropout)
        self.norm_attention = nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_forward = nn.RMSNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None, past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the states (rows, T, width) and this block's keys and values, ``past`` included."""
        rows, length, width = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(rows, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (rows, heads, T, width / heads)
        q, k = _rotate(q, *turn), _rotate(k, *turn)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(rows, length, width)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm_forward(x))))), (k, v)


class Trunk(nn.Module):
    """Blocks over packed rows."""

    order_rate: Tensor
    time_rate: Tensor

    def __init__(self, shape: TrunkShape) -> None:
        super().__init__()
        self.shape = shape
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.RMSNorm(shape.width)
        pairs = shape.width // shape.heads // 2
        by_time = pairs // 2 if shape.time_aware else 0
        by_order = pairs - by_time
        order = 10_000 ** (-torch.arange(by_order) / max(by_order, 1))
        span = math.log(_LONGEST_PERIOD_S / _SHORTEST_PERIOD_S)
        period = _SHORTEST_PERIOD_S * torch.exp(span * torch.arange(by_time) / max(by_time - 1, 1))
        self.register_buffer("order_rate", order, persistent=False)
        self.register_buffer("time_rate", 2 * math.pi / period.double(), persistent=False)

    def forward(self, x: Tensor, place: Tensor, seconds: Tensor, segment: Tensor) -> Tensor:
        """Return (rows, T, width) states.

        Parameters
        ----------
        x : (rows, T, width) embedded tokens
        place : (rows, T) order within the window
        seconds : (rows, T) float64 time
        segment : (rows, T) window of every position; positions see their own window only
        """
        length = x.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        mask = (segment[:, :, None] == segment[:, None, :]) & causal
        turn = self.turn(place, seconds, x.dtype)
        for block in self.blocks:
            x, _ = block(x, turn, mask[:, None])
        normed: Tensor = self.norm(x)
        return normed

    def step(self, x: Tensor, place: Tensor, seconds: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        """Read (rows, T, width) further tokens of one user a row; return their states and the grown cache."""
        before = cache.keys[0].shape[2] if cache is not None else 0
        length = x.shape[1]
        mask = torch.ones(length, before + length, dtype=torch.bool, device=x.device).tril(before)
        turn = self.turn(place, seconds, x.dtype)
        keys, values = [], []
        for number, block in enumerate(self.blocks):
            past = (cache.keys[number], cache.values[number]) if cache is not None else None
            x, (k, v) = block(x, turn, mask, past)
            keys.append(k)
            values.append(v)
        return self.norm(x), Cache(tuple(keys), tuple(values))

    def turn(self, place: Tensor, seconds: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return cosines and sines (rows, 1, T, width / heads / 2); times are taken in double precision."""
        by_order = place[..., None] * self.order_rate
        by_time = (seconds[..., None] * self.time_rate).remainder(2 * math.pi)
        angle = torch.cat([by_order, by_time.to(by_order.dtype)], dim=-1)[:, None]
        return torch.cos(angle).to(dtype), torch.sin(angle).to(dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
