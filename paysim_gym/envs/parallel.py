"""PettingZoo environment: the learners of one system are its agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Unpack

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from paysim_gym.envs.env_arguments import FleetArguments
from paysim_gym.envs.infos import Info, episode_columns, reset_columns, row_infos
from paysim_gym.envs.learners import agent_names
from paysim_gym.envs.validation import validate_agents, validate_options, validate_seed, validate_shape
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.extras import requires_extra
from paysim_gym.render.day_renderer import Frame
from paysim_gym.scenario import ScenarioSource, load_scenario

with requires_extra("multiagent"):
    from pettingzoo import ParallelEnv

Observations = dict[str, NDArray[np.float32]]
Infos = dict[str, Info]


class PaymentParallelEnv(ParallelEnv[str, NDArray[np.float32], Any]):
    """Several banks decide simultaneously at every tick which queued payments to release.

    The agents are the learners, named by the ids of their banks. Each acts, observes and is rewarded as in
    `PaymentEnv` and has its spaces. All agents end together.

    ## Action space
    For each agent that of `PaymentEnv`; `info["action_mask"]` has the legal actions, as
    `action_space(agent).sample(mask=...)` takes them.

    ## Observation space
    For each agent that of `PaymentEnv`: only its own account, queues and receipts.

    ## Rewards
    For each agent minus its own cost of the step over its reward scale; `reward="system"` and `"blend"`
    include other banks' costs.

    ## Starting state
    As `PaymentEnv`: `reset(seed=s)` starts the first episode of seed s, `reset()` the next one.

    ## Episode end
    Every agent is terminated after the last tick of the last day, with its totals in
    `info["episode_<total>"]`; `max_episode_steps` truncates every agent. Earlier infos have the totals so
    far, because libraries expect equal keys in all infos.

    ## Arguments
    * `scenario`: a bundled scenario's name, the path of a YAML file, a mapping, or a `Scenario`
    * `learners`: the banks that learn; by default those whose policy is `learner`
    * the others as in `PaymentVectorEnv`, without `num_envs` and `autoreset_mode`

    Attributes:
        observation_names: Names of the columns of an agent's observation.

    ## Versions
    * v1: as in `PaymentEnv`
    * v0: first version
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "name": "paysim_v1",
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 8,
        "is_parallelizable": True,
    }

    def __init__(
        self,
        scenario: ScenarioSource = "five_bank",
        learners: Sequence[str] | None = None,
        *,
        render_mode: str | None = None,
        **arguments: Unpack[FleetArguments],
    ) -> None:
        """Build the system; the arguments are described above.

        Raises:
            ScenarioError: If the scenario is invalid.
            TypeError: If there is no such argument.
            ValueError: If another argument is invalid, or no bank learns.
        """
        self.scenario = load_scenario(scenario)
        named = agent_names(self.scenario, learners)
        self._system = PaymentVectorEnv(
            max(len(named), 1),
            self.scenario,
            named,
            autoreset_mode=AutoresetMode.DISABLED,
            render_mode=render_mode,
            **arguments,
        )
        self.settings = self._system.settings
        self.observation_names = self._system.observation_names
        self.render_mode = render_mode
        self.amount_scales_cents = self._system.amount_scales_cents
        self.reward_scales_cents = self._system.reward_scales_cents
        self.possible_agents = list(named)
        self.agents: list[str] = []
        example = self._system.single_observation_space, self._system.single_action_space
        self.observation_spaces = {agent: deepcopy(example[0]) for agent in named}
        self.action_spaces = {agent: deepcopy(example[1]) for agent in named}

    def observation_space(self, agent: str) -> Space[Any]:
        """The agent's observation space; always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Space[Any]:
        """The agent's action space; always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, Infos]:
        """Start an episode for all agents.

        Args:
            seed: Starts its first episode; without one the next episode (at first, of a drawn seed).
            options: A mapping, ignored.

        Returns:
            By agent, its observation, float32 of shape (observation size,), and an info with the keys of that
            of `step`.

        Raises:
            ValueError: If the seed is not an integer between 0 and 2**64 - 1, or the options are no mapping.
        """
        validate_options(options)
        seeds = None if seed is None else [validate_seed(seed)] * len(self.possible_agents)
        observations, _ = self._system.reset(seed=seeds)
        self.agents = list(self.possible_agents)
        return self._by_agent(observations), self._reset_infos(self._system.action_masks())

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one step: a tick, or the opening of a day with a pool.

        Args:
            actions: Integers of the action space for every agent.

        Returns:
            By agent: observation, reward, terminated, truncated and an info with `cost_<component>`,
            `illegal_actions`, `action_mask` and `episode_<total>`, the totals of the episode so far.

        Raises:
            ValueError: If an action is missing, has the wrong shape or type, or is for an unknown agent.
            ActionError: If an action is out of range, or illegal in strict mode.
            EpisodeOverError: If the episode is over.
            ResetNeeded: Before the first reset.
        """
        self._system.validate_running()
        result = self._system.step_rows(self._batch(actions))
        infos = {**result.infos, **episode_columns(self._system.totals())}
        if result.terminated[0] or result.truncated[0]:
            self.agents = []
        return (
            self._by_agent(result.observations),
            self._by_agent(result.rewards.tolist()),
            self._by_agent(result.terminated.tolist()),
            self._by_agent(result.truncated.tolist()),
            self._by_agent(row_infos(infos, self._system.mask_format)),
        )

    def action_masks(self) -> dict[str, NDArray[np.bool_]]:
        """By agent, the legal actions of all components: bool of shape (mask size,)."""
        return self._by_agent(self._system.action_masks())

    def scripted_actions(self, policy: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
        """By agent, the action closest to what a scripted policy would do; see `PaymentVectorEnv`."""
        return self._by_agent(self._system.scripted_actions(policy))

    def save_state(self) -> bytes:
        """Save the state of the system; see `PaymentEnv`."""
        return self._system.save_state()

    def restore_state(
        self, state: bytes, *, seed: int | None = None, known_by: str | None = None
    ) -> tuple[Observations, Infos]:
        """Restore a saved state; with a seed, redraw what `known_by` cannot know; see `PaymentVectorEnv`.

        Other agents' payments of this tick are drawn anew too, and so are their observations.

        Returns:
            By agent, observation and info, as `reset` returns them.

        Raises:
            ValueError: If state, seed or known_by are invalid; nothing has changed then.
            ResetNeeded: Before the first reset.
        """
        observations, masks = self._system.restore_system(0, state, seed=seed, known_by=known_by)
        self.agents = [] if self._system.ended.any() else list(self.possible_agents)
        return self._by_agent(observations), self._reset_infos(masks)

    def render(self) -> Frame | None:
        """Render all agents' days so far, one below the other; see `PaymentEnv.render`."""
        frames = self._system.render()
        if frames is None:
            return None
        if self.render_mode == "ansi":
            return "\n\n".join(str(frame) for frame in frames)
        return np.concatenate([np.asarray(frame, np.uint8) for frame in frames])

    def close(self) -> None:
        """Release the engine; later steps and resets raise ClosedEnvironmentError."""
        self._system.close()

    def _reset_infos(self, masks: NDArray[np.bool_]) -> Infos:
        infos = {
            **reset_columns(len(masks)),
            "action_mask": masks.view(np.int8),
            **episode_columns(self._system.totals()),
        }
        return self._by_agent(row_infos(infos, self._system.mask_format))

    def _batch(self, actions: Mapping[str, Any]) -> NDArray[np.int64]:
        """Return the actions in the order of the rows."""
        validate_agents(actions, self.possible_agents)
        arrays = [np.asarray(actions[agent]) for agent in self.possible_agents]
        for array in arrays:
            validate_shape(array, self._system.single_action_space.shape or ())
        return np.stack(arrays)

    def _by_agent(self, rows: Any) -> dict[str, Any]:
        return dict(zip(self.possible_agents, rows, strict=True))


parallel_env = PaymentParallelEnv
"""The name that PettingZoo uses by convention."""
