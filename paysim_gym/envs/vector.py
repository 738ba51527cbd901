"""The vector environment: the only code that steps the engine; every other adapter is a view of it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from paysim_gym import _engine
from paysim_gym._engine import EpisodeOverError
from paysim_gym.envs.checks import MAX_SEED, Seeds, check_actions, row_seeds, rows_to_reset
from paysim_gym.envs.infos import Columns, Info, batch_info
from paysim_gym.envs.scripted import check_policy
from paysim_gym.envs.settings import (
    DEFAULT_SLOTS,
    DEFAULT_SPLIT_PARTS,
    ActionMode,
    Decides,
    RewardKind,
    check_settings,
)
from paysim_gym.scenario import Scenario, ScenarioSource, load_scenario

_FEW_ENVS = 64  # below this, waking threads costs more than it saves


class Tick(NamedTuple):
    """What one tick did to every row.

    Attributes:
        observations: float32 of shape (num_envs, observation size).
        rewards: float64 of shape (num_envs,).
        terminated: bool of shape (num_envs,).
        truncated: bool of shape (num_envs,).
        outcome: `costs` (component to cents) and `illegal_actions`, int64 of shape (num_envs,).
        masks: bool of shape (num_envs, mask size); the environment's own.
        totals: Figures of the episode, if one ends; of shape (num_envs,).
    """

    observations: NDArray[np.float32]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    outcome: Columns
    masks: NDArray[np.bool_]
    totals: Columns

    @property
    def infos(self) -> Columns:
        """All infos of a row that played this tick."""
        ends = {"episode_totals": self.totals} if self.totals else {}
        return {**self.outcome, "action_mask": self.masks, **ends}


class PaymentVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """Many independent copies of one payment system, stepped together by the engine.

    Row i behaves exactly as `PaymentEnv` would: same observations, rewards, ends and infos, batched
    as `gymnasium.vector.SyncVectorEnv` batches them. Every array returned belongs to the caller.

    ## Action space
    `MultiDiscrete` of shape (num_envs, slots), or (num_envs,) in the `fraction` mode; see `PaymentEnv`.

    ## Observation space
    `Box` of shape (num_envs, observation size), float32; see `PaymentEnv` for the columns.

    ## Rewards
    float64 of shape (num_envs,).

    ## Episode end
    All three autoreset modes of Gymnasium are native: `NEXT_STEP` (the step after an end ignores that
    row's action and returns its next episode's first observation), `SAME_STEP` (the last observation
    and info are in `final_obs` and `final_info`) and `DISABLED` (reset ended rows yourself, with
    `reset(options={"reset_mask": mask})`). `max_episode_steps` truncates;
    the totals of a truncated episode count what has arrived by then, the last arrivals included.

    ## Arguments
    Those of `PaymentEnv`, and `num_envs`, `autoreset_mode`, `num_threads`, `max_episode_steps`.

    ## Versions
    * v0: first version
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
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
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        num_threads: int | None = None,
        max_episode_steps: int | None = None,
        render_mode: None = None,
    ) -> None:
        """Build the fleet.

        Args:
            num_envs: Number of rows.
            scenario: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.
            learner: The bank that learns; if None, the one whose policy is `learner`.
            slots: Number of queued payments that can be decided on in a step.
            split_parts: Numbers of parts that an action may split a payment into.
            action_mode: What an action decides: payment by payment (`slots`), or which share of the
                queue's value to release (`fraction`).
            decides: What the learner decides: its pool, its payments or both; the rest follows its
                bank's own policy.
            reward: Whose cost is the (negative) reward: the learner's, all banks', or a blend.
            reward_blend: Weight of the system's cost in the blend.
            reward_scale: Cents of cost per unit of negative reward; if None, chosen from the scenario.
            strict: Whether an illegal action raises instead of acting as hold.
            autoreset_mode: A mode or its string value.
            num_threads: Engine threads; if None, one for each processor of a large fleet, and one in
                a small fleet or a worker process.
            max_episode_steps: Steps after which an episode is truncated, if it has not ended.
            render_mode: Only None.

        Raises:
            ScenarioError: If the scenario breaks a rule.
            ValueError: If another argument does.
        """
        if render_mode is not None:
            raise ValueError(f"render_mode = {render_mode!r}: must be None")
        self.scenario = load_scenario(scenario)
        self.learner = _resolve_learner(self.scenario, learner)
        self.autoreset_mode = _resolve_mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        settings = check_settings(
            slots=slots,
            split_parts=split_parts,
            action_mode=action_mode,
            decides=decides,
            reward=reward,
            reward_blend=reward_blend,
            reward_scale=reward_scale,
            strict=strict,
            max_episode_steps=max_episode_steps,
            num_envs=num_envs,
            num_threads=num_threads,
        )
        self.settings = settings
        self.num_envs, self.slots = settings.num_envs, settings.slots
        threads = settings.num_threads or _default_threads(self.num_envs)
        self._fleet = _engine.Fleet(
            self.scenario.model_dump_json(),
            settings.decision_json(self.learner),
            self.num_envs,
            threads,
            self.scenario.payments,
            self.scenario.networks,
        )
        choices = self._fleet.choices
        self.amount_scale_cents = self._fleet.amount_scales[0]
        self.reward_scale_cents = self._fleet.reward_scales[0]
        self.single_observation_space = _observation_space(self.slots)
        self.single_action_space: Discrete[np.int64] | MultiDiscrete = (
            Discrete(choices)
            if settings.action_mode == "fraction"
            else MultiDiscrete([choices] * self._fleet.heads)
        )
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._masks: NDArray[np.bool_] | None = None
        self._ended = np.zeros(self.num_envs, np.bool_)

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Start an episode in every row, or in those of `options["reset_mask"]`.

        Args:
            seed: An int seeds row i with `seed + i`; a sequence seeds each row (None: as below);
                without it a row goes on to the next episode of its seed, or draws one if it has none.
            options: `reset_mask`: rows to reset, bool of shape (num_envs,). Other keys are ignored.

        Returns:
            Observations, float32 of shape (num_envs, observation size), and infos with `action_mask`.

        Raises:
            ValueError: If a seed, the options or the mask are not as described.
        """
        seeds = row_seeds(seed, self.num_envs)
        rows = self._rows_to_reset(options)
        super().reset(seed=seeds[0])
        if self._masks is None:
            seeds = [self._draw_seed() if lane is None else lane for lane in seeds]
        observations, masks = self._fleet.reset(rows, seeds)
        self._masks = masks[:, 0]
        self._ended = self._ended & ~rows
        return observations[:, 0], batch_info({"action_mask": self._masks}, rows)

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        """Play one step in every row: a tick, or the opening of a day in which a pool is committed.

        Args:
            actions: Integers of the action space's shape.

        Returns:
            Observations (float32), rewards (float64), terminated and truncated (bool) and infos:
            `costs` (component to cents of this step), `illegal_actions` (how many were taken as hold),
            `action_mask` and, in a row whose episode ends, `episode_totals`.

        Raises:
            ValueError: If the actions have the wrong shape or type.
            ActionError: If an action is out of range, or illegal in strict mode.
            EpisodeOverError: If an ended row was not reset, in the DISABLED mode.
            ResetNeeded: Before the first reset.
        """
        resumed = self._ended
        tick = self.play(actions)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._ended.any():
            infos = batch_info(tick.outcome, ~self._ended)
            observations, final_infos = self._start_next_episodes(tick)
            infos |= final_infos
        else:
            observations = tick.observations
            infos = batch_info(tick.outcome, ~resumed)
            infos |= batch_info({"episode_totals": tick.totals}, self._ended)
        infos |= batch_info({"action_mask": self._masks}, np.ones(self.num_envs, np.bool_))
        return observations, tick.rewards, tick.terminated, tick.truncated, infos

    def play(self, actions: NDArray[np.int64]) -> Tick:
        """Play one tick, as `step` does, but neither batch the infos nor reset rows in the same step.

        Adapters that need no batched infos use it. It raises what `step` raises.

        Args:
            actions: Integers of the action space's shape.
        """
        self._check_running()
        checked = check_actions(actions, self._batch_shape(), self.learner, self._fleet.choices)
        observations, rewards, terminated, truncated, costs, masks, illegal = self._fleet.step(
            checked.reshape(self.num_envs, 1, self._fleet.heads)
        )
        self._masks, self._ended = masks[:, 0], terminated | truncated
        outcome = {
            "costs": dict(zip(_engine.COST_COMPONENTS, costs[:, 0].T, strict=True)),
            "illegal_actions": illegal[:, 0],
        }
        totals = self._fleet.totals() if self._ended.any() else {}
        return Tick(
            observations[:, 0],
            rewards[:, 0],
            terminated,
            truncated,
            outcome,
            self._masks,
            {name: column[:, 0] for name, column in totals.items()},
        )

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions now, head after head: bool of shape (num_envs, mask size)."""
        if self._masks is None:
            raise ResetNeeded("call reset before action_masks")
        return self._masks.copy()

    def scripted_actions(self, policy: Mapping[str, Any]) -> NDArray[np.int64]:
        """What a scripted policy would do now, as near as the action space comes to it.

        At an opening that is to commit the bank's own `liquidity_share`; in the `fraction` mode it is
        the share of the queue's value that the policy would release.

        Args:
            policy: As in a scenario, such as `{"type": "liquidity_aware", "buffer": 500_000_00}`.

        Returns:
            int64 of the action space's shape.

        Raises:
            ValueError: If the policy is unknown, has wrong parameters, or is `learner` or `network`.
            ActionError: If the slots cannot express what it would do.
            ResetNeeded: Before the first reset.
        """
        if self._masks is None:
            raise ResetNeeded("call reset before scripted_actions")
        actions = self._fleet.scripted_actions(check_policy(policy).model_dump_json())
        return actions.reshape(self._batch_shape())

    def _batch_shape(self) -> tuple[int, ...]:
        return (self.num_envs, *(self.single_action_space.shape or ()))

    def _check_running(self) -> None:
        if self._masks is None:
            raise ResetNeeded("call reset before step")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            rows = np.flatnonzero(self._ended).tolist()
            raise EpisodeOverError(f"the episodes of rows {rows} are over: reset them before the next step")

    def _start_next_episodes(self, tick: Tick) -> tuple[NDArray[np.float32], Info]:
        """Reset the ended rows in this same step; their last observations and infos become infos."""
        ended = self._ended
        final_obs = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(ended):
            final_obs[row] = tick.observations[row]
        infos = {"final_obs": final_obs, "_final_obs": ended.copy()}
        infos |= batch_info({"final_info": tick.infos}, ended)
        observations, masks = self._fleet.reset(ended, [None] * self.num_envs)
        self._masks, self._ended = masks[:, 0], np.zeros_like(ended)
        return observations[:, 0], infos

    def _draw_seed(self) -> int:
        return int(self.np_random.integers(MAX_SEED, dtype=np.uint64, endpoint=True))

    def _rows_to_reset(self, options: dict[str, Any] | None) -> NDArray[np.bool_]:
        rows = rows_to_reset(options, self.num_envs)
        if self._masks is None and not rows.all():
            raise ResetNeeded("the first reset must reset every row")
        return rows


def _resolve_learner(scenario: Scenario, learner: str | None) -> str:
    banks = [agent.id for agent in scenario.agents]
    if learner is None:
        learners = [agent.id for agent in scenario.agents if agent.policy.type == "learner"]
        if len(learners) == 1:
            return learners[0]
        found = ", ".join(learners) or "none"
        raise ValueError(
            f"learner = None: the scenario must have exactly one bank whose policy is learner, "
            f"it has {found}; name one of {', '.join(banks)}"
        )
    if learner not in banks:
        raise ValueError(f"learner = {learner!r}: must be one of {', '.join(banks)}")
    return learner


def _resolve_mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        values = ", ".join(repr(known.value) for known in AutoresetMode)
        raise ValueError(f"autoreset_mode = {mode!r}: must be an AutoresetMode or one of {values}") from None


def _default_threads(num_envs: int) -> int:
    if num_envs < _FEW_ENVS or multiprocessing.parent_process() is not None:
        return 1
    return os.cpu_count() or 1


def _observation_space(slots: int) -> Box:
    fields = _engine.observation_fields(slots)
    low = np.array([field[2] for field in fields], np.float32)
    high = np.array([field[3] for field in fields], np.float32)
    return Box(low, high, dtype=np.float32)
