"""Rollouts of fleets, and how the learner turns them into a training batch."""

# mypy: allow-subclassing-any

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.connectors.connector_v2 import ConnectorV2
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule
from stable_baselines3.common.running_mean_std import RunningMeanStd
from torch import Tensor

from paysim_training.algorithms.paired_advantages import subtract_group_mean

_EPSILON = 1e-8
_NORMALISERS = "normalisers"


@dataclass(frozen=True)
class Rollout:
    """Transitions of one policy in its rows of a fleet.

    Passed to RLlib's learner in the position of an episode.

    Attributes:
        policy: Name of the policy.
        first_row: Index of the env runner's first row among the rows of all env runners.
        observations: float32 of shape (steps + 1, rows, size); the last one starts the next rollout.
        actions: uint8 of shape (steps, rows, slots).
        log_probs: float32 of shape (steps, rows): joint log-probability of the actions.
        rewards: float32 of shape (steps, rows).
        terminated: bool of shape (steps, rows).
        truncated: bool of shape (steps, rows).
        final_observations: float32 of shape (truncated episodes, size): their last observations, in the
            order of `truncated`.
        discounted: float32 of shape (steps, rows): discounted sum of the rewards of the episode so far,
            from which rewards are scaled.
    """

    policy: str
    first_row: int
    observations: NDArray[np.float32]
    actions: NDArray[np.uint8]
    log_probs: NDArray[np.float32]
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_observations: NDArray[np.float32]
    discounted: NDArray[np.float32]

    def __len__(self) -> int:
        return self.rewards.size

    @property
    def nbytes(self) -> int:
        """Size of the arrays in bytes."""
        values = [getattr(self, field.name) for field in fields(self)]
        return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


