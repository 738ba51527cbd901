"""A PettingZoo view of the vector environment: every learner an agent of one system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from paysim_gym.envs.checks import check_options, check_seed, check_shape
from paysim_gym.envs.infos import Info, row_infos
from paysim_gym.envs.learners import own_learners
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.render.modes import Frame
from paysim_gym.scenario import ScenarioSource, load_scenario

Observations = dict[str, NDArray[np.float32]]
Infos = dict[str, Info]


class PaymentParallelEnv(ParallelEnv[str, NDArray[np.float32], Any]):
    """Several banks decide at every tick, at the same time, which of their queued payments to release.

    The agents are the learners, by the ids of their banks. Each acts, observes and is rewarded as in
    `PaymentEnv`, whose spaces these are. All agents end together.

    ## Action space
    For each agent that of `PaymentEnv`; `info["action_mask"]` says what is legal.

    ## Observation space
    For each agent that of `PaymentEnv`: its own account, queues and receipts, nobody else's.

    ## Rewards
    To each agent minus its own cost of the step over its reward scale; with `reward="system"` or
    `"blend"` others' costs count too.

    ## Starting state
    As `PaymentEnv`: `reset(seed=s)` starts the first episode of seed s, `reset()` the next one.

    ## Episode end
    Every agent is terminated after the last tick of the last day, with its figures in
    `info["episode_totals"]`; `max_episode_steps` truncates every agent.

    ## Arguments
    * `scenario`: a bundled scenario's name, the path of a YAML file, a mapping, or a `Scenario`
    * `learners`: the banks that learn; by default those whose policy is `learner`
    * all others of `PaymentVectorEnv` but `num_envs`, `autoreset_mode`, `seeding` and `num_threads`

    ## Versions
    * v0: first version
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "name": "paysim_v0",
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 8,
        "is_parallelizable": True,
    }

    def __init__(
        self, scenario: ScenarioSource = "five_bank", learners: Sequence[str] | None = None, **settings: Any
    ) -> None:
        """Build the system; the arguments are described above.

        Raises:
            ScenarioError: If the scenario breaks a rule.
            ValueError: If another argument does, or no bank learns.
        """
        self.scenario = load_scenario(scenario)
        if isinstance(learners, str):
            learners = [learners]
        named = own_learners(self.scenario) if learners is None else tuple(learners)
        self._system = PaymentVectorEnv(
            max(len(named), 1), self.scenario, named, autoreset_mode=AutoresetMode.DISABLED, **settings
        )
        self.settings = self._system.settings
        self.render_mode = self._system.render_mode
        self.amount_scales_cents = self._system.amount_scales_cents
        self.reward_scales_cents = self._system.reward_scales_cents
        self.possible_agents = list(named)
        self.agents: list[str] = []
        example = self._system.single_observation_space, self._system.single_action_space
        self.observation_spaces = {agent: deepcopy(example[0]) for agent in named}
        self.action_spaces = {agent: deepcopy(example[1]) for agent in named}

    def observation_space(self, agent: str) -> Space[Any]:
        """What this agent observes; always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Space[Any]:
        """What this agent may choose from; always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, Infos]:
        """Start an episode for all agents.

        Args:
            seed: Start its first episode; without one, go on to the next (of a drawn seed, at first).
            options: A mapping, ignored.

        Returns:
            By agent, its observation, float32 of shape (observation size,), and info with `action_mask`.

        Raises:
            ValueError: If the seed is not an integer between 0 and 2**64 - 1, or the options no mapping.
        """
        check_options(options)
        seeds = None if seed is None else [check_seed(seed)] * len(self.possible_agents)
        observations, infos = self._system.reset(seed=seeds)
        self.agents = list(self.possible_agents)
        return self._by_agent(observations), self._by_agent(row_infos({"action_mask": infos["action_mask"]}))

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one step: a tick, or the opening of a day in which pools are committed.

        Args:
            actions: By agent, integers as in its action space; one for every agent.

        Returns:
            By agent: observation, reward, terminated, truncated and an info with `costs`,
            `illegal_actions`, `action_mask` and, at the end, `episode_totals`.

        Raises:
            ValueError: If an agent's action is missing or has the wrong shape or type, or a key is no agent.
            ActionError: If an action is out of range, or illegal in strict mode.
            EpisodeOverError: If the episode is over.
            ResetNeeded: Before the first reset.
        """
        self._system.check_running()
        tick = self._system.play(self._batch(actions))
        if tick.terminated[0] or tick.truncated[0]:
            self.agents = []
        return (
            self._by_agent(tick.observations),
            self._by_agent(tick.rewards.tolist()),
            self._by_agent(tick.terminated.tolist()),
            self._by_agent(tick.truncated.tolist()),
            self._by_agent(row_infos(tick.infos)),
        )

    def action_masks(self) -> dict[str, NDArray[np.bool_]]:
        """By agent, its legal actions now, head after head: bool of shape (mask size,)."""
        return self._by_agent(self._system.action_masks())

    def scripted_actions(self, policy: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
        """By agent, what a scripted policy would do now; see `PaymentVectorEnv`."""
        return self._by_agent(self._system.scripted_actions(policy))

    def save_state(self) -> bytes:
        """The whole state of the system; see `PaymentEnv`."""
        return self._system.save_state()

    def restore_state(self, state: bytes, *, seed: int | None = None) -> tuple[Observations, Infos]:
        """Take up a saved state, with a seed in an unknown future; see `PaymentEnv`.

        Returns:
            By agent, observation and info, as `reset` returns them.

        Raises:
            ValueError: If the bytes are not a state of this system or the seed is wrong: nothing changes.
            ResetNeeded: Before the first reset.
        """
        observations, masks = self._system.restore_system(0, state, seed=seed)
        self.agents = [] if self._system.ended.any() else list(self.possible_agents)
        return self._by_agent(observations), self._by_agent(row_infos({"action_mask": masks}))

    def render(self) -> Frame | None:
        """All agents' days so far, one below the other; see `PaymentEnv.render`."""
        frames = self._system.render()
        if frames is None:
            return None
        if self.render_mode == "ansi":
            return "\n\n".join(str(frame) for frame in frames)
        return np.concatenate([np.asarray(frame, np.uint8) for frame in frames])

    def _batch(self, actions: Mapping[str, Any]) -> NDArray[np.int64]:
        """Actions in the order of the rows."""
        if set(actions) != set(self.possible_agents):
            agents = ", ".join(self.possible_agents)
            raise ValueError(
                f"actions are of {', '.join(map(str, actions)) or 'nobody'}: must be of {agents}"
            )
        arrays = [np.asarray(actions[agent]) for agent in self.possible_agents]
        for array in arrays:
            check_shape(array, self._system.single_action_space.shape or ())
        return np.stack(arrays)

    def _by_agent(self, rows: Any) -> dict[str, Any]:
        return dict(zip(self.possible_agents, rows, strict=True))


parallel_env = PaymentParallelEnv
"""PettingZoo's name for it."""
