"""From a configuration to what is learned: the scenario and the arguments of its environments."""

from __future__ import annotations

from typing import Any

import gymnasium

from paysim_gym import PaymentVectorEnv, Scenario, load_scenario
from training.config import ConfigError, EnvConfig


def resolve_env(env: EnvConfig) -> tuple[EnvConfig, Scenario]:
    """Fill in the constructor arguments of the id, and load the scenario they name.

    Returns:
        The configuration with every argument, and the scenario.

    Raises:
        ConfigError: If the id is not registered here, or the environment refuses its arguments.
    """
    ids = sorted(name for name in gymnasium.registry if name.startswith("PaySim/"))
    if env.id not in ids:
        raise ConfigError(f"env.id = {env.id!r}: must be one of: {', '.join(ids)}")
    resolved = EnvConfig(id=env.id, kwargs={**gymnasium.spec(env.id).kwargs, **env.kwargs})
    try:
        scenario = load_scenario(resolved.kwargs["scenario"])
        named = resolved.kwargs.get("learner")
        rows = len(named) if isinstance(named, list) else 1
        PaymentVectorEnv(rows, scenario, **constructor_arguments(resolved)).close()
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ConfigError(f"env.kwargs = {resolved.kwargs}: {error}") from error
    return resolved, scenario


def constructor_arguments(env: EnvConfig) -> dict[str, Any]:
    """The arguments of a resolved configuration that are passed on beside the scenario."""
    return {key: value for key, value in env.kwargs.items() if key != "scenario"}
