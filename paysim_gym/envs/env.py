"""The single environment: the one row of a fleet of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from paysim_gym.envs.env_arguments import EnvArguments, check_names
from paysim_gym.envs.infos import Info, reset_info
from paysim_gym.envs.specs import PortableSpec
from paysim_gym.envs.validation import validate_options, validate_seed, validate_shape
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.render.day_renderer import Frame, make_renderers, warn_no_render_mode
from paysim_gym.scenario import ScenarioSource


class PaymentEnv(PortableSpec, gym.Env[NDArray[np.float32], Any]):
    """A bank's treasurer decides at every tick which queued payments to release.

    The bank's customers order payments all day. Paying needs liquidity, which comes from the opening
    balance, from other banks' payments and, at a price, from the central bank. Early payments overdraw
    the account, late ones cost too.

    ## Action space
    In the `slots` mode `MultiDiscrete([A] * slots)`: for each of the first `slots` payments of the
    bank's queue (by priority, deadline, arrival) 0 holds it, 1 releases it, and 2 + i splits it into
    `split_parts[i]` equal parts and releases them all. In the `fraction` mode `Discrete(21)`: k releases
    k twentieths of the queue's value in queue order, and splits the payment at the margin if it is
    divisible.

    With a `liquidity_pool` every day begins with an extra step whose action commits a share of it. In
    the `slots` mode the action then has one more, last component: `MultiDiscrete([A] * slots +
    [pool_shares])`, where k commits k / (`pool_shares` - 1) of the pool. In that step the slots can only
    hold, in all other steps the last component is 0. The `fraction` mode commits with its only number,
    in twentieths. With `decides="pool"` the action is the pool's component alone,
    `Discrete(pool_shares)`; with `decides="nothing"` it is `Discrete(1)`.

    `info["action_mask"]` has the legal actions as `action_space.sample(mask=...)` takes them: int8, for
    `MultiDiscrete` a tuple of one array per component. `action_masks()` has them as one bool array, one
    component after the other. An illegal action acts as hold and is counted, or raises if `strict`.

    ## Observation space
    `Box`, float32, with true finite bounds: the clock, the bank's own money, queues, receipts and
    costs, then each slot's payment. `observation_names` has the names of the columns and
    `paysim_gym.observation_fields(slots)` also their units, bounds and meanings.
    `paysim_gym.envs.wrappers.DictObservation` separates bank, slots and mask.

    ## Rewards
    Minus the cost of the step over `reward_scale`; over an episode they sum to minus its cost over
    `reward_scale`. `info["cost_<component>"]` has each component in cents.

    ## Starting state
    The first tick's payments have arrived, or a pool is about to be committed. `reset(seed=s)` starts
    the first episode of seed s, `reset()` the next one. The seed alone determines the payments.

    ## Episode end
    Terminated after the last tick of the last day, with the learning bank's totals in
    `info["episode_<total>"]`, such as `episode_cost`; `paysim_gym.evaluation.EpisodeTable` has their
    meanings. Never truncated by itself: `spec.max_episode_steps` is one more than the steps of an episode.

    ## Arguments
    * `scenario`: a bundled scenario's name, the path of a YAML file, a mapping, or a `Scenario`
    * `learner`: the bank that learns; by default the one whose policy is `learner`
    * `render_mode`: `human` (a window), `rgb_array` (pictures), `ansi` (text) or None
    * `action_mode`, `slots`, `split_parts`, `decides`, `pool_shares`, `reward`, `reward_blend`,
      `reward_scale`, `strict`: see `paysim_gym.envs.env_arguments.EnvSettings`

    Attributes:
        scenario: The validated scenario.
        learner: The bank that learns.
        settings: The validated arguments of the decision process.
        episode_steps: Steps until an episode ends by itself.
        observation_names: Names of the columns of the observation.
        mask_format: Form of the mask that `action_space.sample(mask=...)` takes.
        amount_scale_cents: Cents of one unit of amount in the observation.
        reward_scale_cents: Cents of cost of one unit of negative reward.

    ## Versions
    * v1: flat `info`, masks that `sample` takes, ids with a discrete action and a step limit
    * v0: first version
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 8}  # noqa: RUF012

    def __init__(
        self,
        scenario: ScenarioSource = "two_bank",
        learner: str | None = None,
        *,
        render_mode: str | None = None,
        **arguments: Unpack[EnvArguments],
    ) -> None:
        """Build the system; the arguments are described above.

        Raises:
            ScenarioError: If the scenario is invalid.
            TypeError: If there is no such argument.
            ValueError: If another argument is invalid, or several learners are named.
        """
        if not isinstance(learner, str | None):
            raise ValueError(f"learner = {learner!r}: must be one bank; several have a `parallel_env`")
        check_names(arguments, EnvArguments)
        self._fleet = PaymentVectorEnv(
            1, scenario, learner, autoreset_mode=AutoresetMode.DISABLED, **arguments
        )
        self.render_mode = render_mode
        self._renderers = make_renderers(render_mode, self.metadata)
        self.scenario = self._fleet.scenario
        self.learner = self._fleet.learner
        self.settings = self._fleet.settings
        self.episode_steps = self._fleet.episode_steps
        self.observation_names = self._fleet.observation_names
        self.mask_format = self._fleet.mask_format
        self.amount_scale_cents = self._fleet.amount_scales_cents[self.learner]
        self.reward_scale_cents = self._fleet.reward_scales_cents[self.learner]
        self.observation_space = self._fleet.single_observation_space
        self.action_space = self._fleet.single_action_space
        self._action_shape = self.action_space.shape or ()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Start an episode.

        Args:
            seed: Starts its first episode; without one the next episode (at first, of a drawn seed).
            options: A mapping, ignored.

        Returns:
            The observation, float32 of shape (observation size,), and an info as that of `step`,
            without costs.

        Raises:
            ValueError: If the seed is not an integer between 0 and 2**64 - 1, or the options are no mapping.
        """
        self._fleet.validate_open()
        validate_options(options)
        super().reset(seed=None if seed is None else validate_seed(seed))
        self._fleet.np_random = self.np_random
        observations, _ = self._fleet.reset(seed=seed)
        self._record()
        return observations[0], reset_info(self.mask_format.split(self.action_masks()))

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Play one step: a tick, or the opening of a day with a pool.

        Args:
            action: Integers of shape (components,), or one integer where an action is one number.

        Returns:
            Observation, reward, terminated, truncated and an info with `cost_<component>`,
            `illegal_actions`, `action_mask` and, at the end, `episode_<total>`.

        Raises:
            ValueError: If the action has the wrong shape or type.
            ActionError: If it is out of range, or illegal in strict mode.
            EpisodeOverError: If the episode is over.
            ResetNeeded: Before the first reset.
        """
        actions = np.asarray(action)
        validate_shape(actions, self._action_shape)
        returned = self._fleet.step_single(actions[None])
        self._record()
        return returned

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions, one component after the other: bool of shape (mask size,)."""
        masks: NDArray[np.bool_] = self._fleet.action_masks()[0]
        return masks

    def scripted_actions(self, policy: Mapping[str, Any]) -> NDArray[np.int64]:
        """The action closest to what a scripted policy would do; see `PaymentVectorEnv`."""
        actions: NDArray[np.int64] = self._fleet.scripted_actions(policy)[0]
        return actions

    def save_state(self) -> bytes:
        """Save the state, for `restore_state`; raises ResetNeeded before the first reset."""
        return self._fleet.save_state()

    def restore_state(
        self, state: bytes, *, seed: int | None = None, known_by: str | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Restore a saved state, from which the environment continues bit for bit.

        With a seed everything random that the learner cannot know is drawn anew: the rest of the episode's
        demand, the draws of other banks' policies, and the payments that other banks received in this tick
        by sampling; see `PaymentVectorEnv.restore_state`. Wrappers keep their own counts, such as that of
        `TimeLimit`.

        Args:
            state: From `save_state` of any environment of the same scenario, `learner` and `decides`.
            seed: 0 to 2**64 - 1; the same state and seed give the same future.
            known_by: None or the learner; invalid without a seed.

        Returns:
            Observation and info, as `reset` returns them.

        Raises:
            ValueError: If state, seed or known_by are invalid; nothing has changed then.
            ResetNeeded: Before the first reset.
        """
        restored = self._fleet.restore_state(0, state, seed=seed, known_by=known_by)
        for renderer in self._renderers:
            renderer.clear()
        self._record()
        return restored

    def render(self) -> Frame | None:
        """Render the day so far: balance, credit limit, flows, queues by urgency, costs.

        Returns:
            With `rgb_array` a fresh picture, uint8 of shape (height, width, 3); with `ansi` text; with
            `human` None, since `reset` and `step` show it; without a render mode None, and a warning.

        Raises:
            ResetNeeded: Before the first reset.
            DependencyNotInstalled: If the mode needs Pillow and it is not installed.
            ClosedEnvironmentError: After `close`.
        """
        self._fleet.validate_open()
        if self.render_mode is None:
            warn_no_render_mode()
            return None
        frame = self._renderers[0].frame()
        return None if self.render_mode == "human" else frame

    def close(self) -> None:
        """Close the window and release the engine; later steps and resets raise ClosedEnvironmentError."""
        for renderer in self._renderers:
            renderer.close()
        self._fleet.close()

    def _record(self) -> None:
        for renderer in self._renderers:
            renderer.record(self._fleet.snapshots()[0])
