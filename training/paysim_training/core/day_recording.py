"""A day under a policy as its bank saw it, to be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym.evaluation import Policy, PolicyFactory, evaluate
from paysim_gym.render import DayHistory


def record_policy_day(factory: PolicyFactory, scenario: Scenario, seed: int, **env_kwargs: Any) -> DayHistory:
    """Play the first episode of a seed, and keep its last day.

    Args:
        factory: Builds the policy.
        scenario: Where it acts.
        seed: The episode's.
        **env_kwargs: Further arguments of `PaymentVectorEnv`.

    Returns:
        What the bank had before it at each tick, and after the close.
    """
    watched: list[_Watched] = []

    def watch(env: PaymentVectorEnv) -> Policy:
        watched.append(_Watched(env, factory(env)))
        return watched[0]

    evaluate(watch, scenario, [seed], **env_kwargs)
    watched[0].look()
    return watched[0].day


class _Watched:
    """A policy that looks at what its bank has before it whenever it decides."""

    def __init__(self, env: PaymentVectorEnv, policy: Policy) -> None:
        self.day = DayHistory()
        self._env, self._policy = env, policy

    def look(self) -> None:
        self.day.record(self._env.snapshots()[0])

    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], Any]:
        self.look()
        return self._policy.predict(observation, state, episode_start, deterministic)
