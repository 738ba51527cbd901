"""The single environment: the one row of a fleet of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from paysim_gym.envs.checks import check_options, check_seed, check_shape
from paysim_gym.envs.infos import Info, row_infos
from paysim_gym.envs.settings import DEFAULT_SLOTS, DEFAULT_SPLIT_PARTS, ActionMode, Decides, RewardKind
from paysim_gym.envs.vector import PaymentVectorEnv
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

    ## Versions
    * v0: first version
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

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
        render_mode: None = None,
    ) -> None:
        """Build the system; the arguments are described above.

        Raises:
            ScenarioError: If the scenario breaks a rule.
            ValueError: If another argument does.
        """
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
            render_mode=render_mode,
        )
        self.scenario = self._fleet_of_one.scenario
        self.learner = self._fleet_of_one.learner
        self.settings = self._fleet_of_one.settings
        self.amount_scale_cents = self._fleet_of_one.amount_scale_cents
        self.reward_scale_cents = self._fleet_of_one.reward_scale_cents
        self.observation_space = self._fleet_of_one.single_observation_space
        self.action_space = self._fleet_of_one.single_action_space

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
        check_shape(actions, self.action_space.shape or ())
        tick = self._fleet_of_one.play(actions[None])
        (info,) = row_infos(tick.infos)
        return (
            tick.observations[0],
            float(tick.rewards[0]),
            bool(tick.terminated[0]),
            bool(tick.truncated[0]),
            info,
        )

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions now, head after head: bool of shape (mask size,)."""
        masks: NDArray[np.bool_] = self._fleet_of_one.action_masks()[0]
        return masks

    def scripted_actions(self, policy: Mapping[str, Any]) -> NDArray[np.int64]:
        """What a scripted policy would do now, int64 of an action's shape; see `PaymentVectorEnv`."""
        actions: NDArray[np.int64] = self._fleet_of_one.scripted_actions(policy)[0]
        return actions
