"""An actor-critic policy that applies one shared network to every occupied slot.

A plain network learns each slot's meaning separately and samples noise for empty slots, which swamps the
effect of a single release on the cost of a day.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self, cast

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn
from torch.distributions import Categorical

FIRST_SPLIT = 2  # after hold and release
MASKED_LOGIT = -1e8  # finite, because an infinite logit would make the entropy NaN


class QueuePolicy(ActorCriticPolicy):
    """An actor-critic policy for slot actions in `stable_baselines3.PPO`.

    The observation ends with the slots, all with the same columns; the first column is the amount, 0 in an
    empty slot.

    Args:
        slots: Number of slots.
        slot_columns: Columns per slot.
        opening_column: Index of the column that is 1 in an opening step, in which slot 0 commits the pool.
        hidden_size: Width of the slot network.
        split_bias: Initial value that is subtracted from the logits of splits.
        sees_before: Whether a slot's network also sees the column sums over the slots before it, which would
            be released ahead of its payment.
        arguments: As `ActorCriticPolicy`; `net_arch` describes the critic.
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
        """Converts the actor to a plain ReLU network with the same logits, for `export_network`.

        In slots that can only hold, the best logit may be another action; the environment treats it as hold.
        """
        network, head, slots = self._slot_network, self._slot_head.head, self._shape[0]
        layers = [nn.Linear(self.features_dim, network.bank.out_features * slots)]
        layers += [
            nn.Linear(layer.in_features * slots, layer.out_features * slots) for layer in (network.both, head)
        ]
        by_slot = _block_diagonal(network.slot.weight, slots)
        if network.before is not None:
            by_slot = by_slot + torch.kron(torch.ones(slots, slots).tril(-1), network.before.weight)
        weights = [torch.cat([network.bank.weight.repeat(slots, 1), by_slot], dim=1)]
        weights += [_block_diagonal(layer.weight, slots) for layer in (network.both, head)]
        with torch.no_grad():
            for layer, weight, one in zip(layers, weights, (network.bank, network.both, head), strict=True):
                layer.weight.copy_(weight)
                layer.bias.copy_(one.bias.repeat(slots))
        return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    @property
    def _slot_network(self) -> SlotNetwork:
        return cast(SlotNetwork, self.mlp_extractor.policy_net)

    @property
    def _slot_head(self) -> SlotHead:
        return cast(SlotHead, self.action_net)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        names = ("slots", "slot_columns", "opening_column", "hidden_size")
        shape = dict(zip(names, self._shape, strict=True))
        options = {"split_bias": self._split_bias, "sees_before": self._sees_before}
        return {**super()._get_constructor_parameters(), **shape, **options}

    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()
        self.mlp_extractor.add_module(
            "policy_net", SlotNetwork(self.features_dim, *self._shape, self._sees_before)
        )
        self.mlp_extractor.latent_dim_pi = self._shape[-1]

    def _build(self, lr_schedule: Schedule) -> None:
        space = cast(spaces.MultiDiscrete, self.action_space)
        self.action_dist = SlotDistribution(list(space.nvec))
        super()._build(lr_schedule)
        with torch.no_grad():
            self._slot_head.head.bias[FIRST_SPLIT:] -= self._split_bias


class SlotLatents(NamedTuple):
    """Features of the active slots, those with a payment or an opening decision.

    Attributes:
        hidden: Features of shape (active slots, hidden size).
        is_active: bool of shape (batch, slots).
    """

    hidden: Tensor
    is_active: Tensor


class SlotNetwork(nn.Module):
    """Encodes observations of shape (batch, size) to features of the active slots."""

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
        self._bank_columns = size - slots * slot_columns
        self.bank = nn.Linear(self._bank_columns, hidden_size)
        self.slot = nn.Linear(slot_columns, hidden_size, bias=False)
        self.both = nn.Linear(hidden_size, hidden_size)
        self.before = nn.Linear(slot_columns, hidden_size, bias=False) if sees_before else None

    def forward(self, observations: Tensor) -> SlotLatents:
        """Encodes a batch; all slots of a row share the bank's columns."""
        slots = observations[:, self._bank_columns :].reshape(len(observations), *self._shape)
        is_active = (slots[..., 0] != 0) | (observations[:, self._opening_column, None] > 0)
        bank = self.bank(observations[:, : self._bank_columns])[is_active.nonzero()[:, 0]]
        hidden = bank + self.slot(slots[is_active])
        if self.before is not None:
            hidden = hidden + self.before((slots.cumsum(dim=1) - slots)[is_active])
        return SlotLatents(torch.relu(self.both(torch.relu(hidden))), is_active)


class SlotHead(nn.Module):
    """Maps slot features to logits of shape (batch, slots x actions); inactive slots hold."""

    def __init__(self, hidden_size: int, actions: int) -> None:
        super().__init__()
        self.head = nn.Linear(hidden_size, actions)

    def forward(self, latents: SlotLatents) -> Tensor:
        """Computes the logits of all actions of all slots."""
        logits = latents.hidden.new_full((*latents.is_active.shape, self.head.out_features), MASKED_LOGIT)
        logits[..., 0] = 0.0
        logits[latents.is_active] = self.head(latents.hidden)
        return logits.flatten(1)


class SlotDistribution(MultiCategoricalDistribution):
    """A multi-categorical distribution with equal dimensions, as one batched categorical."""

    distribution: Categorical  # type: ignore[assignment]  # the base class has a list, one per dimension

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """Creates the module that maps slot features to logits."""
        return SlotHead(latent_dim, int(self.action_dims[0]))

    def proba_distribution(self, action_logits: Tensor) -> Self:
        """Sets the logits, of shape (batch, slots x actions)."""
        logits = action_logits.reshape(len(action_logits), len(self.action_dims), -1)
        self.distribution = Categorical(logits=logits, validate_args=False)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Returns the joint log-probability of actions of shape (batch, slots)."""
        log_probs: Tensor = self.distribution.log_prob(actions)
        return log_probs.sum(dim=1)

    def entropy(self) -> Tensor:
        """Returns the joint entropy, of shape (batch,)."""
        entropy: Tensor = self.distribution.entropy()
        return entropy.sum(dim=1)

    def sample(self) -> Tensor:
        """Samples actions of shape (batch, slots)."""
        actions: Tensor = self.distribution.sample()
        return actions

    def mode(self) -> Tensor:
        """Returns the most likely actions, of shape (batch, slots)."""
        probs: Tensor = self.distribution.probs
        return probs.argmax(dim=2)


def _block_diagonal(weight: Tensor, blocks: int) -> Tensor:
    matrix: Tensor = torch.block_diag(*[weight] * blocks)
    return matrix
