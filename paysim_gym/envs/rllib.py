"""RLlib multi-agent environment: the learners of one system are its agents.

With one policy for all learners RLlib needs no adapter: its single-agent env runner steps
`PaymentVectorEnv` by the id `paysim_gym:PaySim/Bank-v1` and
`gym_env_vectorize_mode="vector_entry_point"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from paysim_gym.envs.parallel import Infos, Observations, PaymentParallelEnv
from paysim_gym.envs.validation import spread_seeds
from paysim_gym.extras import requires_extra

with requires_extra("distributed,multiagent"):
    from ray.rllib.env.multi_agent_env import MultiAgentEnv
    from ray.tune.registry import register_env

PARALLEL_ID = "PaySim/Parallel-v1"


class PaymentMultiAgentEnv(MultiAgentEnv):
    """Several banks decide at every tick, with their own policies or a shared one.

    Agents, spaces, rewards and infos are those of `PaymentParallelEnv`. All agents act in every step and
    end together, so `__all__` equals the value of each.

    Attributes:
        parallel_env: The environment underneath.
    """

    def __init__(self, env_config: Mapping[str, Any] | None = None) -> None:
        """Build the system from arguments of `PaymentParallelEnv`, which raises its errors.

        Raises:
            TypeError: If the configuration is not a mapping.
        """
        if not isinstance(env_config, Mapping | None):
            kind = type(env_config).__name__
            raise TypeError(f"env_config = {kind}: must be a mapping of arguments of PaymentParallelEnv")
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
        """Start an episode for all agents, as `PaymentParallelEnv.reset` does.

        Seeds that RLlib gives to remote env runners overlap, so a remote runner draws another seed from the
        one given and its own number.
        """
        if seed is not None and self._worker:
            (seed,) = spread_seeds(seed, 1, self._worker)
        return self.parallel_env.reset(seed=seed, options=options)

    def step(
        self, action_dict: Mapping[str, NDArray[Any]]
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one step as `PaymentParallelEnv.step` does, with `__all__` in terminated and truncated."""
        observations, rewards, terminated, truncated, infos = self.parallel_env.step(action_dict)
        terminated["__all__"] = all(terminated.values())
        truncated["__all__"] = all(truncated.values())
        return observations, rewards, terminated, truncated, infos

    def close(self) -> None:
        """Release the engine; later steps and resets raise ClosedEnvironmentError."""
        self.parallel_env.close()


def register_with_ray() -> None:
    """Register `PaySim/Parallel-v1` with RLlib, here and in its env runners.

    Shutting Ray down removes it; `config.environment(PaymentMultiAgentEnv)` needs no registration.
    """
    register_env(PARALLEL_ID, PaymentMultiAgentEnv)
