"""The engine's scripted policies as agents that act through an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from paysim_gym.envs.env_types import is_payment_env, unwrapped
from paysim_gym.envs.scripted_actions import validate_scripted_policy
from paysim_gym.evaluation import PolicyFactory


class ScriptedAgent:
    """Plays a scripted policy of the engine through the environment's actions.

    It satisfies `paysim_gym.evaluation.Policy` and works with Stable-Baselines3's `evaluate_policy`. The
    engine computes the actions; the observation is ignored. Like any learner, the agent decides only about
    the first `slots` payments of the queue. If more are waiting, it differs from the same policy inside the
    engine, which decides about all of them.

    Attributes:
        policy: The policy as in a scenario, with every parameter.
    """

    def __init__(self, env: Any, policy: Mapping[str, Any]) -> None:
        """Binds the agent to its environment.

        Args:
            env: A `PaymentEnv`, a `PaymentVectorEnv`, a Stable-Baselines3 `VecEnv` of them, or any of
                these under wrappers.
            policy: For example `{"type": "hold_until_deadline", "margin": 2}`.

        Raises:
            TypeError: If the environment is another one.
            ValueError: If the policy is unknown, has wrong parameters, or is `learner`.
        """
        if not (is_payment_env(env) or _is_vec_env(env)):
            raise TypeError(
                f"env = {type(unwrapped(env)).__name__}: must be a PaymentEnv, a PaymentVectorEnv or a "
                "VecEnv of them; other environments of paysim_gym have a method scripted_actions"
            )
        self.policy = validate_scripted_policy(policy).model_dump()
        self._env = env

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """Returns the policy's actions in the environment's current state.

        Args:
            observation: One observation or a batch; only its shape is used.
            state: Returned unchanged.
            episode_start: Ignored.
            deterministic: Ignored.

        Returns:
            Actions, int64 of the action space's shape, and the state.

        Raises:
            ActionError: If the environment's slots cannot express the decision.
        """
        actions = self._actions()
        action_shape = actions.shape if isinstance(self._env, gym.Env) else actions.shape[1:]
        return actions.reshape(*np.shape(observation)[:-1], *action_shape), state

    def _actions(self) -> NDArray[np.int64]:
        if isinstance(self._env, gym.Env | VectorEnv):
            payment_env: Any = self._env.unwrapped
            return np.asarray(payment_env.scripted_actions(self.policy))
        return np.stack(self._env.env_method("scripted_actions", self.policy))


def _is_vec_env(env: Any) -> bool:
    """Whether this is a `VecEnv` of Stable-Baselines3 over payment environments."""
    return hasattr(env, "env_method") and env.has_attr("scripted_actions")


def scripted(policy: Mapping[str, Any]) -> PolicyFactory:
    """Returns a factory of scripted agents for `paysim_gym.evaluation.evaluate`.

    Raises:
        ValueError: If the policy is unknown, has wrong parameters, or is `learner`.
    """
    checked = validate_scripted_policy(policy).model_dump()
    return lambda env: ScriptedAgent(env, checked)


def scripted_policies(policies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Fills in every parameter of the policies and removes duplicates.

    Raises:
        ValueError: If one is unknown, has wrong parameters, or is `learner`.
    """
    checked = [validate_scripted_policy(policy).model_dump() for policy in policies]
    return [policy for index, policy in enumerate(checked) if policy not in checked[:index]]
