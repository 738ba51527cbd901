"""Wrappers of payment environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, MultiBinary
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from paysim_gym.envs.env import PaymentEnv
from paysim_gym.envs.spaces import bank_column_count
from paysim_gym.envs.vector import PaymentVectorEnv

DictObs = dict[str, NDArray[Any]]
"""`bank`, `slots` and `action_mask`."""


class DictObservation(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Separates the observation into the bank, its queued payments and the legal actions.

    ## Observation space
    `Dict`, with the bounds of `PaymentEnv`:
    * `bank`: float32 of shape (bank columns,)
    * `slots`: float32 of shape (slots, slot columns), one row for each of the first queued payments
    * `action_mask`: int8 of shape (mask size,), the legal actions, one action component after another

    `observation_names` has the names of the columns: those of the bank, then those of each slot.
    """

    def __init__(self, env: gym.Env[NDArray[np.float32], Any]) -> None:
        """Wrap an environment, with wrappers that keep its observations or without.

        Raises:
            ValueError: If it is not a `PaymentEnv`, or its observations are not those of `PaymentEnv`.
        """
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        inner = env.unwrapped
        if not isinstance(inner, PaymentEnv):
            raise ValueError(f"env = {type(inner).__name__}: must be a PaymentEnv")
        _check_observations(env.observation_space, inner.observation_space)
        self._inner, self._layout = inner, DictLayout(inner)
        self.observation_space = self._layout.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[DictObs, dict[str, Any]]:
        """Start an episode, as the environment does."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._observe(observation), info

    def step(self, action: Any) -> tuple[DictObs, Any, bool, bool, dict[str, Any]]:
        """Play one step, as the environment does."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._observe(observation), reward, terminated, truncated, info

    @property
    def observation_names(self) -> tuple[str, ...]:
        """Names of the columns: those of the bank, then those of each slot."""
        return self._inner.observation_names

    def _observe(self, observation: NDArray[np.float32]) -> DictObs:
        return self._layout.split(observation, self._inner.action_masks())


class VectorDictObservation(VectorWrapper):
    """`DictObservation` for a vector environment: every part has one more axis, of the rows."""

    def __init__(self, env: VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]) -> None:
        """Wrap a vector environment, with wrappers that keep its observations or without.

        Raises:
            ValueError: If it is not a `PaymentVectorEnv`, or its observations are not those of
                `PaymentVectorEnv`.
        """
        super().__init__(env)
        inner = env.unwrapped
        if not isinstance(inner, PaymentVectorEnv):
            raise ValueError(f"env = {type(inner).__name__}: must be a PaymentVectorEnv")
        _check_observations(env.single_observation_space, inner.single_observation_space)
        self._inner, self._layout = inner, DictLayout(inner)
        self.single_observation_space = self._layout.space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[DictObs, dict[str, Any]]:
        """Start episodes, as the environment does."""
        observations, infos = self.env.reset(seed=seed, options=options)
        return self._observe(observations), infos

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[DictObs, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Play one step, as the environment does; `final_obs` has the same form."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        if "final_obs" in infos:
            final_masks = infos["final_info"]["action_mask"]
            for row in np.flatnonzero(infos["_final_obs"]):
                infos["final_obs"][row] = self._layout.split(infos["final_obs"][row], final_masks[row])
        return self._observe(observations), rewards, terminated, truncated, infos

    @property
    def observation_names(self) -> tuple[str, ...]:
        """Names of the columns: those of the bank, then those of each slot."""
        return self._inner.observation_names

    def _observe(self, observations: NDArray[np.float32]) -> DictObs:
        return self._layout.split(observations, self._inner.action_masks())


class DictLayout:
    """Where the parts of an observation lie.

    Attributes:
        space: The space of one observation in parts.
    """

    def __init__(self, env: PaymentEnv | PaymentVectorEnv) -> None:
        """Take the layout of an environment's observations."""
        flat = env.observation_space if isinstance(env, PaymentEnv) else env.single_observation_space
        assert isinstance(flat, Box)
        self._slots, self._bank = env.settings.slots, bank_column_count(env.observation_names)
        low, high = (self._split(bound) for bound in (flat.low, flat.high))
        boxes = {name: Box(low[name], high[name], dtype=np.float32) for name in low}
        self.space = Dict({**boxes, "action_mask": MultiBinary(env.mask_format.size)})

    def split(self, observations: NDArray[np.float32], masks: NDArray[Any]) -> DictObs:
        """Split one observation, or one of each row, and add the legal actions."""
        return {**self._split(observations), "action_mask": masks.view(np.int8)}

    def _split(self, observations: NDArray[np.float32]) -> DictObs:
        rows = observations.shape[:-1]
        return {
            "bank": observations[..., : self._bank].copy(),
            "slots": observations[..., self._bank :].reshape(*rows, self._slots, -1).copy(),
        }


def _check_observations(space: gym.Space[Any], own: gym.Space[Any]) -> None:
    """Raise a ValueError if a wrapper has changed the observations."""
    if space != own:
        raise ValueError(f"observation_space = {space}: a wrapper changed it; wrap the environment before")
