"""Many systems of several learners, with arrays by agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from paysim_gym.envs.env_arguments import FleetArguments
from paysim_gym.envs.infos import Info
from paysim_gym.envs.learners import agent_names
from paysim_gym.envs.validation import (
    Seeds,
    validate_agents,
    validate_reset_mask,
    validate_seeds,
    validate_shape,
)
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.render.day_renderer import Frame
from paysim_gym.scenario import ScenarioSource, load_scenario

ByAgent = dict[str, NDArray[Any]]


class PaymentParallelVectorEnv:
    """Independent copies of one system whose learners are agents, stepped together by the engine.

    Index i of every array behaves exactly like system i alone as a `PaymentParallelEnv`. The rows of
    `vector_env`, one for each pair of system and learner, hold the same values. The caller owns all arrays.
    It does not need PettingZoo, whose parallel environments its methods are named after.

    ## Action space
    For each agent that of `PaymentVectorEnv` with `num_envs` systems.

    ## Observation space
    For each agent that of `PaymentVectorEnv` with `num_envs` systems.

    ## Rewards
    For each agent float64 of shape (num_envs,).

    ## Starting state
    As `PaymentVectorEnv`, for each system.

    ## Episode end
    The agents of a system end together. The autoreset modes are those of `PaymentVectorEnv`; in `SAME_STEP`
    the infos have `final_obs` and `final_info`.

    ## Arguments
    * `num_envs`: number of systems
    * `scenario`: a bundled scenario's name, the path of a YAML file, a mapping, or a `Scenario`
    * `learners`: the banks that learn; by default those whose policy is `learner`
    * the others as in `PaymentVectorEnv`

    Attributes:
        vector_env: The fleet underneath.
        num_envs: Number of systems.
        possible_agents: The banks that learn.
        agents: The same banks: ended systems are reset, so no agent leaves.

    ## Versions
    * v1: first version
    """

    def __init__(
        self,
        num_envs: int = 1,
        scenario: ScenarioSource = "five_bank",
        learners: Sequence[str] | None = None,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **arguments: Unpack[FleetArguments],
    ) -> None:
        """Build the fleet; the arguments are described above.

        Raises:
            ScenarioError: If the scenario is invalid.
            TypeError: If there is no such argument.
            ValueError: If another argument is invalid, or no bank learns.
        """
        self.scenario = load_scenario(scenario)
        named = agent_names(self.scenario, learners)
        # Wrong numbers are left to the fleet, which names them as they were given.
        is_number = isinstance(num_envs, int | np.integer) and not isinstance(num_envs, bool)
        rows = num_envs * max(len(named), 1) if is_number and num_envs > 0 else num_envs
        self.vector_env = PaymentVectorEnv(
            rows, self.scenario, named, autoreset_mode=autoreset_mode, render_mode=render_mode, **arguments
        )
        self.num_envs = num_envs
        self.possible_agents = list(named)
        self.agents = list(named)
        single = self.vector_env.single_observation_space, self.vector_env.single_action_space
        self._spaces = {
            agent: (single[0], single[1], batch_space(single[0], num_envs), batch_space(single[1], num_envs))
            for agent in named
        }

    def single_observation_space(self, agent: str) -> Space[Any]:
        """The observation space of an agent in one system."""
        return self._spaces[agent][0]

    def single_action_space(self, agent: str) -> Space[Any]:
        """The action space of an agent in one system."""
        return self._spaces[agent][1]

    def observation_space(self, agent: str) -> Space[Any]:
        """The observation space of an agent in all systems; always the same object."""
        return self._spaces[agent][2]

    def action_space(self, agent: str) -> Space[Any]:
        """The action space of an agent in all systems; always the same object."""
        return self._spaces[agent][3]

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, Info]]:
        """Start an episode in every system, or in those of `options["reset_mask"]`.

        Args:
            seed: An int seeds system i with `seed + i`, unless `seeding` is `spread`; a sequence has one seed
                per system. Without a seed a system starts the next episode of its seed.
            options: `reset_mask`: systems to reset, bool of shape (num_envs,). Other keys are ignored.

        Returns:
            By agent: observations, float32 of shape (num_envs, observation size), and infos, arrays of shape
            (num_envs, ...) as Gymnasium's vector environments have them.

        Raises:
            ValueError: If a seed, the options or the mask are invalid.
        """
        seeds = validate_seeds(seed, self.num_envs, self.vector_env.settings.seeding)
        systems = validate_reset_mask(options, self.num_envs)
        learners = len(self.agents)
        observations, infos = self.vector_env.reset(
            seed=[system_seed for system_seed in seeds for _ in range(learners)],
            options={"reset_mask": systems.repeat(learners)},
        )
        return self._by_agent(observations), self._infos(infos)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, NDArray[np.float32]], ByAgent, ByAgent, ByAgent, dict[str, Info]]:
        """Play one step in every system.

        A step is a tick, or the opening of a day with a pool.

        Args:
            actions: Integers of the agent's action space, for every agent.

        Returns:
            By agent: observations (float32), rewards (float64), terminated and truncated (bool), and infos.

        Raises:
            ValueError: If an action is missing, has the wrong shape or type, or is for an unknown agent.
            ActionError: If an action is out of range, or illegal in strict mode.
            EpisodeOverError: If an ended system was not reset, in the DISABLED mode.
            ResetNeeded: Before the first reset.
        """
        self.vector_env.validate_running()
        validate_agents(actions, self.agents)
        arrays = [np.asarray(actions[agent]) for agent in self.agents]
        for agent, array in zip(self.agents, arrays, strict=True):
            validate_shape(array, self.action_space(agent).shape or ())
        batch = np.stack(arrays, axis=1)
        *results, infos = self.vector_env.step(batch.reshape(-1, *batch.shape[2:]))
        observations, rewards, terminated, truncated = map(self._by_agent, results)
        return observations, rewards, terminated, truncated, self._infos(infos)

    def action_masks(self) -> dict[str, NDArray[np.bool_]]:
        """By agent, the legal actions of all components: bool of shape (num_envs, mask size)."""
        return self._by_agent(self.vector_env.action_masks())

    def scripted_actions(self, policy: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
        """By agent, the actions closest to those of a scripted policy; see `PaymentVectorEnv`."""
        return self._by_agent(self.vector_env.scripted_actions(policy))

    def render(self) -> dict[str, tuple[Frame, ...]] | None:
        """By agent, its day so far in each system; see `PaymentEnv.render`."""
        frames = self.vector_env.render()
        if frames is None:
            return None
        return {agent: frames[index :: len(self.agents)] for index, agent in enumerate(self.agents)}

    def close(self) -> None:
        """Close the fleet underneath."""
        self.vector_env.close()

    def _by_agent(self, rows: NDArray[Any]) -> ByAgent:
        """Split an array of rows into contiguous arrays of shape (num_envs, ...)."""
        by_system = rows.reshape(self.num_envs, len(self.agents), *rows.shape[1:])
        return dict(zip(self.agents, np.ascontiguousarray(by_system.swapaxes(0, 1)), strict=True))

    def _infos(self, infos: Info) -> dict[str, Info]:
        by_key = {
            key: self._infos(value) if isinstance(value, dict) else self._by_agent(value)
            for key, value in infos.items()
        }
        return {agent: {key: values[agent] for key, values in by_key.items()} for agent in self.agents}
