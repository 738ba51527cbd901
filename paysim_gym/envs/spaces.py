"""Spaces of one learner, from the engine's tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import NDArray

from paysim_gym import _engine
from paysim_gym.envs.env_arguments import EnvSettings


def observation_space(slots: int) -> Box:
    """Return the observation space: float32 of shape (observation size,), with true bounds."""
    fields = _engine.observation_fields(slots)
    low = np.array([field[2] for field in fields], np.float32)
    high = np.array([field[3] for field in fields], np.float32)
    return Box(low, high, dtype=np.float32)


def action_space(nvec: Sequence[int], settings: EnvSettings) -> Discrete[np.int64] | MultiDiscrete:
    """Return the action space of one learner.

    Args:
        nvec: Numbers of choices of the action's components.
        settings: The arguments of the environment.
    """
    if settings.action_mode == "fraction" or settings.decides in ("pool", "nothing"):
        return Discrete(nvec[0])
    return MultiDiscrete(list(nvec))


def component_choices(space: Space[Any]) -> NDArray[np.int64]:
    """Return each component's number of choices: int64 of shape (components,)."""
    choices: Any = space
    return np.array([choices.n] if isinstance(space, Discrete) else choices.nvec, np.int64)


def masks_by_component(masks: NDArray[np.bool_], space: Space[Any]) -> NDArray[np.bool_]:
    """Return flat masks as a matrix of components and choices, padded with False.

    Args:
        masks: bool of shape (..., mask size).
        space: The action space of one learner.

    Returns:
        bool of shape (..., components, largest number of choices).
    """
    choices = component_choices(space)
    legal = np.zeros((*masks.shape[:-1], len(choices), choices.max()), np.bool_)
    legal[..., np.arange(choices.max()) < choices[:, None]] = masks
    return legal
