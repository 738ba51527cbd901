"""The vector environment: the only code that steps the engine; every other adapter is a view of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from paysim_gym._engine import EpisodeOverError
from paysim_gym.envs.checks import (
    MAX_SEED,
    Seeds,
    check_actions,
    check_seed,
    check_state,
    row_seeds,
    rows_to_reset,
)
from paysim_gym.envs.env_arguments import (
    DEFAULT_SLOTS,
    DEFAULT_SPLIT_PARTS,
    ActionMode,
    Decides,
    RewardKind,
    Seeding,
    resolve_mode,
    validate_env_arguments,
)
from paysim_gym.envs.fleet_rows import Rows
from paysim_gym.envs.infos import Info, Tick, batch_info, row_infos
from paysim_gym.envs.learners import resolve_learners
from paysim_gym.envs.scripted_actions import validate_scripted_policy
from paysim_gym.envs.spaces import action_space, observation_space
from paysim_gym.render.day import View
from paysim_gym.render.modes import Frame, make_screens, warn_of_no_render_mode
from paysim_gym.scenario import ScenarioSource, load_scenario


class PaymentVectorEnv(VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """Many independent copies of one payment system, stepped together by the engine.

    Row i behaves exactly as `PaymentEnv` would: same observations, rewards, ends and infos, batched
    as `gymnasium.vector.SyncVectorEnv` batches them. Every array returned belongs to the caller.

    With several learners a row is a pair of system and learner: the learners of the first system in the
    order given, then those of the second. The rows of a system start, end and are reset together; one
    policy that acts in all rows is shared by all learners.

    ## Action space
    `MultiDiscrete` of shape (num_envs, slots), or (num_envs,) in the `fraction` mode; see `PaymentEnv`.

    ## Observation space
    `Box` of shape (num_envs, observation size), float32; see `PaymentEnv` for the columns.

    ## Rewards
    float64 of shape (num_envs,).

    ## Starting state
    That of `PaymentEnv`, in each row.

    ## Episode end
    All three autoreset modes of Gymnasium are native: `NEXT_STEP` (the step after an end ignores that
    row's action and returns its next episode's first observation), `SAME_STEP` (the last observation
    and info are in `final_obs` and `final_info`) and `DISABLED` (reset ended rows yourself, with
    `reset(options={"reset_mask": mask})`). `max_episode_steps` truncates;
    the totals of a truncated episode count what has arrived by then, the last arrivals included.

    ## Arguments
    Those of `PaymentEnv`, and `num_envs`, `autoreset_mode`, `seeding`, `num_threads`,
    `max_episode_steps`.

    Attributes:
        scenario: The checked scenario.
        learners: The banks that learn.
        settings: The decision process, as given and checked.
        amount_scales_cents: Learner to the cents of one unit of amount in its observation.
        reward_scales_cents: Learner to the cents of cost of one unit of negative reward.

    ## Versions
    * v0: first version
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 8,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        scenario: ScenarioSource = "two_bank",
        learner: str | Sequence[str] | None = None,
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
        seeding: Seeding = "consecutive",
        num_threads: int | None = None,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Build the fleet.

        Args:
            num_envs: Number of rows; a multiple of the number of learners.
            scenario: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.
            learner: The bank that learns, or several; if None, the one whose policy is `learner`.
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
            seeding: How an int seeds the rows: row i with `seed + i`, as Gymnasium does (`consecutive`),
                or with numbers drawn from it, which those of `seed + 1` do not overlap (`spread`).
            num_threads: Engine threads; if None, one for each processor of a large fleet, and one in
                a small fleet or a worker process.
            max_episode_steps: Steps after which an episode is truncated, if it has not ended.
            render_mode: What `render` returns of each row: `rgb_array` (a picture), `ansi` (text), or None.

        Raises:
            ScenarioError: If the scenario breaks a rule.
            ValueError: If another argument does.
        """
        self.scenario = load_scenario(scenario)
        self.learners = resolve_learners(self.scenario, learner)
        self.autoreset_mode = resolve_mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.settings = validate_env_arguments(
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
            seeding=seeding,
        )
        self.num_envs = self.settings.num_envs
        self._rows = Rows(self.scenario, self.learners, self.settings)
        self.amount_scales_cents, self.reward_scales_cents = self._rows.scales_cents()
        self.single_observation_space = observation_space(self.settings.slots)
        self.single_action_space = action_space(
            self._rows.heads, self._rows.choices, self.settings.action_mode
        )
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.render_mode = render_mode
        self._screens = make_screens(render_mode, self.metadata, self.num_envs)
        self._masks: NDArray[np.bool_] | None = None
        self._batch_shape = (self.num_envs, *(self.single_action_space.shape or ()))
        self._keep_ended(np.zeros(self.num_envs, np.bool_))

    @property
    def learner(self) -> str:
        """The bank that learns.

        Raises:
            AttributeError: If there are several.
        """
        if len(self.learners) > 1:
            raise AttributeError(f"learner: there are several, learners = {self.learners}")
        return self.learners[0]

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Rows whose episode is over and which have not been reset: bool of shape (num_envs,)."""
        return self._ended.copy()

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Start an episode in every row, or in those of `options["reset_mask"]`.

        Args:
            seed: An int seeds row i with `seed + i`, unless `seeding` is `spread`; a sequence seeds each
                row (None: as below); without it a row goes on to the next episode of its seed, or draws
                one if it has none.
                A system of several learners takes the seed of its first row.
            options: `reset_mask`: rows to reset, bool of shape (num_envs,). Other keys are ignored.

        Returns:
            Observations, float32 of shape (num_envs, observation size), and infos with `action_mask`.

        Raises:
            ValueError: If a seed, the options or the mask are not as described.
        """
        seeds = row_seeds(seed, self.num_envs, self.settings.seeding)
        rows = self._rows_to_reset(options)
        super().reset(seed=seeds[0])
        if self._masks is None:
            seeds = [self._draw_seed() if lane is None else lane for lane in seeds]
        observations = self._restart(rows, seeds)
        self._keep_ended(self._ended & ~rows)
        return observations, batch_info({"action_mask": self.action_masks()}, rows)

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
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._some_ended:
            infos = batch_info(tick.outcome, ~self._ended) | self._final_infos(tick)
            observations = self.start_next_episodes()
        else:
            observations = tick.observations
            infos = batch_info(tick.outcome, ~resumed)
            infos |= batch_info({"episode_totals": tick.totals}, self._ended)
        infos |= batch_info({"action_mask": self.action_masks()}, np.ones(self.num_envs, np.bool_))
        return observations, tick.rewards, tick.terminated, tick.truncated, infos

    def play(self, actions: NDArray[np.int64]) -> Tick:
        """Play one tick, as `step` does, but neither batch the infos nor reset rows in the same step.

        Adapters that need no batched infos use it. It raises what `step` raises.

        Args:
            actions: Integers of the action space's shape.
        """
        self.check_running()
        checked = check_actions(actions, self._batch_shape, self.learners, self._rows.choices)
        tick = self._rows.step(checked)
        self._masks = tick.masks
        self._keep_ended(tick.terminated | tick.truncated)
        self._record()
        return tick._replace(totals=self._rows.totals()) if self._some_ended else tick

    def play_alone(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Play one tick of the only row, as `play` does, and return it as `PaymentEnv.step` does.

        Args:
            actions: Integers of the action space's shape.
        """
        self.check_running()
        checked = check_actions(actions, self._batch_shape, self.learners, self._rows.choices)
        played = self._rows.step_alone(checked)
        info, has_ended = played[4], played[2] or played[3]
        self._masks = info["action_mask"][None].copy()
        if has_ended is not self._some_ended:
            self._keep_ended(np.array([has_ended]))
        self._record()
        if has_ended:
            (info["episode_totals"],) = row_infos(self._rows.totals())
        return played

    def start_next_episodes(self) -> NDArray[np.float32]:
        """Start the next episode in every row whose episode is over.

        Returns:
            What all rows observe now, float32 of shape (num_envs, observation size).
        """
        observations = self._restart(self._ended, [None] * self.num_envs)
        self._keep_ended(np.zeros_like(self._ended))
        return observations

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
        actions = self._rows.scripted_actions(validate_scripted_policy(policy).model_dump_json())
        return actions.reshape(self._batch_shape)

    def save_state(self, row: int = 0) -> bytes:
        """The whole state of a row's system, to be taken up by `restore_state`.

        Args:
            row: From 0 to num_envs - 1.

        Raises:
            ValueError: If there is no such row.
            ResetNeeded: Before the first reset.
        """
        if self._masks is None:
            raise ResetNeeded("call reset before save_state")
        return self._rows.save_state(row)

    def restore_state(
        self, row: int, state: bytes, *, seed: int | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Take up a saved state in a row's system: what follows is, bit for bit, what followed it then.

        With a seed only the past is taken up, and what is scheduled or replayed: demand and scripted
        policies draw the rest of the episode anew. The episodes after it are those of the saved state.

        Args:
            row: From 0 to num_envs - 1; it need not be the one that was saved.
            state: From any environment of the same scenario, `learner`, `decides` and `max_episode_steps`.
            seed: 0 to 2**64 - 1; the same state and seed give the same future.

        Returns:
            The row's observation, float32 of shape (observation size,), and its info with `action_mask`.

        Raises:
            ValueError: If the bytes are not such a state, or row or seed are wrong; nothing has changed then.
            ResetNeeded: Before the first reset.
        """
        system, learner = self._rows.place(row)
        observations, masks = self.restore_system(system, state, seed=seed)
        return observations[learner].copy(), {"action_mask": masks[learner].copy()}

    def restore_system(
        self, system: int, state: bytes, *, seed: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Take up a saved state, as `restore_state` does, and look at it with all learners' eyes.

        Returns:
            Observations, float32 of shape (learners, observation size), and masks, bool of shape
            (learners, mask size).
        """
        if self._masks is None:
            raise ResetNeeded("call reset before restore_state")
        fresh = None if seed is None else check_seed(seed)
        observations, masks, has_ended = self._rows.restore_system(system, check_state(state), fresh)
        rows = self._rows.of_system(system)
        self._masks[rows], self._ended[rows] = masks, has_ended
        self._keep_ended(self._ended)
        for screen in self._screens[rows]:
            screen.clear()
        self._record()
        return observations, masks

    def _restart(self, rows: NDArray[np.bool_], seeds: list[int | None]) -> NDArray[np.float32]:
        """Start the next episode, or that of a seed, in the systems of these rows."""
        observations, self._masks = self._rows.reset(rows, seeds)
        self._record()
        return observations

    def views(self) -> list[View]:
        """What the bank of each row has before it now, money in whole cents; see `paysim_gym.render.View`."""
        return self._rows.views()

    def render(self) -> tuple[Frame, ...] | None:
        """Each row's day, up to what its last returned observation shows; see `PaymentEnv.render`."""
        if self.render_mode is None:
            warn_of_no_render_mode()
            return None
        return tuple(screen.frame() for screen in self._screens)

    def _record(self) -> None:
        if self._screens:
            for screen, view in zip(self._screens, self.views(), strict=True):
                screen.record(view)

    def check_running(self) -> None:
        """Refuse to step what is not running.

        Raises:
            EpisodeOverError: If an ended row was not reset, in the DISABLED mode.
            ResetNeeded: Before the first reset.
        """
        if self._masks is None:
            raise ResetNeeded("call reset before step")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._some_ended:
            rows = np.flatnonzero(self._ended).tolist()
            raise EpisodeOverError(f"the episodes of rows {rows} are over: reset them before the next step")

    def _keep_ended(self, ended: NDArray[np.bool_]) -> None:
        self._ended, self._some_ended = ended, bool(ended.any())

    def _final_infos(self, tick: Tick) -> Info:
        """The last observations and infos of the rows that have ended."""
        final_obs = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(self._ended):
            final_obs[row] = tick.observations[row]
        infos = {"final_obs": final_obs, "_final_obs": self._ended.copy()}
        return infos | batch_info({"final_info": tick.infos}, self._ended)

    def _draw_seed(self) -> int:
        return int(self.np_random.integers(MAX_SEED, dtype=np.uint64, endpoint=True))

    def _rows_to_reset(self, options: dict[str, Any] | None) -> NDArray[np.bool_]:
        rows = rows_to_reset(options, self.num_envs)
        if self._masks is None and not rows.all():
            raise ResetNeeded("the first reset must reset every row")
        by_system = rows.reshape(-1, len(self.learners))
        if (by_system != by_system[:, :1]).any():
            raise ValueError(
                f"reset_mask = {rows!r}: must name all {len(self.learners)} rows of a system, or none"
            )
        return rows
