"""A Stable-Baselines3 view of the vector environment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from paysim_gym.envs.fleet_rows import seed_indices
from paysim_gym.envs.infos import Tick, row_infos
from paysim_gym.envs.vector import PaymentVectorEnv

Indices = int | Iterable[int] | None

_METHODS_OF_A_ROW = ("save_state", "restore_state")
"""Methods of the vector environment that are about the row that is their first argument."""
_METHODS_OF_ALL_ROWS = ("action_masks", "scripted_actions")
"""Methods that return what each row's would."""


class PaymentVecEnv(VecEnv):
    """What Stable-Baselines3 trains on; each row behaves as a `PaymentEnv` in its `DummyVecEnv`.

    Only the last step of an episode has an info: `terminal_observation`, `TimeLimit.truncated` and
    `episode_totals`. `action_masks` serves sb3-contrib's maskable algorithms. Over a vector environment
    of several learners the rows are pairs of system and learner, which share the policy that is trained.

    Attributes:
        vector_env: The environment underneath.
    """

    def __init__(self, vector_env: PaymentVectorEnv, *, rows_per_seed: int = 1) -> None:
        """Wrap a vector environment.

        Args:
            vector_env: One that resets ended rows in the same step, as Stable-Baselines3 expects.
            rows_per_seed: How many neighbouring rows `seed` gives the same seed, and with it the same days
                for as long as their episodes are equally long: what their policy costs differs by what
                they decide alone. With several learners the rows of as many neighbouring systems.

        Raises:
            ValueError: If it has another autoreset mode, or rows_per_seed does not divide its rows.
        """
        seeds = seed_indices(vector_env.num_envs, rows_per_seed, len(vector_env.learners))
        if vector_env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(
                f"autoreset_mode = {vector_env.autoreset_mode.value!r}: Stable-Baselines3 needs "
                f"{AutoresetMode.SAME_STEP.value!r}"
            )
        self.vector_env = vector_env
        self._seed_places = seeds.tolist()
        self._actions: NDArray[np.int64] | None = None
        super().__init__(
            vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space
        )

    def reset(self) -> NDArray[np.float32]:
        """Start an episode in every row, with the seeds given to `seed`, if any.

        Returns:
            Observations, float32 of shape (num_envs, observation size).
        """
        observations, _ = self.vector_env.reset(seed=self._seeds)
        self._reset_seeds()
        self._reset_options()
        self._keep_reset_infos(np.arange(self.num_envs))
        return observations

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Give the rows their seeds for the next reset, one more for each group of `rows_per_seed`.

        Args:
            seed: The first; None draws one.

        Returns:
            The seeds, by row.
        """
        super().seed(seed)
        self._seeds = [self._seeds[place] for place in self._seed_places]
        return list(self._seeds)

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Play one tick.

        Returns:
            Observations and rewards (float32), ends (bool) and one info a row.

        Raises:
            RuntimeError: Without a `step_async` before it.
        """
        if self._actions is None:
            raise RuntimeError("call step_async before step_wait")
        actions, self._actions = self._actions, None
        tick = self.vector_env.play(actions)
        observations, ended = tick.observations, tick.terminated | tick.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        rows = np.flatnonzero(ended)
        if rows.size:
            for row, info in zip(rows, _last_infos(tick, rows), strict=True):
                infos[row] = info
            observations = self.vector_env.start_next_episodes()
            self._keep_reset_infos(rows)
        return observations, tick.rewards.astype(np.float32), ended, infos

    def _keep_reset_infos(self, rows: NDArray[np.intp]) -> None:
        """What `reset` told these rows, now that they have begun an episode."""
        masks = self.vector_env.action_masks()
        for row in rows:
            self.reset_infos[row] = {"action_mask": masks[row]}

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions now, head after head: bool of shape (num_envs, mask size)."""
        return self.vector_env.action_masks()

    def close(self) -> None:
        """Close the environment underneath."""
        self.vector_env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Each row's picture, uint8 of shape (height, width, 3), where the render mode is `rgb_array`."""
        frames = self.vector_env.render() or ()
        return [np.asarray(frame, np.uint8) for frame in frames]

    def get_attr(self, attr_name: str, indices: Indices = None) -> list[Any]:
        """An attribute of the environment underneath, once for each row (they share it).

        Raises:
            AttributeError: If there is none.
        """
        return [getattr(self.vector_env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Indices = None) -> None:
        """Set an attribute of the environment underneath.

        Raises:
            ValueError: If only some rows are meant, as they share it.
        """
        if sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ValueError(f"indices = {indices!r}: must be None, the rows share their attributes")
        setattr(self.vector_env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Indices = None, **method_kwargs: Any
    ) -> list[Any]:
        """What a method of `PaymentEnv` returns in each row: of `action_masks`, `save_state` and so on.

        Raises:
            AttributeError: If there is no such method, or the rows cannot do it one by one.
        """
        rows = self._get_indices(indices)
        if method_name in _METHODS_OF_A_ROW:
            method = getattr(self.vector_env, method_name)
            return [method(row, *method_args, **method_kwargs) for row in rows]
        if method_name in _METHODS_OF_ALL_ROWS:
            results = getattr(self.vector_env, method_name)(*method_args, **method_kwargs)
            return [results[row] for row in rows]
        methods = ", ".join(_METHODS_OF_ALL_ROWS + _METHODS_OF_A_ROW)
        raise AttributeError(f"method_name = {method_name!r}: must be one of {methods}")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Indices = None
    ) -> list[bool]:
        """No row is wrapped."""
        return [False for _ in self._get_indices(indices)]


def _last_infos(tick: Tick, rows: NDArray[np.intp]) -> list[dict[str, Any]]:
    """The infos of these rows, whose episodes are over."""
    last = {
        "terminal_observation": tick.observations[rows],
        "TimeLimit.truncated": ~tick.terminated[rows],
        "episode_totals": {key: column[rows] for key, column in tick.totals.items()},
    }
    return row_infos(last)
