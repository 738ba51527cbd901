"""The single environment: the one row of a fleet of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from paysim_gym.envs.checks import check_options, check_seed, check_shape
from paysim_gym.envs.env_arguments import DEFAULT_SLOTS, DEFAULT_SPLIT_PARTS, ActionMode, Decides, RewardKind
from paysim_gym.envs.infos import Info
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.render.modes import Frame, make_screens, warn_of_no_render_mode
from paysim_gym.scenario import ScenarioSource


class PaymentEnv(gym.Env[NDArray[np.float32], Any]):
    """A bank's treasurer decides at every tick which queued payments to release.

    The bank's customers bring payments all day; paying needs liquidity, which comes from the opening
    balance, from other banks' payments, and at a price from the central bank. Paying early overdraws
    the account, paying late costs too.

    ## Action space
    In the `slots` mode `MultiDiscrete([A] * slots)`: for each of the first `slots` payments of the
    bank's queue (by priority, deadline, arrival) 0 holds it, 1 releases it, and 2 + i splits it into
    `split_parts[i]` equal parts and releases them all. In the `fraction` mode `Discrete(21)`: k releases
    k twentieths of the queue's value in queue order, cutting the payment at the margin if it is
    divisible. With a `liquidity_pool` every day begins with one step more, whose action commits a share
    of it: its first number over the largest it could be. `action_masks()` and `info["action_mask"]` say
    what is legal (head after head); an illegal action acts as hold and is counted, or raises if `strict`.

    ## Observation space
    `Box`, float32, with true finite bounds: the clock, the bank's own money, queues, receipts and
    costs, then each slot's payment. `paysim_gym._engine.observation_fields(slots)` names each column,
    its unit, bounds and meaning.

    ## Rewards
    Minus the cost of the step over `reward_scale`; over an episode they sum to minus its cost over
    `reward_scale`. `info["costs"]` has the components in cents.

    ## Starting state
    The first tick's payments have arrived, or a pool is about to be committed. `reset(seed=s)` starts
    the first episode of seed s, `reset()` the next one: same seed, same payments, whatever anyone does.

    ## Episode end
    Terminated after the last tick of the last day, with the episode's figures for the learning bank
    in `info["episode_totals"]`. Never truncated by itself.

    ## Arguments
    * `scenario`: a bundled scenario's name, the path of a YAML file, a mapping, or a `Scenario`
    * `learner`: the bank that learns; by default the one whose policy is `learner`
    * `action_mode`, `slots`, `split_parts`: the action space
    * `decides`: what the learner decides, `pool`, `payments` or `both`
    * `reward`: `own`, `system` or `blend` (with weight `reward_blend` on the system's cost)
    * `reward_scale`: cents per unit of reward; by default chosen from the scenario
    * `strict`: whether an illegal action raises
    * `render_mode`: `human` (a window), `rgb_array` (pictures), `ansi` (text) or None

    Attributes:
        scenario: The checked scenario.
        learner: The bank that learns.
        settings: The decision process, as given and checked.
        amount_scale_cents: Cents of one unit of amount in the observation.
        reward_scale_cents: Cents of cost of one unit of negative reward.

    ## Versions
    * v0: first version
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 8}  # noqa: RUF012

    def __init__(
        self,
        scenario: ScenarioSource = "two_bank",
        learner: str | None = None,
        *,
        slots: int = DEFAULT_SLOTS,
        split_parts: Sequence[int] = DEFAULT_SPLIT_PARTS,
        action_mode: ActionMode = "slots",
        decides: Decides = "both",
        reward: RewardKind = "own",
        reward_blend: float = 0.5,
        reward_scale: float | None = None,
        strict: bool = False,
        render_mode: str | None = None,
    ) -> None:
        """Build the system; the arguments are described above.

        Raises:
            ScenarioError: If the scenario breaks a rule.
            ValueError: If another argument does, or several learners are named.
        """
        if not isinstance(learner, str | None):
            raise ValueError(f"learner = {learner!r}: must be one bank; several have a `parallel_env`")
        self._fleet_of_one = PaymentVectorEnv(
            1,
            scenario,
            learner,
            slots=slots,
            split_parts=split_parts,
            action_mode=action_mode,
            decides=decides,
            reward=reward,
            reward_blend=reward_blend,
            reward_scale=reward_scale,
            strict=strict,
            autoreset_mode=AutoresetMode.DISABLED,
        )
        self.render_mode = render_mode
        self._screens = make_screens(render_mode, self.metadata)
        self.scenario = self._fleet_of_one.scenario
        self.learner = self._fleet_of_one.learner
        self.settings = self._fleet_of_one.settings
        self.amount_scale_cents = self._fleet_of_one.amount_scales_cents[self.learner]
        self.reward_scale_cents = self._fleet_of_one.reward_scales_cents[self.learner]
        self.observation_space = self._fleet_of_one.single_observation_space
        self.action_space = self._fleet_of_one.single_action_space
        self._action_shape = self.action_space.shape or ()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Start an episode.

        Args:
            seed: Start its first episode; without one, go on to the next (of a drawn seed, at first).
            options: A mapping, ignored.

        Returns:
            The observation, float32 of shape (observation size,), and an info with `action_mask`.

        Raises:
            ValueError: If the seed is not an integer between 0 and 2**64 - 1, or the options no mapping.
        """
        check_options(options)
        super().reset(seed=None if seed is None else check_seed(seed))
        self._fleet_of_one.np_random = self.np_random
        observations, _ = self._fleet_of_one.reset(seed=seed)
        self._record()
        return observations[0], {"action_mask": self.action_masks()}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Play one step: a tick, or the opening of a day in which a pool is committed.

        Args:
            action: Integers of shape (slots,), or one integer in the `fraction` mode.

        Returns:
            Observation, reward, terminated, truncated and an info with `costs`, `illegal_actions`,
            `action_mask` and, at the end, `episode_totals`.

        Raises:
            ValueError: If the action has the wrong shape or type.
            ActionError: If it is out of range, or illegal in strict mode.
            EpisodeOverError: If the episode is over.
            ResetNeeded: Before the first reset.
        """
        actions = np.asarray(action)
        check_shape(actions, self._action_shape)
        played = self._fleet_of_one.play_alone(actions[None])
        self._record()
        return played

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions now, head after head: bool of shape (mask size,)."""
        masks: NDArray[np.bool_] = self._fleet_of_one.action_masks()[0]
        return masks

    def scripted_actions(self, policy: Mapping[str, Any]) -> NDArray[np.int64]:
        """What a scripted policy would do now, int64 of an action's shape; see `PaymentVectorEnv`."""
        actions: NDArray[np.int64] = self._fleet_of_one.scripted_actions(policy)[0]
        return actions

    def save_state(self) -> bytes:
        """The whole state, to be taken up by `restore_state`.

        Raises:
            ResetNeeded: Before the first reset.
        """
        return self._fleet_of_one.save_state()

    def restore_state(self, state: bytes, *, seed: int | None = None) -> tuple[NDArray[np.float32], Info]:
        """Take up a saved state: what follows is, bit for bit, what followed it then.

        With a seed only the past is taken up, and what is scheduled or replayed: demand and scripted
        policies draw the rest of the episode anew. The episodes after it are those of the saved state.
        Wrappers keep their own counts: `TimeLimit` goes on counting.

        Args:
            state: What `save_state` gave, in any environment of the same scenario, `learner` and `decides`.
            seed: 0 to 2**64 - 1; the same state and seed give the same future.

        Returns:
            Observation and info, as `reset` returns them.

        Raises:
            ValueError: If the bytes are not such a state or the seed is wrong, which changes nothing.
            ResetNeeded: Before the first reset.
        """
        restored = self._fleet_of_one.restore_state(0, state, seed=seed)
        for screen in self._screens:
            screen.clear()
        self._record()
        return restored

    def render(self) -> Frame | None:
        """The day so far: balance and credit limit, receipts and payments, queues by urgency, costs.

        Returns:
            With `rgb_array` a fresh picture, uint8 of shape (height, width, 3); with `ansi` text; with
            `human` None, as `reset` and `step` show it already; without a render mode None, and a warning.

        Raises:
            ResetNeeded: Before the first reset.
            DependencyNotInstalled: If a picture needs Pillow and it is missing.
        """
        if self.render_mode is None:
            warn_of_no_render_mode()
            return None
        frame = self._screens[0].frame()
        return None if self.render_mode == "human" else frame

    def close(self) -> None:
        """Close the window, if there is one."""
        for screen in self._screens:
            screen.close()

    def _record(self) -> None:
        for screen in self._screens:
            screen.record(self._fleet_of_one.views()[0])
