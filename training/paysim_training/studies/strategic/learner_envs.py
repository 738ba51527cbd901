"""Stable-Baselines3 environments of several models that learn in one fleet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from paysim_gym.envs.sb3 import PaymentVecEnv

StepResult = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]
"""Observations, rewards, ends of episodes and infos, as `VecEnv.step_wait` returns them."""


class SharedVecEnv:
    """A fleet that steps once every model has set the actions of its rows.

    Attributes:
        env: The fleet, with one row per pair of system and learner.
        observations: Current observations of all rows, float32 of shape (num_envs, observation size).
        infos: Infos of the last step, one per row; empty except where an episode ended.
    """

    def __init__(self, env: PaymentVecEnv) -> None:
        self.env = env
        self._actions = np.zeros((env.num_envs, *(env.action_space.shape or ())), np.int64)
        self._has_action = np.zeros(env.num_envs, np.bool_)
        self._is_unread = np.zeros(env.num_envs, np.bool_)
        self._rewards = np.zeros(env.num_envs, np.float32)
        self._dones = np.zeros(env.num_envs, np.bool_)
        self.reset_rows(0)

    def reset_rows(self, seed: int) -> None:
        """Start a day in every system; row i is seeded with `seed` + i."""
        self.env.seed(seed)
        self.observations = self.env.reset()
        self.infos: list[dict[str, Any]] = [{} for _ in range(self.env.num_envs)]
        self._has_action[:] = self._is_unread[:] = False

    def learner_env(self, banks: Sequence[str]) -> LearnerVecEnv:
        """The environment of some banks' model; raises ValueError for other banks than learners."""
        learners = self.env.vector_env.learners
        unknown = [bank for bank in banks if bank not in learners]
        if unknown or not banks:
            raise ValueError(f"banks = {list(banks)!r}: must be one or several of {', '.join(learners)}")
        is_own = np.tile([learner in banks for learner in learners], self.env.num_envs // len(learners))
        return LearnerVecEnv(self, np.flatnonzero(is_own))

    def set_actions(self, rows: NDArray[np.intp], actions: NDArray[np.int64]) -> None:
        """Set the actions of some rows for the next step."""
        self._actions[rows] = actions
        self._has_action[rows] = True

    def step_result(self, rows: NDArray[np.intp]) -> StepResult:
        """The result of the step for some rows; the first call steps the fleet.

        Raises:
            RuntimeError: If some rows have no actions yet.
        """
        if not self._is_unread[rows].all():
            if not self._has_action.all():
                missing = np.flatnonzero(~self._has_action).tolist()
                raise RuntimeError(
                    f"rows {missing} have no actions: call step_async of every model before step_wait of any"
                )
            self.env.step_async(self._actions)
            self.observations, self._rewards, self._dones, self.infos = self.env.step_wait()
            self._has_action[:], self._is_unread[:] = False, True
        self._is_unread[rows] = False
        infos = [self.infos[row] for row in rows]
        return self.observations[rows], self._rewards[rows], self._dones[rows], infos


class LearnerVecEnv(VecEnv):
    """The rows of one model in a shared fleet.

    Call `step_async` of every model before `step_wait` of any. `SharedVecEnv.reset_rows` starts and seeds
    days; `seed` has no effect, and `reset` returns the current observations.

    Attributes:
        rows: Indices of the model's rows in the fleet.
    """

    def __init__(self, shared: SharedVecEnv, rows: NDArray[np.intp]) -> None:
        """Use `SharedVecEnv.learner_env` to build one from bank names."""
        self.rows = rows
        self._shared = shared
        super().__init__(len(rows), shared.env.observation_space, shared.env.action_space)

    def reset(self) -> NDArray[np.float32]:
        """Current observations, float32 of shape (num_envs, observation size)."""
        return self._shared.observations[self.rows]

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Set the actions of the next step."""
        self._shared.set_actions(self.rows, actions)

    def step_wait(self) -> StepResult:
        """Observations, rewards, ends and infos; RuntimeError if another model has not acted."""
        return self._shared.step_result(self.rows)

    def close(self) -> None:
        """No-op: the fleet is closed separately."""

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """An attribute of the fleet, once per row; AttributeError if there is none."""
        return [self._shared.env.get_attr(attr_name, 0)[0] for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Raises NotImplementedError, because models share the fleet."""
        raise NotImplementedError(f"attr_name = {attr_name!r}: set it on the shared fleet")

    def env_method(self, method_name: str, *arguments: Any, **keywords: Any) -> list[Any]:
        """Raises NotImplementedError, because models share the fleet."""
        raise NotImplementedError(f"method_name = {method_name!r}: call it on the shared fleet")

    def env_is_wrapped(
        self,
        wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]],
        indices: int | Iterable[int] | None = None,
    ) -> list[bool]:
        """False for every row."""
        return [False for _ in self._get_indices(indices)]