class RolloutsToBatch(ConnectorV2):
    """Learner connector: scales rewards and computes advantages and value targets.

    Rewards are divided by the standard deviation of their discounted sums, as
    `stable_baselines3.common.vec_env.VecNormalize` does. For each of `learners`, the mean advantage of
    `rows_per_seed` consecutive rows, which play the same days, is subtracted from theirs.

    Attributes:
        normalisers: Running moments of the discounted reward sums, by policy.
    """

    def __init__(
        self,
        input_observation_space: Any = None,
        input_action_space: Any = None,
        *,
        discount: float,
        gae_lambda: float,
        rows_per_seed: int = 1,
        learners: int = 1,
    ) -> None:
        super().__init__(input_observation_space, input_action_space)
        self._discount, self._lambda = discount, gae_lambda
        self._rows_per_seed, self._learners = rows_per_seed, learners
        self.normalisers: dict[str, RunningMeanStd] = {}

    def __call__(
        self, *, rl_module: MultiRLModule, episodes: Sequence[Rollout], **_: Any
    ) -> dict[str, dict[str, Tensor]]:
        """The batch of each policy, in random order."""
        # Rollouts arrive in any order; sorting by row makes the result independent of timing.
        ordered = sorted(episodes, key=lambda rollout: rollout.first_row)
        batch = {}
        for policy in dict.fromkeys(rollout.policy for rollout in ordered):
            own = [rollout for rollout in ordered if rollout.policy == policy]
            scale = self._scale(policy, own)
            parts = [self._columns(rl_module[policy], rollout, scale) for rollout in own]
            columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
            advantages = columns[Columns.ADVANTAGES]
            centred = advantages - advantages.mean()
            columns[Columns.ADVANTAGES] = centred / (advantages.std(correction=0) + _EPSILON)
            # RLlib shuffles the minibatches of every epoch but the first.
            order = torch.from_numpy(np.random.permutation(len(advantages)))
            batch[policy] = {name: column[order] for name, column in columns.items()}
        return batch

    def get_state(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The normalisers."""
        moments = {name: (one.mean, one.var, one.count) for name, one in self.normalisers.items()}
        return {_NORMALISERS: moments}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Load the normalisers."""
        self.normalisers = {}
        for name, (mean, var, count) in state[_NORMALISERS].items():
            self.normalisers[name] = RunningMeanStd()
            vars(self.normalisers[name]).update(mean=mean, var=var, count=count)

    def _scale(self, policy: str, rollouts: Sequence[Rollout]) -> float:
        normaliser = self.normalisers.setdefault(policy, RunningMeanStd(shape=()))
        for rollout in rollouts:
            normaliser.update(rollout.discounted.ravel())
        return float(np.sqrt(normaliser.var + _EPSILON))

    def _columns(self, module: Any, rollout: Rollout, scale: float) -> dict[str, Tensor]:
        # Copies, because Ray delivers read-only memory, which PyTorch does not support.
        observations = torch.tensor(rollout.observations)
        rewards = torch.from_numpy(rollout.rewards / scale)
        with torch.no_grad():
            values = module.compute_values({Columns.OBS: observations.flatten(0, 1)})
            values = values.unflatten(0, observations.shape[:2])
            if len(rollout.final_observations):
                final_values = module.compute_values({Columns.OBS: torch.tensor(rollout.final_observations)})
                rewards[torch.tensor(rollout.truncated)] += self._discount * final_values
        ended = torch.from_numpy(rollout.terminated | rollout.truncated)
        advantages = estimate_advantages(rewards, values, ended, self._discount, self._lambda)
        targets = advantages + values[:-1]
        if self._rows_per_seed > 1:
            paired = subtract_group_mean(advantages.numpy(), self._rows_per_seed, self._learners)
            advantages = torch.from_numpy(paired)
        actions = torch.tensor(rollout.actions).flatten(0, 1).long()
        return {
            Columns.OBS: observations[:-1].flatten(0, 1),
            Columns.ACTIONS: actions,
            Columns.ACTION_LOGP: torch.tensor(rollout.log_probs).flatten(),
            # Only the KL penalty reads the logits, and it is off; env runners do not send them.
            Columns.ACTION_DIST_INPUTS: torch.zeros((*actions.shape, 1)),
            Columns.ADVANTAGES: advantages.flatten(),
            Columns.VALUE_TARGETS: targets.flatten(),
        }


def estimate_advantages(
    rewards: Tensor, values: Tensor, ended: Tensor, discount: float, gae_lambda: float
) -> Tensor:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16), of shape (steps, rows).

    Args:
        rewards: Of shape (steps, rows).
        values: Value estimates at each step and after the last one, of shape (steps + 1, rows).
        ended: bool of shape (steps, rows): whether the step ended an episode.
        discount: Discount factor gamma.
        gae_lambda: Trace decay lambda.
    """
    continues = (~ended).to(rewards.dtype)
    errors = rewards + discount * continues * values[1:] - values[:-1]
    advantages = torch.empty_like(errors)
    advantage = torch.zeros_like(errors[0])
    for step in reversed(range(len(errors))):
        advantage = errors[step] + discount * gae_lambda * continues[step] * advantage
        advantages[step] = advantage
    return advantages


class RolloutLearner(PPOTorchLearner):
    """PPO learner whose checkpoints include the state of `RolloutsToBatch`.

    `config.learner_config_dict` holds Adam's `adam_epsilon`.
    """

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Register one Adam optimiser for the policy."""
        parameters = self.get_parameters(self.module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(parameters, eps=config.learner_config_dict["adam_epsilon"]),
            params=parameters,
            lr_or_lr_schedule=config.lr,
        )

    def before_gradient_based_update(self, *, timesteps: Mapping[str, Any]) -> None:
        """Update learning rate and entropy coefficient before learning, as Stable-Baselines3 does.

        RLlib updates them only afterwards, and its checkpoints lack the entropy coefficient.
        """
        super().before_gradient_based_update(timesteps=timesteps)
        self.after_gradient_based_update(timesteps=timesteps)

    @property
    def normalisers(self) -> dict[str, RunningMeanStd]:
        """Running moments of the discounted reward sums, by policy."""
        return self._to_batch.normalisers

    def get_state(self, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """State of the weights, the optimisers and the normalisers."""
        return {**super().get_state(*arguments, **keywords), _NORMALISERS: self._to_batch.get_state()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Load a state."""
        super().set_state(state)
        if _NORMALISERS in state:
            self._to_batch.set_state(state[_NORMALISERS])

    @property
    def _to_batch(self) -> RolloutsToBatch:
        connector: RolloutsToBatch
        (connector,) = self._learner_connector.connectors
        return connector
