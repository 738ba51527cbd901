"""Spaces of one learner, from the engine's tables."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from paysim_gym import _engine
from paysim_gym.envs.env_arguments import ActionMode


def observation_space(slots: int) -> Box:
    """Return the observation space: float32 of shape (observation size,), with true bounds."""
    fields = _engine.observation_fields(slots)
    low = np.array([field[2] for field in fields], np.float32)
    high = np.array([field[3] for field in fields], np.float32)
    return Box(low, high, dtype=np.float32)


def action_space(heads: int, choices: int, action_mode: ActionMode) -> Discrete[np.int64] | MultiDiscrete:
    """Return the action space: one choice per slot, or one share of the queue."""
    if action_mode == "fraction":
        return Discrete(choices)
    return MultiDiscrete([choices] * heads)
