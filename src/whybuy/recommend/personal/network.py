r"""The chance of buying, shown or not: states of people x vectors of items.

With s(u, t) the person's state, v_i the item's vector (its own part + what category, brand, price and company say) and
p(u, i, t) what happened between the two,

.. math:: \log \mu_0 = b_i + w \cdot p + s \cdot v_i + (A p) \cdot v'_i, \qquad
          \log \mu_1 = \log \mu_0 + \delta_i + d \cdot (1, s, p, features_i) + s \cdot (D v_i)

mu0 learns from what was not shown alone, mu1 adds what showing changes. The difference is held near nothing but an
item's own delta_i, because what showing does is simpler than what sells. Rates are rare, so the likelihood is
Poisson's, and every weight has a normal prior whose precision is written below: the fit is the maximum of the
posterior.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from whybuy.recommend.personal.trials import Trials

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Covariates = npt.NDArray[np.float32]

_WIDTH, _PAIR_WIDTH, _HIDDEN = 16, 8, 32
_PRECISION = {"own_vector": 30.0, "own_pair_vector": 30.0, "own_rate": 0.3, "own_change": 0.3, "change": 300.0}
_OTHER_PRECISION = 1.0
_FREE = ("rate.bias", "change_of_features.bias")
_EPOCHS, _LEARNING_RATE, _FASTER = 8, 5e-3, 4.0
_BATCH, _FEWEST_STEPS = 8192, 900
_ROWS_AT_ONCE = 200_000
_LEAST = float(np.log(1e-9))


class ItemParts(NamedTuple):
    """What a network says of every item by its features alone, (n_items, width) each."""

    vector: Tensor
    pair_vector: Tensor
    rate: Tensor
    change: Tensor


class Network(nn.Module):
    """The log rates of both arms.

    Parameters
    ----------
    n_state, n_features, n_pair : widths of a person's state, an item's features, and what is between the two
    n_items : of the catalog
    """

    def __init__(self, n_state: int, n_features: int, n_pair: int, n_items: int) -> None:
        super().__init__()
        self.widths = (n_state, n_features, n_pair, n_items)
        self.person = nn.Linear(n_state, _WIDTH)
        self.curved_person = nn.Sequential(nn.Linear(n_state, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _WIDTH))
        self.own_vector = nn.Embedding(n_items, _WIDTH)
        self.vector = nn.Linear(n_features, _WIDTH)
        self.between = nn.Linear(n_pair, _PAIR_WIDTH)
        self.curved_between = nn.Sequential(nn.Linear(n_pair, 2 * _PAIR_WIDTH), nn.ReLU())
        self.curved_between_out = nn.Linear(2 * _PAIR_WIDTH, _PAIR_WIDTH)
        self.own_pair_vector = nn.Embedding(n_items, _PAIR_WIDTH)
        self.pair_vector = nn.Linear(n_features, _PAIR_WIDTH)
        self.own_rate = nn.Embedding(n_items, 1)
        self.rate = nn.Linear(n_features, 1)
        self.rate_of_person = nn.Linear(n_state, 1, bias=False)
        self.rate_of_pair = nn.Linear(n_pair, 1, bias=False)
        self.own_change = nn.Embedding(n_items, 1)
        self.change_of_features = nn.Linear(n_features, 1)
        self.change_of_person = nn.Linear(n_state, 1, bias=False)
        self.change_of_pair = nn.Linear(n_pair, 1, bias=False)
        self.change_of_match = nn.Linear(_WIDTH, 1, bias=False)
        nn.init.normal_(self.own_vector.weight, std=0.01)
        for name, part in self.named_modules():
            if name in ("own_pair_vector", "own_rate", "own_change") or name.startswith(("rate", "change")):
                nn.init.zeros_(part.weight)

    def of_items(self, features: Tensor) -> ItemParts:
        """Return what the items' ``features`` (n_items, n_features) say."""
        return ItemParts(
            self.vector(features), self.pair_vector(features), self.rate(features), self.change_of_features(features)
        )

    def forward(
        self, state: Tensor, moment: Tensor, item: Tensor, parts: ItemParts, pair: Tensor
    ) -> tuple[Tensor, ...]:
        """Return (n,) log mu0, and (n,) what showing adds to it but for the item's own part.

        Parameters
        ----------
        state : (n_moments, n_state); moment : (n,) which of them; item : (n,)
        parts : of all items; pair : (n, n_pair)
        """
        person = (self.person(state) + self.curved_person(state))[moment]
        match = person * (self.own_vector(item) + parts.vector[item]) / 4
        between = self.between(pair) + self.curved_between_out(self.curved_between(pair))
        of_pair = between * (self.own_pair_vector(item) + parts.pair_vector[item]) / 4
        rate = self.own_rate(item) + parts.rate[item] + self.rate_of_person(state)[moment]
        log_mu0 = (rate + self.rate_of_pair(pair))[:, 0] + match.sum(dim=1) + of_pair.sum(dim=1)
        change = parts.change[item] + self.change_of_person(state)[moment]
        change = change + self.change_of_pair(pair) + self.change_of_match(match.detach())
        return log_mu0, change[:, 0]


