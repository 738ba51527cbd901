"""From a configuration to what is learned: the scenario and the arguments of its environments."""

from __future__ import annotations

from typing import Any

import gymnasium

from paysim_gym import PaymentVectorEnv, Scenario, load_scenario
from paysim_training.core.config import ConfigError, EnvConfig


def resolve_env(env: EnvConfig, *, several: bool = False) -> tuple[EnvConfig, Scenario]:
    """Fill in the constructor arguments of the id, and load the scenario they name.

    Args:
        env: What is learned.
        several: Whether `learner` may be a list of banks.

    Returns:
        The configuration with every argument, and the scenario.

    Raises:
        ConfigError: If the id is not registered here, or the environment refuses its arguments.
    """
    ids = sorted(name for name in gymnasium.registry if name.startswith("PaySim/"))
    if env.id not in ids:
        raise ConfigError(f"env.id = {env.id!r}: must be one of: {', '.join(ids)}")
    resolved = EnvConfig(id=env.id, kwargs={**gymnasium.spec(env.id).kwargs, **env.kwargs})
    named = resolved.kwargs.get("learner")
    if isinstance(named, list) and not several:
        raise ConfigError(
            f"env.kwargs.learner = {named}: must be one bank; paysim_training.distributed takes several"
        )
    try:
        scenario = load_scenario(resolved.kwargs["scenario"])
        PaymentVectorEnv(resolved.num_learners, scenario, **constructor_arguments(resolved)).close()
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ConfigError(f"env.kwargs = {resolved.kwargs}: {error}") from error
    return resolved, scenario


def constructor_arguments(env: EnvConfig) -> dict[str, Any]:
    """The arguments of a resolved configuration that are passed on beside the scenario."""
    return {key: value for key, value in env.kwargs.items() if key != "scenario"}
