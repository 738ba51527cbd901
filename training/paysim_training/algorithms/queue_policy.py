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
from torch.nn import functional

FIRST_SPLIT = 2  # after hold and release
MASKED_LOGIT = -1e8  # finite, because an infinite logit would make the entropy NaN


class QueuePolicy(ActorCriticPolicy):
    """An actor-critic policy for slot actions in `stable_baselines3.PPO`.

    The observation ends with the slots, all with the same columns; the first column is the amount, 0 in an
    empty slot. If the action has a component after those of the slots, the share of a pool, a network of its
    own maps the bank's columns to it in opening steps.

    Args:
        slots: Number of slots.
        slot_columns: Columns per slot.
        opening_column: Index of the column that is 1 in an opening step, which only commits the pool.
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

        In components that can only hold, the best logit may be another action; the environment treats it as
        hold.
        """
        network, head, slots = self._slot_network, self._slot_head.head, self._shape[0]
        by_slot = _block_diagonal(network.slot.weight, slots)
        if network.before is not None:
            by_slot = by_slot + torch.kron(torch.ones(slots, slots).tril(-1), network.before.weight)
        weights = [torch.cat([network.bank.weight.repeat(slots, 1), by_slot], dim=1)]
        weights += [_block_diagonal(layer.weight, slots) for layer in (network.both, head)]
        biases = [layer.bias.repeat(slots) for layer in (network.bank, network.both, head)]
        if network.pool is not None and self._slot_head.pool is not None:
            pool = (network.pool.bank, network.pool.both, self._slot_head.pool)
            # The columns of the slots have no effect on the pool.
            first = torch.cat([weights[0], functional.pad(pool[0].weight, (0, by_slot.shape[1]))])
            later = zip(weights[1:], pool[1:], strict=True)
            weights = [first, *(torch.block_diag(weight, layer.weight) for weight, layer in later)]
            biases = [torch.cat([bias, layer.bias]) for bias, layer in zip(biases, pool, strict=True)]
        layers = [_linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)]
        return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    @property
    def _has_pool(self) -> bool:
        return len(cast(spaces.MultiDiscrete, self.action_space).nvec) > self._shape[0]

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
            "policy_net",
            SlotNetwork(self.features_dim, *self._shape, self._sees_before, has_pool=self._has_pool),
        )
        self.mlp_extractor.latent_dim_pi = self._shape[-1]

    def _build(self, lr_schedule: Schedule) -> None:
        space = cast(spaces.MultiDiscrete, self.action_space)
        self.action_dist = SlotDistribution(space.nvec.tolist(), self._shape[0])
        super()._build(lr_schedule)
        with torch.no_grad():
            self._slot_head.head.bias[FIRST_SPLIT:] -= self._split_bias


class SlotLatents(NamedTuple):
    """Features of the active slots and of the pool.

    A slot is active if it has a payment and the step is no opening.

    Attributes:
        hidden: Features of shape (active slots, hidden size).
        is_active: bool of shape (batch, slots).
        pool: Features of shape (openings, hidden size); None if there is no decision about a pool.
        is_opening: bool of shape (batch,).
    """

    hidden: Tensor
    is_active: Tensor
    pool: Tensor | None
    is_opening: Tensor


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
        *,
        has_pool: bool,
    ) -> None:
        super().__init__()
        self._shape = (slots, slot_columns)
        self._opening_column = opening_column
        self._bank_columns = size - slots * slot_columns
        self.bank = nn.Linear(self._bank_columns, hidden_size)
        self.slot = nn.Linear(slot_columns, hidden_size, bias=False)
        self.both = nn.Linear(hidden_size, hidden_size)
        self.before = nn.Linear(slot_columns, hidden_size, bias=False) if sees_before else None
        self.pool = PoolNetwork(self._bank_columns, hidden_size) if has_pool else None

    def forward(self, observations: Tensor) -> SlotLatents:
        """Encodes a batch; all slots of a row share the bank's columns."""
        slots = observations[:, self._bank_columns :].reshape(len(observations), *self._shape)
        is_opening = observations[:, self._opening_column] > 0
        is_active = (slots[..., 0] != 0) & ~is_opening[:, None]
        bank_columns = observations[:, : self._bank_columns]
        bank = self.bank(bank_columns)[is_active.nonzero()[:, 0]]
        hidden = bank + self.slot(slots[is_active])
        if self.before is not None:
            hidden = hidden + self.before((slots.cumsum(dim=1) - slots)[is_active])
        pool = None if self.pool is None else self.pool(bank_columns[is_opening])
        return SlotLatents(torch.relu(self.both(torch.relu(hidden))), is_active, pool, is_opening)


