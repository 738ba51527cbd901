"""An env runner for RLlib that plays the whole native fleet in one call a step."""

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
from paysim_training.rllib.module import SlotChoices, draw
from paysim_training.rllib.rollout import Rollout

EPISODES = "episodes"
"""Under it in the metrics: sums over the episodes that ended, by bank and name, and their `count`."""
SECONDS = "seconds"
"""Under it in the metrics: seconds spent in the `environment`, in the `policy` and in `all`."""
BYTES = "rollout_bytes"


class FleetEnvRunner(EnvRunner, Checkpointable):
    """Plays a share of the run's rows, and hands over what each policy did in them.

    The configuration's `env_config` has `arguments` (of `PaymentVectorEnv`), `steps` of a rollout,
    `discount`, `policies` (name of a policy to the number of its bank among the learners, or None if it
    decides for all of them), `seed`, and `rows_per_seed`, how many neighbouring rows play the same days.

    Attributes:
        env: The fleet.
        module: The policies.
    """

    def __init__(self, *, config: Any, **keywords: Any) -> None:
        super().__init__(config=config, **keywords)
        given = self.config.env_config
        self._steps, self._discount = given["steps"], given["discount"]
        self._rows_per_seed = given["rows_per_seed"]
        self.env = PaymentVectorEnv(
            self.config.num_envs_per_env_runner, autoreset_mode="SameStep", **given["arguments"]
        )
        self._first_row = max((self.worker_index or 0) - 1, 0) * self.env.num_envs
        banks = len(self.env.learners)
        self._rows = {
            policy: slice(None) if bank is None else slice(bank, None, banks)
            for policy, bank in given["policies"].items()
        }
        # The driver's threads are the learner's.
        if self.worker_index:
            torch.set_num_threads(1)
        self._generator = torch.Generator()
        self._weights_number = 0
        self.module = self.config.get_multi_rl_module_spec(
            spaces=self.get_spaces(), inference_only=True
        ).build()
        self.start(given["seed"])

    def start(self, seed: int) -> None:
        """Begin new episodes in all rows.

        Args:
            seed: Of demand and exploration. A row's days depend on it and on the number of the row among
                those of all runners alone.
        """
        first = seed + self._first_row
        places = seed_indices(self.env.num_envs, self._rows_per_seed, len(self.env.learners))
        self._observations, _ = self.env.reset(
            seed=(seed + self._first_row // self._rows_per_seed + places).tolist()
        )
        self._generator.manual_seed(first)
        self._discounted = np.zeros(self.env.num_envs)
        self._returns = np.zeros(self.env.num_envs)

    def sample(self, **_: Any) -> list[Rollout]:
        """Play a rollout of all rows.

        Returns:
            What each policy did.
        """
        began = time.perf_counter()
        self._spent = {"environment": 0.0, "policy": 0.0}
        kept = _Arrays(self._steps, self._observations, self.env.single_action_space.shape)
        for step in range(self._steps):
            kept.observations[step] = self._observations
            actions, kept.log_probs[step] = self._decide()
            kept.actions[step] = actions
            self._play(actions, kept, step)
        kept.observations[self._steps] = self._observations
        rollouts = [kept.of_policy(policy, self._first_row, rows) for policy, rows in self._rows.items()]
        self._count(rollouts, time.perf_counter() - began)
        return rollouts

    def _decide(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        began = time.perf_counter()
        actions = np.empty((self.env.num_envs, *self.env.single_action_space.shape), np.int64)
        log_probs = np.empty(self.env.num_envs, np.float32)
        seen = torch.from_numpy(self._observations)
        with torch.no_grad():
            for policy, rows in self._rows.items():
                logits = self.module[policy].logits(seen[rows])
                drawn = draw(logits, self._generator)
                actions[rows] = drawn.numpy()
                log_probs[rows] = SlotChoices(logits=logits).logp(drawn).numpy()
        self._spent["policy"] += time.perf_counter() - began
        return actions, log_probs

    def _play(self, actions: NDArray[np.int64], kept: _Arrays, step: int) -> None:
        began = time.perf_counter()
        tick = self.env.step_rows(actions)
        ended = tick.terminated | tick.truncated
        self._observations = self.env.start_next_episodes() if ended.any() else tick.observations
        self._spent["environment"] += time.perf_counter() - began
        self._returns += tick.rewards
        self._discounted = self._discounted * self._discount + tick.rewards
        kept.rewards[step], kept.discounted[step] = tick.rewards, self._discounted
        kept.terminated[step], kept.truncated[step] = tick.terminated, tick.truncated
        if ended.any():
            self._count_episodes(tick.totals, ended)
            self._discounted[ended] = 0
            self._returns[ended] = 0
        if tick.truncated.any():
            kept.final_observations[step] = tick.observations

    def _count_episodes(self, totals: Mapping[str, NDArray[Any]], ended: NDArray[np.bool_]) -> None:
        columns = {"reward": self._returns, **totals}
        for number, bank in enumerate(self.env.learners):
            rows = np.flatnonzero(ended[number :: len(self.env.learners)]) * len(self.env.learners) + number
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
        """What was counted since the last call."""
        return self.metrics.reduce()

    def get_spaces(self) -> dict[str, Any]:
        """Spaces of the fleet, of a row, and of each policy."""
        single = (self.env.single_observation_space, self.env.single_action_space)
        return {
            INPUT_ENV_SPACES: (self.env.observation_space, self.env.action_space),
            INPUT_ENV_SINGLE_SPACES: single,
            **dict.fromkeys(self._rows, single),
        }

    def get_state(self, components: Any = None, *, not_components: Any = None, **_: Any) -> dict[str, Any]:
        """The policies' weights and their number; what the rows are at is not kept."""
        if not self._check_component(COMPONENT_RL_MODULE, components, not_components):
            return {}
        return {COMPONENT_RL_MODULE: self.module.get_state(), WEIGHTS_SEQ_NO: self._weights_number}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take up weights, unless they are older than those that are here."""
        number = state.get(WEIGHTS_SEQ_NO, 0)
        if COMPONENT_RL_MODULE in state and (number == 0 or number > self._weights_number):
            self.module.set_state(state[COMPONENT_RL_MODULE])
            self._weights_number = number

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What to build another one with."""
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """The policies."""
        return [(COMPONENT_RL_MODULE, self.module)]

    def assert_healthy(self) -> None:
        """It is, once it has been built."""

    def stop(self) -> None:
        """Close the fleet."""
        self.env.close()


class _Arrays:
    """The arrays of a rollout, while it is played."""

    def __init__(self, steps: int, seen: NDArray[np.float32], slots: tuple[int, ...]) -> None:
        rows, size = seen.shape
        self.observations = np.empty((steps + 1, rows, size), np.float32)
        self.actions = np.empty((steps, rows, *slots), np.uint8)
        self.log_probs, self.rewards, self.discounted = (
            np.empty((steps, rows), np.float32) for _ in range(3)
        )
        self.terminated, self.truncated = (np.empty((steps, rows), np.bool_) for _ in range(2))
        self.final_observations: dict[int, NDArray[np.float32]] = {}

    def of_policy(self, policy: str, first_row: int, rows: slice) -> Rollout:
        last = [seen[rows][self.truncated[step, rows]] for step, seen in self.final_observations.items()]
        return Rollout(
            policy,
            first_row,
            final_observations=np.concatenate([self.observations[0, :0], *last]),
            **{
                name: np.ascontiguousarray(getattr(self, name)[:, rows])
                for name in (
                    *("observations", "actions", "log_probs", "rewards"),
                    *("terminated", "truncated", "discounted"),
                )
            },
        )
