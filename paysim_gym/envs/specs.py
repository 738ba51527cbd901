"""Environment specs that survive JSON."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

from paysim_gym.envs.env_arguments import to_builtin
from paysim_gym.scenario import Scenario


class PortableSpec:
    """Gives an environment a spec that can be converted to JSON.

    A scenario given as an object or a mapping becomes a mapping of all its fields, a path a string.
    """

    scenario: Scenario
    episode_steps: int
    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """What `gym.make` or `gym.make_vec` made it from; None if built directly."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            warn_early_limit(spec.id, self.episode_steps)
            spec = dataclasses.replace(spec, kwargs=json_arguments(spec.kwargs, self.scenario))
        self._spec = spec


def json_arguments(arguments: Mapping[str, Any], scenario: Scenario) -> dict[str, Any]:
    """Return arguments of an environment as JSON has them.

    Args:
        arguments: As given to the constructor.
        scenario: The validated scenario.
    """
    converted = {
        name: value.value if isinstance(value, AutoresetMode) else to_builtin(value)
        for name, value in arguments.items()
    }
    if "scenario" in arguments:
        source = arguments["scenario"]
        is_name = isinstance(source, str | os.PathLike)
        converted["scenario"] = os.fspath(source) if is_name else scenario.model_dump(mode="json")
    return converted


def warn_early_limit(env_id: str, episode_steps: int) -> None:
    """Warn if the registered step limit of an id lies within the episode."""
    registered = gym.registry.get(env_id)
    limit = registered.max_episode_steps if registered else None
    if limit is not None and limit <= episode_steps:
        gym.logger.warn(
            f"the scenario has {episode_steps} steps, but {env_id} truncates after {limit}: make "
            "PaySim/Bank-v1 instead, which has no limit, or set max_episode_steps"
        )