class PoolNetwork(nn.Module):
    """Encodes the bank's columns to the features of the pool decision."""

    def __init__(self, bank_columns: int, hidden_size: int) -> None:
        super().__init__()
        self.bank = nn.Linear(bank_columns, hidden_size)
        self.both = nn.Linear(hidden_size, hidden_size)

    def forward(self, bank_columns: Tensor) -> Tensor:
        """Encodes a batch, with as many layers as the network of the slots."""
        return torch.relu(self.both(torch.relu(self.bank(bank_columns))))


class SlotHead(nn.Module):
    """Maps features to logits of shape (batch, components x choices).

    Inactive components hold. Components with fewer choices than others are padded with masked logits.

    Args:
        hidden_size: Number of features.
        nvec: Number of choices of each component.
        slots: Number of components for slots; one more is that of the pool.
    """

    def __init__(self, hidden_size: int, nvec: list[int], slots: int) -> None:
        super().__init__()
        self._shape = (len(nvec), max(nvec))
        self.head = nn.Linear(hidden_size, nvec[0])
        self.pool = nn.Linear(hidden_size, nvec[-1]) if len(nvec) > slots else None

    def forward(self, latents: SlotLatents) -> Tensor:
        """Computes the logits of all choices of all components."""
        logits = latents.hidden.new_full((len(latents.is_active), *self._shape), MASKED_LOGIT)
        logits[..., 0] = 0.0
        slots = logits[:, : latents.is_active.shape[1], : self.head.out_features]
        slots[latents.is_active] = self.head(latents.hidden)
        if self.pool is not None and latents.pool is not None:
            logits[latents.is_opening, -1, : self.pool.out_features] = self.pool(latents.pool)
        return logits.flatten(1)


class SlotDistribution(MultiCategoricalDistribution):
    """A multi-categorical distribution with padded dimensions, as one batched categorical.

    Args:
        action_dims: Number of choices of each component.
        slots: Number of components for slots; one more is that of the pool.
    """

    distribution: Categorical  # type: ignore[assignment]  # the base class has a list, one per dimension

    def __init__(self, action_dims: list[int], slots: int) -> None:
        super().__init__(action_dims)
        self._slots = slots

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """Creates the module that maps features to logits."""
        return SlotHead(latent_dim, self.action_dims, self._slots)

    def proba_distribution(self, action_logits: Tensor) -> Self:
        """Sets the logits, of shape (batch, components x choices)."""
        logits = action_logits.reshape(len(action_logits), len(self.action_dims), -1)
        self.distribution = Categorical(logits=logits, validate_args=False)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """Returns the joint log-probability of actions of shape (batch, components)."""
        log_probs: Tensor = self.distribution.log_prob(actions)
        return log_probs.sum(dim=1)

    def entropy(self) -> Tensor:
        """Returns the joint entropy, of shape (batch,)."""
        entropy: Tensor = self.distribution.entropy()
        return entropy.sum(dim=1)

    def sample(self) -> Tensor:
        """Samples actions of shape (batch, components)."""
        actions: Tensor = self.distribution.sample()
        return actions

    def mode(self) -> Tensor:
        """Returns the most likely actions, of shape (batch, components)."""
        probs: Tensor = self.distribution.probs
        return probs.argmax(dim=2)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def _block_diagonal(weight: Tensor, blocks: int) -> Tensor:
    matrix: Tensor = torch.block_diag(*[weight] * blocks)
    return matrix
