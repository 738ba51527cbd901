"""Stable-Baselines3 `VecEnv` over the vector environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from paysim_gym.envs.fleet_rows import seed_indices
from paysim_gym.envs.infos import Columns, StepResult, episode_columns, reset_info, row_infos
from paysim_gym.envs.vector import PaymentVectorEnv

Indices = int | Iterable[int] | None

_ROW_METHODS = ("save_state", "restore_state")
"""Methods of the vector environment whose first argument is a row."""
_BATCH_METHODS = ("action_masks", "scripted_actions")
"""Methods of the vector environment that return the results of all rows."""


class PaymentVecEnv(VecEnv):
    """Stable-Baselines3 environment; each row behaves like a `PaymentEnv` in a `DummyVecEnv`.

    Only the last step of an episode has an info: `terminal_observation`, `TimeLimit.truncated` and
    `episode_<total>`. sb3-contrib's maskable algorithms call `action_masks`. Over a vector environment of
    several learners the rows are pairs of system and learner, which share the trained policy.

    Attributes:
        vector_env: The environment underneath.
    """

    def __init__(self, vector_env: PaymentVectorEnv, *, rows_per_seed: int = 1) -> None:
        """Wrap a vector environment.

        Args:
            vector_env: One that resets ended rows in the same step, as Stable-Baselines3 expects.
            rows_per_seed: Number of consecutive rows (with several learners: systems) that get the same
                seed, and so the same days while their episodes are equally long. Their costs then differ
                by their decisions alone.

        Raises:
            ValueError: If the autoreset mode is another one, or rows_per_seed does not divide the rows.
        """
        seeds = seed_indices(vector_env.num_envs, rows_per_seed, len(vector_env.learners))
        if vector_env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(
                f"autoreset_mode = {vector_env.autoreset_mode.value!r}: Stable-Baselines3 needs "
                f"{AutoresetMode.SAME_STEP.value!r}"
            )
        self.vector_env = vector_env
        self._seed_indices = seeds.tolist()
        self._actions: NDArray[np.int64] | None = None
        super().__init__(
            vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space
        )

    def reset(self) -> NDArray[np.float32]:
        """Start an episode in every row; return float32 of shape (num_envs, observation size)."""
        observations, _ = self.vector_env.reset(seed=self._seeds)
        self._reset_seeds()
        self._reset_options()
        self._keep_reset_infos(np.arange(self.num_envs))
        return observations

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Set the next reset's seeds, consecutive for groups of `rows_per_seed` rows; None draws one."""
        super().seed(seed)
        self._seeds = [self._seeds[index] for index in self._seed_indices]
        return list(self._seeds)

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Store the actions for `step_wait`."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Play one tick.

        Returns:
            Observations and rewards (float32), dones (bool) and one info per row.

        Raises:
            RuntimeError: If `step_async` was not called before.
        """
        if self._actions is None:
            raise RuntimeError("call step_async before step_wait")
        actions, self._actions = self._actions, None
        result = self.vector_env.step_rows(actions)
        observations, dones = result.observations, result.terminated | result.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        rows = np.flatnonzero(dones)
        if rows.size:
            finals = row_infos(_final_columns(result, rows), self.vector_env.mask_format)
            for row, info in zip(rows, finals, strict=True):
                infos[row] = info
            observations = self.vector_env.start_next_episodes()
            self._keep_reset_infos(rows)
        return observations, result.rewards.astype(np.float32), dones, infos

    def _keep_reset_infos(self, rows: NDArray[np.intp]) -> None:
        masks = self.vector_env.action_masks()
        for row in rows:
            self.reset_infos[row] = reset_info(self.vector_env.mask_format.split(masks[row]))

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions, one component after the other: bool of shape (num_envs, mask size)."""
        return self.vector_env.action_masks()

    def close(self) -> None:
        """Close the environment underneath."""
        self.vector_env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Render each row as uint8 of shape (height, width, 3), in mode `rgb_array`."""
        frames = self.vector_env.render() or ()
        return [np.asarray(frame, np.uint8) for frame in frames]

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """Return an attribute of the environment underneath, once for each row."""
        return [getattr(self.vector_env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute of the environment underneath; raises ValueError unless in all rows."""
        if sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ValueError(f"indices = {indices!r}: must be None, the rows share their attributes")
        setattr(self.vector_env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of `PaymentEnv`, such as `save_state`, in each row.

        Raises:
            AttributeError: If there is no such method, or it cannot be called per row.
        """
        rows = self._get_indices(indices)
        if method_name in _ROW_METHODS:
            method = getattr(self.vector_env, method_name)
            return [method(row, *method_args, **method_kwargs) for row in rows]
        if method_name in _BATCH_METHODS:
            results = getattr(self.vector_env, method_name)(*method_args, **method_kwargs)
            return [results[row] for row in rows]
        methods = ", ".join(_BATCH_METHODS + _ROW_METHODS)
        raise AttributeError(f"method_name = {method_name!r}: must be one of {methods}")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """Return False: no row is wrapped."""
        return [False for _ in self._get_indices(indices)]


def _final_columns(result: StepResult, rows: NDArray[np.intp]) -> Columns:
    """Return the infos of rows whose episodes are over."""
    ends = {key: column[rows] for key, column in episode_columns(result.totals).items()}
    return {
        "terminal_observation": result.observations[rows],
        "TimeLimit.truncated": ~result.terminated[rows],
        **ends,
    }
