"""Spaces of one learner, from the engine's tables, and the formats of its masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import NDArray

from paysim_gym import _engine
from paysim_gym.envs.env_arguments import DEFAULT_SLOTS, EnvSettings, validate_env_arguments

ActionSpace: TypeAlias = "Discrete[np.int64] | MultiDiscrete"  # not generic in Gymnasium 1.2
SampleMask = NDArray[np.int8] | tuple[NDArray[np.int8], ...]
"""What `sample(mask=...)` of an action space takes."""

_SLOT_PREFIX = "slot_"


class ObservationField(NamedTuple):
    """A column of the observation.

    Attributes:
        name: Unique among the columns; the columns of slot i begin with `slot_<i>_`.
        unit: Of the value.
        low: Smallest value.
        high: Largest value.
        doc: Meaning.
    """

    name: str
    unit: str
    low: float
    high: float
    doc: str


def observation_fields(slots: int = DEFAULT_SLOTS) -> tuple[ObservationField, ...]:
    """Return the columns of an observation: the bank's, then each slot's.

    Args:
        slots: Number of queued payments that the observation has, from 1 to 64.

    Raises:
        ValueError: If the number is not allowed.
    """
    slots = validate_env_arguments(slots=slots).slots
    return tuple(ObservationField(*field) for field in _engine.observation_fields(slots))


def observation_names(slots: int) -> tuple[str, ...]:
    """Return the names of the columns of an observation."""
    return tuple(field.name for field in observation_fields(slots))


def bank_column_count(names: tuple[str, ...]) -> int:
    """Return the number of columns about the bank, which precede those of the slots."""
    return sum(not name.startswith(_SLOT_PREFIX) for name in names)


def observation_space(slots: int) -> Box:
    """Return the observation space: float32 of shape (observation size,), with true bounds."""
    fields = observation_fields(slots)
    low = np.array([field.low for field in fields], np.float32)
    high = np.array([field.high for field in fields], np.float32)
    return Box(low, high, dtype=np.float32)


def action_space(nvec: Sequence[int], settings: EnvSettings) -> ActionSpace:
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


class MaskFormat:
    """Converts flat masks of an action space to the form for its `sample`.

    Attributes:
        size: Length of the flat mask: the number of values of all components.
    """

    def __init__(self, space: ActionSpace) -> None:
        """Read the components of the space."""
        ends = np.cumsum(component_choices(space)).tolist()
        self.size: int = ends[-1]
        parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        self._parts = None if isinstance(space, Discrete) else parts

    def split(self, mask: NDArray[np.bool_] | NDArray[np.int8]) -> SampleMask:
        """Return int8 views of a flat mask: one, or for `MultiDiscrete` one per component."""
        flags: NDArray[np.int8] = mask.view(np.int8)
        if self._parts is None:
            return flags
        return tuple(map(flags.__getitem__, self._parts))
