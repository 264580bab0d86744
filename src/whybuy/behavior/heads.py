"""The heads: what a state is asked.

- :class:`NuisanceHead`, read before a moment at its known time: P(the moment is behavior b) for every b and
  P(outcome a in (ts, ts + horizon]) for every a, once among moments that are not a itself (trials for a), once among
  all moments.
- :class:`NextEventHead`, read from the same place: the next event factorized and normalized,
  P(gap) P(action | gap) P(category | action, gap) P(item | category, action, gap).
- :class:`ForecastHead`, read after a moment: chance, expected count and expected spend from now on. Never a nuisance.

The first two also read windowed counts: what a count says need not be learned from events.

Moments can hold several events (basket lines), so the nuisance head answers with one sigmoid per behavior; the next
event's head is taught every line with the weight of its share in the moment.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from whybuy.behavior.batch import Labels
from whybuy.behavior.recent import N_RECENT
from whybuy.behavior.tokens import GAP_BINS
from whybuy.columns import ACTIONS

_WIDE_LIMIT = 6.0
_WITHOUT_COUNTS = 0.5
"""Share of moments whose next event is learned from events alone; none where nothing is dropped in training."""
_MOST_LOG_COUNT = 8.0


class Counts(nn.Module):
    """Windowed counts on one scale."""

    mean: Tensor
    sd: Tensor

    def __init__(self, n_wide: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_wide))
        self.register_buffer("sd", torch.ones(n_wide))

    def standardize(self, mean: Tensor, sd: Tensor) -> None:
        """Set the scale; a constant feature is left alone."""
        self.mean.copy_(mean)
        self.sd.copy_(torch.where(sd > 1e-4, sd, torch.ones_like(sd)))

    def forward(self, wide: Tensor) -> Tensor:
        """Return (n, n_wide) standardized features of history, their outliers cut."""
        return ((wide - self.mean) / self.sd).clamp(-_WIDE_LIMIT, _WIDE_LIMIT)


class NuisanceHead(nn.Module):
    """Propensities and outcomes before a moment."""

    def __init__(self, width: int, n_behaviors: int, n_outcomes: int, n_wide: int, dropout: float) -> None:
        super().__init__()
        self.n_behaviors, self.n_outcomes = n_behaviors, n_outcomes
        n_out = n_behaviors + 2 * n_outcomes
        self.dropout = nn.Dropout(dropout)
        self.read_wide = nn.Linear(n_wide, width)
        self.read = nn.Sequential(nn.Linear(3 * width, 2 * width), nn.GELU(), nn.Dropout(dropout))
        self.out = nn.Linear(2 * width, n_out)
        self.wide = nn.Linear(n_wide, n_out, bias=False)
        nn.init.zeros_(self.wide.weight)

    def start_from_rates(self, rates: Tensor) -> None:
        """Start from the marginal model: the biases are the logits of base rates."""
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.copy_(torch.logit(rates, eps=1e-5))

    def forward(self, state: Tensor, now: Tensor, counts: Tensor) -> Tensor:
        """Return (n, B + 2 A) logits; ``counts`` as :class:`Counts` gives them."""
        read = self.read(torch.cat([state, now, self.read_wide(self.dropout(counts))], dim=-1))
        logits: Tensor = self.out(read) + self.wide(counts)
        return logits

    def losses(self, logits: Tensor, labels: Labels) -> tuple[Tensor, Tensor, Tensor]:
        """Return summed losses of propensities, outcomes in trials, outcomes anywhere."""
        B, A = self.n_behaviors, self.n_outcomes
        return (
            _bce(logits[:, :B], labels.behavior),
            _bce(logits[:, B : B + A], labels.outcome, labels.followed * labels.in_trial),
            _bce(logits[:, B + A :], labels.outcome, labels.followed),
        )


class ForecastHead(nn.Module):
    """Chance, count and spend from now on."""

    spend_scale: Tensor

    def __init__(self, width: int, n_outcomes: int, n_horizons: int) -> None:
        super().__init__()
        self.n_outcomes, self.n_horizons = n_outcomes, n_horizons
        self.read = nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.out = nn.Linear(width, 2 * n_outcomes + n_horizons)
        self.register_buffer("spend_scale", torch.ones(n_horizons))

    def start_from_rates(self, chance: Tensor, count: Tensor, spend: Tensor) -> None:
        """Start from the marginal model."""
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.spend_scale.copy_(spend.clamp(min=1e-6))
            start = [torch.logit(chance, eps=1e-5), torch.log(count.clamp(min=1e-5)), torch.zeros(self.n_horizons)]
            self.out.bias.copy_(torch.cat(start))

    def forward(self, state: Tensor) -> Tensor:
        """Return (n, A + A + horizons): logits of chances, logs of expected counts, logs of expected scaled spend."""
        out: Tensor = self.out(self.read(state))
        return out

    def expected(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return chances (n, A), expected counts (n, A) and expected spend (n, horizons)."""
        A = self.n_outcomes
        chance, log_count, log_spend = out[:, :A], out[:, A : 2 * A], out[:, 2 * A :]
        return torch.sigmoid(chance), _rate(log_count), _rate(log_spend) * self.spend_scale

    def losses(self, out: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """Return summed losses of chances, and of counts and spend (quasi-Poisson: right in the mean)."""
        A = self.n_outcomes
        chance = _bce(out[:, :A], (labels.count > 0).float(), labels.counted)
        count = _poisson(out[:, A : 2 * A], labels.count, labels.counted)
        spend = _poisson(out[:, 2 * A :], labels.spend / self.spend_scale, labels.spent)
        return chance, count + spend


class ReturnTo(nn.Module):
    """How much likelier each of the recent things is for being recent: it starts from "not at all"."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = nn.Linear(2 * width, N_RECENT)
        self.given_action = nn.Embedding(len(ACTIONS), N_RECENT)
        for weight in (self.read.weight, self.read.bias, self.given_action.weight):
            nn.init.zeros_(weight)

    def forward(self, hidden: Tensor, action: Tensor, recent: Tensor) -> Tensor:
        """Return (..., N_RECENT) what is added to the logits of ``recent``; nothing where there is none."""
        added: Tensor = (self.read(hidden) + self.given_action(action)) * (recent >= 0)
        return added


def add_recent(logits: Tensor, recent: Tensor, added: Tensor) -> Tensor:
    """Add (..., N_RECENT) ``added`` to the columns ``recent`` of (..., classes) logits."""
    return logits.scatter_add(-1, recent.clamp(min=0).expand_as(added), added)


class NextEventHead(nn.Module):
    """The next event: gap, then action, then category, then item."""

    item_rate: Tensor

    def __init__(self, width: int, n_items: int, n_categories: int, n_wide: int, dropout: float) -> None:
        super().__init__()
        self.without = _WITHOUT_COUNTS if dropout else 0.0
        self.n_items, self.n_categories = n_items, n_categories
        self.read_wide = nn.Linear(n_wide, width, bias=False) if n_wide else None
        if self.read_wide is not None:
            nn.init.zeros_(self.read_wide.weight)
        self.gap = nn.Linear(width, GAP_BINS)
        self.read = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.GELU())
        self.of_read = nn.Linear(2 * width, width)
        self.action = nn.Linear(2 * width, len(ACTIONS))
        self.given_action = nn.Embedding(len(ACTIONS), width)
        self.to_category = nn.Linear(width, width)
        self.to_item = nn.Linear(width, width)
        self.return_to_category = ReturnTo(width)
        self.return_to_item = ReturnTo(width)
        self.none = nn.Parameter(torch.zeros(2, width))
        self.category_bias = nn.Parameter(torch.zeros(n_categories + 1))
        self.item_bias = nn.Parameter(torch.zeros(n_items + 1))
        self.register_buffer("item_rate", torch.full((n_items + 1,), 1.0 / (n_items + 1)))
        nn.init.normal_(self.given_action.weight, std=0.5 / width**0.5)

    def start_from_rates(self, action: Tensor, category: Tensor, item: Tensor) -> None:
        """Start from the marginal model; ``item`` rates are also those that negatives are drawn by."""
        with torch.no_grad():
            self.action.weight.mul_(0.1)
            self.action.bias.copy_(torch.log(action))
            self.category_bias.copy_(torch.log(category))
            self.item_bias.copy_(torch.log(item))
            self.item_rate.copy_(item)

    def hidden(self, state: Tensor, now: Tensor, counts: Tensor) -> Tensor:
        """Return (n, 2 width) from states before moments, the embedding of their times, and the counts of history."""
        if self.read_wide is not None:
            read = self.read_wide(counts)
            if self.training and self.without:  # the states must learn to do without counts, too
                read = read * (torch.rand(len(read), 1, device=read.device) >= self.without)
            now = now + read
        hidden: Tensor = self.read(torch.cat([state, now], dim=-1))
        return hidden

    def category_query(self, hidden: Tensor, action: Tensor) -> Tensor:
        """Return (..., width): what the category of an event of this action is scored with."""
        query: Tensor = self.to_category(self.of_read(hidden) + self.given_action(action))
        return query

    def item_query(self, hidden: Tensor, action: Tensor) -> Tensor:
        """Return (..., width): what the item of an event of this action is scored with."""
        query: Tensor = self.to_item(self.of_read(hidden) + self.given_action(action))
        return query


def _rate(log_rate: Tensor) -> Tensor:
    return torch.exp(log_rate.clamp(max=_MOST_LOG_COUNT))


def _bce(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, weight=mask, reduction="sum")


def _poisson(log_rate: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Poisson loss less what no rate can change, so that a perfect rate of a constant target loses nothing."""
    loss = _rate(log_rate) - target * log_rate - target + torch.special.xlogy(target, target)
    return (loss * mask).sum()
