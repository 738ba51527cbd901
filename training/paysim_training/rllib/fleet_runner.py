"""RLlib env runner that steps a native fleet with one call per step."""

# mypy: allow-subclassing-any

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import (
    NUM_AGENT_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    WEIGHTS_SEQ_NO,
)

from paysim_gym import PaymentVectorEnv
from paysim_gym.envs.fleet_rows import seed_indices
from paysim_training.rllib.module import SlotCategorical, sample_actions
from paysim_training.rllib.rollout import Rollout

EPISODES = "episodes"
"""Metrics key: sums over the episodes that ended, by bank and name, and their `count`."""
SECONDS = "seconds"
"""Metrics key: seconds in the `environment`, in the `policy` and in `all` of a rollout."""
BYTES = "rollout_bytes"
"""Metrics key: size of the rollouts in bytes."""


class FleetEnvRunner(EnvRunner, Checkpointable):
    """Samples rollouts from this worker's share of the run's rows.

    `config.env_config` holds `arguments` (of `PaymentVectorEnv`), `steps` per rollout, `discount`,
    `policies` (policy name -> index of its learner, or None for all learners), `seed`, and `rows_per_seed`,
    the number of consecutive rows that play the same days.

    Attributes:
        env: The fleet.
        module: The policies, by name.
    """

    def __init__(self, *, config: Any, **keywords: Any) -> None:
        super().__init__(config=config, **keywords)
        given = self.config.env_config
        self._steps, self._discount = given["steps"], given["discount"]
        self._rows_per_seed = given["rows_per_seed"]
        self.env = PaymentVectorEnv(
            self.config.num_envs_per_env_runner, autoreset_mode="SameStep", **given["arguments"]
        )
        self._action_shape = self.env.single_action_space.shape or ()
        self._first_row = max((self.worker_index or 0) - 1, 0) * self.env.num_envs
        learners = len(self.env.learners)
        self._rows = {
            policy: slice(None) if learner is None else slice(learner, None, learners)
            for policy, learner in given["policies"].items()
        }
        # Worker 0 runs in the driver, whose threads belong to the learner.
        if self.worker_index:
            torch.set_num_threads(1)
        self._generator = torch.Generator()
        self._weights_seq_no = 0
        self.module = self.config.get_multi_rl_module_spec(
            spaces=self.get_spaces(), inference_only=True
        ).build()
        self.reset_fleet(given["seed"])

    def reset_fleet(self, seed: int) -> None:
        """Start new episodes in all rows.

        Args:
            seed: Seed of demand and exploration. The days of a row depend only on the seed and on its index
                among the rows of all env runners.
        """
        first = seed + self._first_row
        offsets = seed_indices(self.env.num_envs, self._rows_per_seed, len(self.env.learners))
        self._observations, _ = self.env.reset(
            seed=(seed + self._first_row // self._rows_per_seed + offsets).tolist()
        )
        self._generator.manual_seed(first)
        self._discounted = np.zeros(self.env.num_envs)
        self._returns = np.zeros(self.env.num_envs)

    def sample(self, **_: Any) -> list[Rollout]:
        """Play one rollout in all rows.

        Returns:
            One rollout per policy.
        """
        began = time.perf_counter()
        self._spent = {"environment": 0.0, "policy": 0.0}
        buffer = _RolloutBuffer(self._steps, self._observations, self._action_shape)
        for step in range(self._steps):
            buffer.observations[step] = self._observations
            actions, buffer.log_probs[step] = self._decide()
            buffer.actions[step] = actions
            self._play(actions, buffer, step)
        buffer.observations[self._steps] = self._observations
        rollouts = [buffer.of_policy(policy, self._first_row, rows) for policy, rows in self._rows.items()]
        self._count(rollouts, time.perf_counter() - began)
        return rollouts

    def _decide(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        began = time.perf_counter()
        actions = np.empty((self.env.num_envs, *self._action_shape), np.int64)
        log_probs = np.empty(self.env.num_envs, np.float32)
        observations = torch.from_numpy(self._observations)
        with torch.no_grad():
            for policy, rows in self._rows.items():
                logits = self.module[policy].logits(observations[rows])
                sampled = sample_actions(logits, self._generator)
                actions[rows] = sampled.numpy()
                log_probs[rows] = SlotCategorical(logits=logits).logp(sampled).numpy()
        self._spent["policy"] += time.perf_counter() - began
        return actions, log_probs

    def _play(self, actions: NDArray[np.int64], buffer: _RolloutBuffer, step: int) -> None:
        began = time.perf_counter()
        tick = self.env.step_rows(actions)
        ended = tick.terminated | tick.truncated
        self._observations = self.env.start_next_episodes() if ended.any() else tick.observations
        self._spent["environment"] += time.perf_counter() - began
        self._returns += tick.rewards
        self._discounted = self._discounted * self._discount + tick.rewards
        buffer.rewards[step], buffer.discounted[step] = tick.rewards, self._discounted
        buffer.terminated[step], buffer.truncated[step] = tick.terminated, tick.truncated
        if ended.any():
            self._count_episodes(tick.totals, ended)
            self._discounted[ended] = 0
            self._returns[ended] = 0
        if tick.truncated.any():
            buffer.final_observations[step] = tick.observations

    def _count_episodes(self, totals: Mapping[str, NDArray[Any]], ended: NDArray[np.bool_]) -> None:
        columns = {"reward": self._returns, **totals}
        learners = len(self.env.learners)
        for index, bank in enumerate(self.env.learners):
            rows = np.flatnonzero(ended[index::learners]) * learners + index
            self._add((EPISODES, bank, "count"), len(rows))
            for name, column in columns.items():
                self._add((EPISODES, bank, name), float(column[rows].sum()))

    def _count(self, rollouts: list[Rollout], seconds: float) -> None:
        steps = sum(map(len, rollouts))
        self._add(NUM_ENV_STEPS_SAMPLED, steps)
        self.metrics.log_value(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum")
        for rollout in rollouts:
            self._add((NUM_AGENT_STEPS_SAMPLED, rollout.policy), len(rollout))
        for name, spent in {**self._spent, "all": seconds}.items():
            self._add((SECONDS, name), spent)
        self._add(BYTES, sum(rollout.nbytes for rollout in rollouts))

    def _add(self, key: Any, value: float) -> None:
        self.metrics.log_value(key, value, reduce="sum")

    def get_metrics(self) -> Any:
        """Metrics since the last call."""
        return self.metrics.reduce()

    def get_spaces(self) -> dict[str, Any]:
        """Spaces of the fleet, of one row, and of each policy."""
        single = (self.env.single_observation_space, self.env.single_action_space)
        return {
            INPUT_ENV_SPACES: (self.env.observation_space, self.env.action_space),
            INPUT_ENV_SINGLE_SPACES: single,
            **dict.fromkeys(self._rows, single),
        }

    def get_state(self, components: Any = None, *, not_components: Any = None, **_: Any) -> dict[str, Any]:
        """Policy weights and their sequence number; the rows are not saved."""
        if not self._check_component(COMPONENT_RL_MODULE, components, not_components):
            return {}
        return {COMPONENT_RL_MODULE: self.module.get_state(), WEIGHTS_SEQ_NO: self._weights_seq_no}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Load weights, unless the current ones are newer."""
        seq_no = state.get(WEIGHTS_SEQ_NO, 0)
        if COMPONENT_RL_MODULE in state and (seq_no == 0 or seq_no > self._weights_seq_no):
            self.module.set_state(state[COMPONENT_RL_MODULE])
            self._weights_seq_no = seq_no

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Constructor arguments of an equal env runner."""
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """The policies, as the only component."""
        return [(COMPONENT_RL_MODULE, self.module)]

    def assert_healthy(self) -> None:
        """No-op: an env runner that was built is healthy."""

    def stop(self) -> None:
        """Close the fleet."""
        self.env.close()


class _RolloutBuffer:
    def __init__(self, steps: int, observations: NDArray[np.float32], slots: tuple[int, ...]) -> None:
        rows, size = observations.shape
        self.observations = np.empty((steps + 1, rows, size), np.float32)
        self.actions = np.empty((steps, rows, *slots), np.uint8)
        self.log_probs, self.rewards, self.discounted = (
            np.empty((steps, rows), np.float32) for _ in range(3)
        )
        self.terminated, self.truncated = (np.empty((steps, rows), np.bool_) for _ in range(2))
        self.final_observations: dict[int, NDArray[np.float32]] = {}

    def of_policy(self, policy: str, first_row: int, rows: slice) -> Rollout:
        final = [last[rows][self.truncated[step, rows]] for step, last in self.final_observations.items()]
        return Rollout(
            policy,
            first_row,
            final_observations=np.concatenate([self.observations[0, :0], *final]),
            **{
                name: np.ascontiguousarray(getattr(self, name)[:, rows])
                for name in (
                    *("observations", "actions", "log_probs", "rewards"),
                    *("terminated", "truncated", "discounted"),
                )
            },
        )
