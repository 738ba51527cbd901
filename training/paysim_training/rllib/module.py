"""`QueuePolicy` as an RLlib module."""

# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.distribution.torch.torch_distribution import TorchDistribution
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from stable_baselines3.common.utils import ConstantSchedule
from torch import Tensor
from torch.distributions import Categorical

from paysim_training.algorithms.queue_policy import QueuePolicy

QUEUE_POLICY = "queue_policy"
"""Key of `QueuePolicy`'s arguments in the `model_config` of a `QueueModule`."""


class SlotCategorical(TorchDistribution):
    """Independent categorical distributions, one per component of an action.

    Logits have the shape (batch, components, choices); masked logits pad components with fewer choices.
    """

    def _get_torch_distribution(self, logits: Tensor) -> Categorical:
        return Categorical(logits=logits, validate_args=False)

    def logp(self, value: Tensor, **keywords: Any) -> Tensor:
        """Joint log-probability, of shape (batch,), of actions of shape (batch, components)."""
        log_probs: Tensor = super().logp(value, **keywords)
        return log_probs.sum(dim=1)

    def entropy(self) -> Tensor:
        """Joint entropy, of shape (batch,)."""
        entropy: Tensor = super().entropy()
        return entropy.sum(dim=1)

    def kl(self, other: SlotCategorical) -> Tensor:
        """Joint Kullback-Leibler divergence from `other`, of shape (batch,)."""
        divergence: Tensor = super().kl(other)
        return divergence.sum(dim=1)

    @staticmethod
    def required_input_dim(space: Any, **keywords: Any) -> int:
        """Number of logits for an action space."""
        return len(space.nvec) * int(space.nvec.max())


class QueueModule(TorchRLModule, ValueFunctionAPI):
    """Actor and critic of a `QueuePolicy`.

    `model_config[QUEUE_POLICY]` holds the policy's arguments other than spaces and learning rate, as
    returned by `paysim_training.algorithms.ppo.policy_arguments`.

    Attributes:
        policy: The network. Its weights load into a `QueuePolicy` trained by Stable-Baselines3 and back.
    """

    def setup(self) -> None:
        """Build the network."""
        self.action_dist_cls = SlotCategorical
        self.policy = QueuePolicy(
            self.observation_space,
            self.action_space,
            ConstantSchedule(0.0),
            **self.model_config[QUEUE_POLICY],
        )

    def logits(self, observations: Tensor) -> Tensor:
        """Logits of shape (batch, components, choices) for observations of shape (batch, size)."""
        latent = self.policy.mlp_extractor.forward_actor(self._features(observations))
        logits: Tensor = self.policy.action_net(latent)
        return logits.reshape(len(logits), len(self.action_space.nvec), -1)

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        """Value estimates of shape (batch,)."""
        latent = self.policy.mlp_extractor.forward_critic(self._features(batch[Columns.OBS]))
        values: Tensor = self.policy.value_net(latent)
        return values.squeeze(1)

    def _features(self, observations: Tensor) -> Tensor:
        features = self.policy.extract_features(observations)
        assert isinstance(features, Tensor)  # a tuple only if actor and critic extract features apart
        return features

    def _forward(self, batch: Mapping[str, Any], **_: Any) -> dict[str, Tensor]:
        return {Columns.ACTION_DIST_INPUTS: self.logits(batch[Columns.OBS])}


def sample_actions(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Sample actions, int64 of shape (batch, components), from logits (batch, components, choices)."""
    probs = logits.softmax(dim=2)
    # argmax of p / Exp(1) has distribution p; one pass over the data, where torch.multinomial needs several.
    return (probs / torch.empty_like(probs).exponential_(generator=generator)).argmax(dim=2)
