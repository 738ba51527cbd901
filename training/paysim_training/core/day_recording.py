"""Records one day under a policy for plotting."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym.envs.env_arguments import FleetArguments
from paysim_gym.evaluation import Policy, PolicyFactory, bind_policy, evaluate
from paysim_gym.render import DayHistory


def record_policy_day(
    factory: PolicyFactory,
    scenario: Scenario,
    seed: int,
    *,
    learner: str | None = None,
    **arguments: Unpack[FleetArguments],
) -> DayHistory:
    """Plays the first episode of a seed and records its last day.

    Args:
        factory: Builds the policy.
        scenario: The scenario it plays.
        seed: Seed of the episode.
        learner: The bank that learns; by default the one whose policy is `learner`.
        **arguments: Further arguments of `PaymentVectorEnv`.

    Returns:
        The bank's state at each tick and after the close.
    """
    recording: list[_RecordingPolicy] = []

    def make_policy(env: PaymentVectorEnv) -> Policy:
        recording.append(_RecordingPolicy(env, bind_policy(factory, env)))
        return recording[0]

    evaluate(make_policy, scenario, [seed], learner=learner, **arguments)
    recording[0].record()
    return recording[0].day


class _RecordingPolicy:
    def __init__(self, env: PaymentVectorEnv, policy: Policy) -> None:
        self.day = DayHistory()
        self._env, self._policy = env, policy

    def record(self) -> None:
        self.day.record(self._env.snapshots()[0])

    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], Any]:
        self.record()
        return self._policy.predict(observation, state, episode_start, deterministic)
