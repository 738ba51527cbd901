"""Resolves the environment of a configuration: its scenario and constructor arguments."""

from __future__ import annotations

from typing import Any

import gymnasium

from paysim_gym import PaymentVectorEnv, Scenario, load_scenario
from paysim_training.core.config import ConfigError, EnvConfig


def resolve_env(env: EnvConfig, *, allow_several_learners: bool = False) -> tuple[EnvConfig, Scenario]:
    """Fills in the constructor arguments of the id and loads the scenario.

    Args:
        env: The environment.
        allow_several_learners: Whether `learner` may be a list of banks.

    Returns:
        The configuration with every argument, and the scenario.

    Raises:
        ConfigError: If the id is not a registered PaySim environment, or an argument is invalid.
    """
    ids = sorted(name for name in gymnasium.registry if name.startswith("PaySim/"))
    if env.id not in ids:
        raise ConfigError(f"env.id = {env.id!r}: must be one of: {', '.join(ids)}")
    resolved = EnvConfig(id=env.id, kwargs={**gymnasium.spec(env.id).kwargs, **env.kwargs})
    named = resolved.kwargs.get("learner")
    if isinstance(named, list) and not allow_several_learners:
        raise ConfigError(
            f"env.kwargs.learner = {named}: must be one bank; only paysim distributed supports several"
        )
    try:
        source: Any = resolved.kwargs["scenario"]
        scenario = load_scenario(source)
        PaymentVectorEnv(resolved.num_learners, scenario, **constructor_arguments(resolved)).close()
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ConfigError(f"env.kwargs = {resolved.kwargs}: {error}") from error
    return resolved, scenario


def constructor_arguments(env: EnvConfig) -> dict[str, Any]:
    """Returns the constructor arguments of a resolved configuration, except for the scenario."""
    return {key: value for key, value in env.kwargs.items() if key != "scenario"}