@dataclass(frozen=True)
class Rates:
    """P(buy), (n,) each: not shown; and shown, if the item had no effect of its own."""

    not_shown: Floats
    shown: Floats


def taught(trials: Trials, rows: Ints, *, seed: int = 7) -> Network:
    """Return the network that the trials ``rows`` (n,) teach."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Network(trials.state.shape[1], trials.features.shape[1], trials.pair.shape[1], len(trials.features))
    y, weight = (torch.as_tensor(x[rows], dtype=torch.float32) for x in (trials.outcome, trials.weight))
    shown = torch.as_tensor(trials.shown[rows])
    pair, item, moment = (torch.as_tensor(x[rows]) for x in (trials.pair, trials.item, trials.moment))
    state, features = torch.as_tensor(trials.state), torch.as_tensor(trials.features)
    with torch.no_grad():
        bought = float((weight * y)[~shown].sum()) + 0.5
        network.rate.bias.fill_(float(np.log(bought / (float(weight[~shown].sum()) + 1))))
        network.change_of_features.bias.zero_()
    precision = [(_precision_of(name), part) for name, part in network.named_parameters() if name not in _FREE]
    batch = max(256, min(_BATCH, len(rows) * _EPOCHS // _FEWEST_STEPS))
    optimizer, schedule = _optimizer(network, _EPOCHS * -(-len(rows) // batch))
    for _ in range(_EPOCHS):
        order = torch.as_tensor(rng.permutation(len(rows)))
        for first in range(0, len(rows), batch):
            at = order[first : first + batch]
            moments, place = torch.unique(moment[at], return_inverse=True)
            log_mu0, change = network(state[moments], place, item[at], network.of_items(features), pair[at])
            log_mu1 = log_mu0.detach() + change + network.own_change(item[at])[:, 0]
            log_mu = torch.where(shown[at], log_mu1, log_mu0).clamp(_LEAST, 0)
            loss = (weight[at] * (log_mu.exp() - y[at] * log_mu)).sum() / len(at)
            prior = sum(0.5 * much * (part**2).sum() for much, part in precision) / len(rows)
            optimizer.zero_grad()
            torch.autograd.backward(loss + prior)
            optimizer.step()
            schedule.step()
    return network.eval()


def _precision_of(name: str) -> float:
    own = [much for start, much in _PRECISION.items() if name.startswith(start)]
    return own[0] if own else _OTHER_PRECISION


def _optimizer(network: Network, n_steps: int) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    changes = [part for name, part in network.named_parameters() if "change" in name]
    others = [part for name, part in network.named_parameters() if "change" not in name]
    rates = [_LEARNING_RATE, _FASTER * _LEARNING_RATE]
    groups = [{"params": part, "lr": rate} for part, rate in zip((others, changes), rates, strict=True)]
    optimizer = torch.optim.Adam(groups)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=n_steps, pct_start=0.2)


@torch.no_grad()
def rates_of(network: Network, trials: Trials, rows: Ints, parts: ItemParts | None = None) -> Rates:
    """Return the rates of the trials ``rows``, (n,) each.

    Parameters
    ----------
    parts : what the network says of the trials' items, where that was computed before
    """
    state = torch.as_tensor(trials.state)
    parts = network.of_items(torch.as_tensor(trials.features)) if parts is None else parts
    found: list[list[Tensor]] = [[], []]
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        at = rows[first : first + _ROWS_AT_ONCE]
        pair, item, moment = (torch.as_tensor(x[at]) for x in (trials.pair, trials.item, trials.moment))
        moments, place = torch.unique(moment, return_inverse=True)
        log_mu0, change = network(state[moments], place, item, parts, pair)
        found[0].append(log_mu0)
        found[1].append(log_mu0 + change)
    not_shown, shown = (
        torch.cat(part).clamp(_LEAST, 0).exp().double().numpy() if part else np.empty(0) for part in found
    )
    return Rates(not_shown, shown)
