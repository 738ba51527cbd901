"""`paysim_training.algorithms.queue_policy.QueuePolicy` as RLlib knows policies: the same network, to be trained by RLlib's PPO."""

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

POLICY = "queue_policy"


class SlotChoices(TorchDistribution):
    """A choice for each slot, independent of each other; logits of shape (batch, slots, actions)."""

    def _get_torch_distribution(self, logits: Tensor) -> Categorical:
        return Categorical(logits=logits, validate_args=False)

    def logp(self, value: Tensor, **keywords: Any) -> Tensor:
        """Joint log-probability of actions of shape (batch, slots)."""
        return super().logp(value, **keywords).sum(dim=1)

    def entropy(self) -> Tensor:
        """Joint entropy, of shape (batch,)."""
        return super().entropy().sum(dim=1)

    def kl(self, other: SlotChoices) -> Tensor:
        """Joint divergence from another's choices, of shape (batch,)."""
        return super().kl(other).sum(dim=1)

    @staticmethod
    def required_input_dim(space: Any, **keywords: Any) -> int:
        """Number of logits for an action space."""
        return int(space.nvec.sum())


class QueueModule(TorchRLModule, ValueFunctionAPI):
    """Actor and critic of `QueuePolicy`, which knows the legal actions of empty slots by the observation.

    Its `model_config` has under `POLICY` the policy's arguments beside spaces and learning rate, as
    `paysim_training.algorithms.ppo.policy_arguments` gives them.

    Attributes:
        policy: The network, whose weights are those of a `QueuePolicy` that Stable-Baselines3 trains.
    """

    def setup(self) -> None:
        """Make the network."""
        self.action_dist_cls = SlotChoices
        self.policy = QueuePolicy(
            self.observation_space, self.action_space, ConstantSchedule(0.0), **self.model_config[POLICY]
        )

    def logits(self, observations: Tensor) -> Tensor:
        """Logits of shape (batch, slots, actions) for observations of shape (batch, size)."""
        policy = self.policy
        latent = policy.mlp_extractor.forward_actor(policy.extract_features(observations))
        return policy.action_net(latent).unflatten(1, (len(self.action_space.nvec), -1))

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Tensor:
        """What the critic expects from each observation of a batch: of shape (batch,)."""
        policy = self.policy
        features = policy.extract_features(batch[Columns.OBS])
        return policy.value_net(policy.mlp_extractor.forward_critic(features)).squeeze(1)

    def _forward(self, batch: Mapping[str, Any], **_: Any) -> dict[str, Tensor]:
        return {Columns.ACTION_DIST_INPUTS: self.logits(batch[Columns.OBS])}


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw actions, int64 of shape (batch, slots), from logits of shape (batch, slots, actions)."""
    odds = logits.softmax(dim=2)
    # The largest of p / Exp(1) is drawn with probability p; one pass, where a multinomial makes several.
    return (odds / torch.empty_like(odds).exponential_(generator=generator)).argmax(dim=2)
