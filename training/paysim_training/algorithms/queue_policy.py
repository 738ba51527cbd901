"""A policy network for a queue: one small network decides about each slot that holds a payment.

A plain network learns the meaning of each slot anew and draws noise for the empty ones, which most are; the
noise drowns the little that one release changes in the cost of a day.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import torch
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn
from torch.distributions import Categorical

FIRST_SPLIT = 2  # after hold and release
IMPOSSIBLE = -1e8  # a finite logit: infinity would make the entropy NaN


class QueuePolicy(ActorCriticPolicy):
    """An actor-critic policy for slot actions, to be given to `stable_baselines3.PPO`.

    The observation ends with the slots, each of as many columns; the first is the amount, 0 in an empty slot.

    Args:
        slots: Number of slots.
        slot_columns: Columns of a slot.
        opening_column: Which column is 1 in an opening step, where the first choice is about the pool.
        hidden_size: Width of the network of a slot.
        split_bias: What is taken off the logits of splits at the start.
        sees_before: Whether the network of a slot also sees the sums of the columns of the slots before it:
            what would be released ahead of its payment, of which it knows nothing otherwise.
        arguments: As `ActorCriticPolicy`; `net_arch` is the critic's.
    """

    def __init__(
        self,
        *arguments: Any,
        slots: int,
        slot_columns: int,
        opening_column: int,
        hidden_size: int,
        split_bias: float = 0.0,
        sees_before: bool = False,
        **keywords: Any,
    ) -> None:
        self._shape = (slots, slot_columns, opening_column, hidden_size)
        self._sees_before = sees_before
        self._split_bias = split_bias
        super().__init__(*arguments, **keywords)

    def perceptron(self) -> nn.Sequential:
        """Plain layers of ReLU that make the same logits of an observation, for `export_network`.

        In a slot that can only hold they may score another action best; there every action acts as hold.
        """
        network, head, slots = self.mlp_extractor.policy_net, self.action_net.head, self._shape[0]
        layers = [nn.Linear(self.features_dim, network.bank.out_features * slots)]
        layers += [
            nn.Linear(layer.in_features * slots, layer.out_features * slots) for layer in (network.both, head)
        ]
        by_slot = torch.block_diag(*[network.slot.weight] * slots)
        if network.before is not None:
            by_slot = by_slot + torch.kron(torch.ones(slots, slots).tril(-1), network.before.weight)
        weights = [torch.cat([network.bank.weight.repeat(slots, 1), by_slot], dim=1)]
        weights += [torch.block_diag(*[layer.weight] * slots) for layer in (network.both, head)]
        with torch.no_grad():
            for layer, weight, one in zip(layers, weights, (network.bank, network.both, head), strict=True):
                layer.weight.copy_(weight)
                layer.bias.copy_(one.bias.repeat(slots))
        return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def _get_constructor_parameters(self) -> dict[str, Any]:
        names = ("slots", "slot_columns", "opening_column", "hidden_size")
        own = dict(zip(names, self._shape, strict=True))
        own |= {"split_bias": self._split_bias, "sees_before": self._sees_before}
        return {**super()._get_constructor_parameters(), **own}

    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()
        self.mlp_extractor.policy_net = SlotNetwork(self.features_dim, *self._shape, self._sees_before)
        self.mlp_extractor.latent_dim_pi = self._shape[-1]

    def _build(self, lr_schedule: Schedule) -> None:
        self.action_dist = SlotDistribution(list(self.action_space.nvec))
        super()._build(lr_schedule)
        with torch.no_grad():
            self.action_net.head.bias[FIRST_SPLIT:] -= self._split_bias


class SlotLatents(NamedTuple):
    """Features of the slots about which there is something to decide; the others need none.

    Attributes:
        hidden: Of shape (slots that may act, hidden size).
        may_act: Which they are, bool of shape (batch, slots).
    """

    hidden: Tensor
    may_act: Tensor


class SlotNetwork(nn.Module):
    """Observations (batch, size) to the features of each slot that holds a payment, or opens a day."""

    def __init__(
        self,
        size: int,
        slots: int,
        slot_columns: int,
        opening_column: int,
        hidden_size: int,
        sees_before: bool,
    ) -> None:
        super().__init__()
        self._shape = (slots, slot_columns)
        self._opening_column = opening_column
        self._own = size - slots * slot_columns
        self.bank = nn.Linear(self._own, hidden_size)
        self.slot = nn.Linear(slot_columns, hidden_size, bias=False)
        self.both = nn.Linear(hidden_size, hidden_size)
        self.before = nn.Linear(slot_columns, hidden_size, bias=False) if sees_before else None

    def forward(self, observations: Tensor) -> SlotLatents:
        """Encode; the bank's own columns are shared by its slots."""
        slots = observations[:, self._own :].unflatten(1, self._shape)
        may_act = (slots[..., 0] != 0) | (observations[:, self._opening_column, None] > 0)
        scores = self.bank(observations[:, : self._own])[may_act.nonzero()[:, 0]] + self.slot(slots[may_act])
        if self.before is not None:
            scores = scores + self.before((slots.cumsum(dim=1) - slots)[may_act])
        return SlotLatents(torch.relu(self.both(torch.relu(scores))), may_act)


class SlotHead(nn.Module):
    """Latents of `SlotNetwork` to logits (batch, slots x actions); a slot that may not act can only hold."""

    def __init__(self, hidden_size: int, actions: int) -> None:
        super().__init__()
        self.head = nn.Linear(hidden_size, actions)

    def forward(self, latents: SlotLatents) -> Tensor:
        """Score every action of every slot."""
        logits = latents.hidden.new_full((*latents.may_act.shape, self.head.out_features), IMPOSSIBLE)
        logits[..., 0] = 0.0
        logits[latents.may_act] = self.head(latents.hidden)
        return logits.flatten(1)


class SlotDistribution(MultiCategoricalDistribution):
    """Independent choices of equal size, as one batched categorical instead of one object a slot."""

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """The module that makes logits of latents."""
        return SlotHead(latent_dim, int(self.action_dims[0]))

    def proba_distribution(self, action_logits: Tensor) -> Self:
        """Take logits of shape (batch, slots x actions)."""
        logits = action_logits.unflatten(1, (len(self.action_dims), -1))
        self.distribution = Categorical(logits=logits, validate_args=False)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Joint log-probability of actions of shape (batch, slots)."""
        return self.distribution.log_prob(actions).sum(dim=1)

    def entropy(self) -> Tensor:
        """Joint entropy, of shape (batch,)."""
        return self.distribution.entropy().sum(dim=1)

    def sample(self) -> Tensor:
        """Draw actions of shape (batch, slots)."""
        return self.distribution.sample()

    def mode(self) -> Tensor:
        """The likeliest actions, of shape (batch, slots)."""
        return self.distribution.probs.argmax(dim=2)
