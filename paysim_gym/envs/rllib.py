"""An RLlib view of the PettingZoo environment: every learner an agent of one system.

With one policy for all learners RLlib needs no view: `PaymentVectorEnv` is what its single-agent env
runner steps, by the id `paysim_gym:PaySim/Bank-v0` and with `gym_env_vectorize_mode="vector_entry_point"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune.registry import register_env

from paysim_gym.envs.checks import spread_seeds
from paysim_gym.envs.parallel import Infos, Observations, PaymentParallelEnv

PARALLEL_ID = "PaySim/Parallel-v0"


class PaymentMultiAgentEnv(MultiAgentEnv):
    """Several banks decide at every tick, each by its own policy or all by one.

    Agents, spaces, rewards and infos are those of `PaymentParallelEnv`. All agents act in every step and
    end together, so that `__all__` is what holds for each.

    Attributes:
        parallel_env: The environment underneath.
    """

    def __init__(self, env_config: Mapping[str, Any] | None = None) -> None:
        """Build the system.

        Args:
            env_config: Arguments of `PaymentParallelEnv`. RLlib's own mapping also tells the number of
                the env runner.

        Raises:
            ScenarioError: If the scenario breaks a rule.
            ValueError: If another argument does, or no bank learns.
        """
        self.parallel_env = PaymentParallelEnv(**(env_config or {}))
        self._worker = getattr(env_config, "worker_index", None) or 0
        self.agents = list(self.parallel_env.possible_agents)
        self.possible_agents = list(self.agents)
        self.observation_spaces = self.parallel_env.observation_spaces
        self.action_spaces = self.parallel_env.action_spaces
        self.metadata: dict[str, Any] = {"render_modes": []}
        super().__init__()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, Infos]:
        """Start an episode for all agents.

        Args:
            seed: Start its first episode; without one, go on to the next (of a drawn seed, at first).
                RLlib seeds the environments of a remote env runner with numbers that the next one's
                also get; there, another seed is drawn from it and from the number of the env runner.
            options: A mapping, ignored.

        Returns:
            By agent, its observation, float32 of shape (observation size,), and info with `action_mask`.

        Raises:
            ValueError: If the seed is not an integer between 0 and 2**64 - 1, or the options no mapping.
        """
        if seed is not None and self._worker:
            (seed,) = spread_seeds(seed, 1, self._worker)
        return self.parallel_env.reset(seed=seed, options=options)

    def step(
        self, action_dict: Mapping[str, NDArray[Any]]
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one step: a tick, or the opening of a day in which pools are committed.

        Args:
            action_dict: By agent, integers as in its action space; one for every agent.

        Returns:
            By agent: observation, reward, terminated, truncated (both also for `__all__`) and info.

        Raises:
            ValueError: If an agent's action is missing or has the wrong shape or type, or a key is no agent.
            ActionError: If an action is out of range, or illegal in strict mode.
            EpisodeOverError: If the episode is over.
            ResetNeeded: Before the first reset.
        """
        observations, rewards, terminated, truncated, infos = self.parallel_env.step(action_dict)
        terminated["__all__"] = all(terminated.values())
        truncated["__all__"] = all(truncated.values())
        return observations, rewards, terminated, truncated, infos


def register_with_ray() -> None:
    """Make `PaySim/Parallel-v0` known to RLlib, here and in its env runners.

    Ray forgets it when it is shut down; `config.environment(PaymentMultiAgentEnv)` needs no name.
    """
    register_env(PARALLEL_ID, PaymentMultiAgentEnv)
