"""Errors for environments of another type, or under wrappers."""

from __future__ import annotations

from typing import Any

from gymnasium import Env, Wrapper
from gymnasium.vector import VectorEnv, VectorWrapper

from paysim_gym.envs.env import PaymentEnv
from paysim_gym.envs.vector import PaymentVectorEnv


def validate_vector_env(env: object, argument: str, advice: str) -> None:
    """Raise a TypeError unless the environment is a `PaymentVectorEnv` without wrappers.

    Args:
        env: What was given.
        argument: Its name.
        advice: What to do instead of wrapping it.
    """
    if isinstance(env, PaymentVectorEnv):
        return
    found = " over ".join(type(layer).__name__ for layer in [*wrappers(env), unwrapped(env)])
    message = f"{argument} = {found}: must be a PaymentVectorEnv"
    if isinstance(unwrapped(env), PaymentVectorEnv):
        raise TypeError(f"{message} without wrappers: pass {argument}.unwrapped; {advice}")
    raise TypeError(
        f"{message}, as PaymentVectorEnv(num_envs, scenario) or gym.make_vec(id, num_envs) makes it"
    )


def is_payment_env(env: object) -> bool:
    """Whether this is a `PaymentEnv` or `PaymentVectorEnv`, under any wrappers."""
    return isinstance(unwrapped(env), PaymentEnv | PaymentVectorEnv)


def wrappers(env: object) -> list[Any]:
    """Return the Gymnasium wrappers around an environment, outermost first."""
    found = []
    while isinstance(env, Wrapper | VectorWrapper):
        found.append(env)
        env = env.env
    return found


def unwrapped(env: object) -> object:
    """Return the environment under all Gymnasium wrappers."""
    return env.unwrapped if isinstance(env, Env | VectorEnv) else env
