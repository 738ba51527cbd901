"""The vector environment, which steps the engine for all other environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from paysim_gym._engine import EpisodeOverError
from paysim_gym.envs.env_arguments import FleetArguments, resolve_autoreset_mode, validate_env_arguments
from paysim_gym.envs.fleet_rows import FleetRows
from paysim_gym.envs.infos import (
    Info,
    StepResult,
    batch_info,
    episode_columns,
    reset_columns,
    reset_info,
    row_infos,
    step_columns,
    step_info,
)
from paysim_gym.envs.learners import episode_steps, resolve_learners
from paysim_gym.envs.scripted_actions import validate_scripted_policy
from paysim_gym.envs.spaces import MaskFormat, action_space, observation_names, observation_space
from paysim_gym.envs.specs import PortableSpec
from paysim_gym.envs.validation import (
    MAX_SEED,
    Seeds,
    validate_actions,
    validate_reset_mask,
    validate_seed,
    validate_seeds,
    validate_state,
)
from paysim_gym.render.day_history import BankSnapshot
from paysim_gym.render.day_renderer import Frame, make_renderers, warn_no_render_mode
from paysim_gym.scenario import ScenarioSource, load_scenario


class PaymentVectorEnv(PortableSpec, VectorEnv[NDArray[np.float32], NDArray[np.int64], NDArray[Any]]):
    """Independent copies of one payment system, stepped together by the engine.

    Row i behaves exactly like a `PaymentEnv`: same observations, rewards, ends and infos, batched as
    `gymnasium.vector.SyncVectorEnv` batches them, except that `action_mask` is one int8 array of shape
    (num_envs, mask size). The caller owns every array that is returned.

    With several learners a row is a pair of system and learner: the learners of the first system in the
    order given, then those of the second. The rows of a system start, end and are reset together. One
    policy that acts in all rows is shared by all learners.

    ## Action space
    `MultiDiscrete` of shape (num_envs, components), or (num_envs,) where an action is one number; see
    `PaymentEnv`. With several learners all have the same components.

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
    `reset(options={"reset_mask": mask})`). `max_episode_steps` truncates; the totals of a truncated
    episode count all arrivals until then, those of the last tick included.

    ## Arguments
    * `num_envs`: number of rows, a multiple of the number of learners
    * `learner`: the bank that learns, or several; by default the one whose policy is `learner`
    * `autoreset_mode`: a mode or its string value
    * `render_mode`: `rgb_array` (a picture of each row), `ansi` (text) or None
    * `max_episode_steps`, `num_threads`, `seeding`: see `paysim_gym.envs.env_arguments.EnvSettings`
    * the others as in `PaymentEnv`

    Attributes:
        scenario: The validated scenario.
        learners: The banks that learn.
        settings: The validated arguments of the decision process.
        episode_steps: Steps until an episode ends by itself.
        observation_names: Names of the columns of an observation.
        mask_format: Form of a row's mask that `single_action_space.sample(mask=...)` takes.
        amount_scales_cents: Learner to the cents of one unit of amount in its observation.
        reward_scales_cents: Learner to the cents of cost of one unit of negative reward.

    ## Versions
    * v1: as in `PaymentEnv`
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
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **arguments: Unpack[FleetArguments],
    ) -> None:
        """Build the fleet; the arguments are described above.

        Raises:
            ScenarioError: If the scenario is invalid.
            TypeError: If there is no such argument.
            ValueError: If another argument is invalid.
        """
        self.scenario = load_scenario(scenario)
        self.learners = resolve_learners(self.scenario, learner)
        self.autoreset_mode = resolve_autoreset_mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.settings = validate_env_arguments(num_envs, **arguments)
        self.episode_steps = episode_steps(self.scenario, self.learners, self.settings)
        self.settings = self.settings.within(self.episode_steps)
        self.num_envs = self.settings.num_envs
        self._rows = FleetRows(self.scenario, self.learners, self.settings)
        self.amount_scales_cents, self.reward_scales_cents = self._rows.scales_cents()
        self.observation_names = observation_names(self.settings.slots)
        self.single_observation_space = observation_space(self.settings.slots)
        self.single_action_space = action_space(self._rows.nvec, self.settings)
        self.mask_format = MaskFormat(self.single_action_space)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.render_mode = render_mode
        self._renderers = make_renderers(render_mode, self.metadata, self.num_envs)
        self._masks: NDArray[np.bool_] | None = None
        self._batch_shape = (self.num_envs, *(self.single_action_space.shape or ()))
        self._keep_ended(np.zeros(self.num_envs, np.bool_))

    @property
    def learner(self) -> str:
        """The bank that learns; raises AttributeError if there are several."""
        if len(self.learners) > 1:
            raise AttributeError(f"learner: there are several, learners = {self.learners}")
        return self.learners[0]

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Rows whose episode is over until they are reset: bool of shape (num_envs,)."""
        return self._ended.copy()

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Start an episode in every row, or in those of `options["reset_mask"]`.

        Args:
            seed: An int seeds row i with `seed + i`, unless `seeding` is `spread`; a sequence has one seed
                per row. Without a seed (None, also in the sequence) a row starts the next episode of its
                seed, or draws a seed if it has none. A system of several learners uses the seed of its
                first row.
            options: `reset_mask`: rows to reset, bool of shape (num_envs,). Other keys are ignored.

        Returns:
            Observations, float32 of shape (num_envs, observation size), and infos as those of `step`,
            without costs.

        Raises:
            ValueError: If a seed, the options or the mask are invalid.
        """
        self.validate_open()
        seeds = validate_seeds(seed, self.num_envs, self.settings.seeding)
        rows = self._rows_to_reset(options)
        super().reset(seed=seeds[0])
        if self._masks is None:
            seeds = [self._draw_seed() if row_seed is None else row_seed for row_seed in seeds]
        observations = self._reset_rows(rows, seeds)
        self._keep_ended(self._ended & ~rows)
        infos = {**reset_columns(self.num_envs), "action_mask": self._int8_masks()}
        return observations, batch_info(infos, rows)

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], Info]:
        """Play one step in every row: a tick, or a pool's opening.

        Args:
            actions: Integers of the action space's shape.

        Returns:
            Observations (float32), rewards (float64), terminated and truncated (bool) and infos:
            `cost_<component>` (cents of this step), `illegal_actions` (how many acted as hold),
            `action_mask` (int8 of shape (num_envs, mask size)) and, in a row whose episode ends,
            `episode_<total>`.

        Raises:
            ValueError: If the actions have the wrong shape or type.
            ActionError: If an action is out of range, or illegal in strict mode.
            EpisodeOverError: If an ended row was not reset, in the DISABLED mode.
            ResetNeeded: Before the first reset.
        """
        result = self.step_rows(actions)
        observations, costs, illegal = result.observations, result.costs, result.illegal_actions
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._has_ended_row:
            ends = self._final_infos(result)
            costs, illegal = costs * ~self._ended[:, None], illegal * ~self._ended
            observations = self.start_next_episodes()
        else:
            ends = batch_info(episode_columns(result.totals), self._ended)
        columns = {**step_columns(costs, illegal), "action_mask": self._int8_masks()}
        infos = batch_info(columns, np.ones(self.num_envs, np.bool_)) | ends
        return observations, result.rewards, result.terminated, result.truncated, infos

    def step_rows(self, actions: NDArray[np.int64]) -> StepResult:
        """Play one step in every row as `step` does, without batched infos or resets."""
        self.validate_running()
        result = self._rows.step(self._validate_actions(actions))
        self._masks = result.masks
        self._keep_ended(result.terminated | result.truncated)
        self._record()
        return result._replace(totals=self._rows.totals()) if self._has_ended_row else result

    def step_single(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Play one step of the only row, and return it as `PaymentEnv.step` does."""
        self.validate_running()
        observation, reward, terminated, truncated, costs, illegal, mask = self._rows.step_single(
            self._validate_actions(actions)
        )
        self._masks = mask[None]
        info = step_info(costs, illegal, self.mask_format.split(mask.copy()))
        if (has_ended := terminated or truncated) is not self._has_ended_row:
            self._keep_ended(np.array([has_ended]))
        self._record()
        if has_ended:
            info |= row_infos(episode_columns(self._rows.totals()), self.mask_format)[0]
        return observation, reward, terminated, truncated, info

    def start_next_episodes(self) -> NDArray[np.float32]:
        """Start the next episode in every ended row; return the observations of all rows."""
        observations = self._reset_rows(self._ended, [None] * self.num_envs)
        self._keep_ended(np.zeros_like(self._ended))
        return observations

    def action_masks(self) -> NDArray[np.bool_]:
        """Legal actions, one component after the other: bool of shape (num_envs, mask size)."""
        if self._masks is None:
            raise ResetNeeded("call reset before action_masks")
        return self._masks.copy()

    def totals(self) -> dict[str, NDArray[Any]]:
        """Totals of each row's episode so far, each of shape (num_envs,).

        `paysim_gym.evaluation.EpisodeTable` has their meanings.

        Raises:
            ResetNeeded: Before the first reset.
        """
        if self._masks is None:
            raise ResetNeeded("call reset before totals")
        return self._rows.totals()

    def scripted_actions(self, policy: Mapping[str, Any]) -> NDArray[np.int64]:
        """The actions closest to what a scripted policy would do in each row.

        At an opening the action commits the bank's own `liquidity_share`; in the `fraction` mode it is
        the share of the queue's value that the policy would release.

        Args:
            policy: As in a scenario, such as `{"type": "liquidity_aware", "buffer": 500_000_00}`.

        Returns:
            int64 of the action space's shape.

        Raises:
            ValueError: If the policy is unknown, has invalid parameters, or is `learner` or `network`.
            ActionError: If the slots cannot express what it would do.
            ResetNeeded: Before the first reset.
        """
        if self._masks is None:
            raise ResetNeeded("call reset before scripted_actions")
        actions = self._rows.scripted_actions(validate_scripted_policy(policy).model_dump_json())
        return actions.reshape(self._batch_shape)

    def save_state(self, row: int = 0) -> bytes:
        """Save the state of a row's system, for `restore_state`.

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
        self, row: int, state: bytes, *, seed: int | None = None, known_by: str | None = None
    ) -> tuple[NDArray[np.float32], Info]:
        """Restore a saved state in a row's system, which then continues bit for bit.

        With a seed everything random that a learner cannot know is drawn anew: the rest of the episode's
        demand, the draws of other banks' policies, and the payments that other banks received in this tick
        by sampling. What is scheduled or replayed and the episodes after this one stay the same. Older
        payments in other banks' queues and their balances stay too, although no treasurer knows them.

        Args:
            row: From 0 to num_envs - 1; any row, not only the one that was saved.
            state: From any environment of the same scenario, `learner`, `decides` and `max_episode_steps`.
            seed: 0 to 2**64 - 1; the same state and seed give the same future.
            known_by: The learner that a future is drawn for, by default the only one; required with a seed
                if there are several, and invalid without a seed.

        Returns:
            The row's observation, float32 of shape (observation size,), and its info, as a
            `PaymentEnv` returns them from `reset`.

        Raises:
            ValueError: If state, row, seed or known_by are invalid; nothing has changed then.
            ResetNeeded: Before the first reset.
        """
        system, learner = self._rows.system_and_learner(row)
        observations, masks = self.restore_system(system, state, seed=seed, known_by=known_by)
        return observations[learner].copy(), reset_info(self.mask_format.split(masks[learner].copy()))

    def restore_system(
        self, system: int, state: bytes, *, seed: int | None = None, known_by: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Restore as `restore_state` does; return observations and masks, (learners, ...)."""
        if self._masks is None:
            raise ResetNeeded("call reset before restore_state")
        new_seed = None if seed is None else validate_seed(seed)
        observations, masks, has_ended = self._rows.restore_system(
            system, validate_state(state), new_seed, known_by
        )
        rows = self._rows.of_system(system)
        self._masks[rows], self._ended[rows] = masks, has_ended
        self._keep_ended(self._ended)
        for renderer in self._renderers[rows]:
            renderer.clear()
        self._record()
        return observations, masks

    def snapshots(self) -> list[BankSnapshot]:
        """The unscaled state of each row's bank, in cents; see `paysim_gym.render.BankSnapshot`."""
        return self._rows.snapshots()

    def close_extras(self, **kwargs: Any) -> None:
        """Release the engine; later steps and resets raise ClosedEnvironmentError."""
        # Some versions of Gymnasium also close what a failed constructor leaves.
        if "_rows" in self.__dict__:
            self._rows.close()

    def render(self) -> tuple[Frame, ...] | None:
        """Each row's day, up to its last returned observation; see `PaymentEnv.render`."""
        self.validate_open()
        if self.render_mode is None:
            warn_no_render_mode()
            return None
        return tuple(renderer.frame() for renderer in self._renderers)

    def validate_open(self) -> None:
        """Raise ClosedEnvironmentError after `close`."""
        self._rows.validate_open()

    def validate_running(self) -> None:
        """Raise ResetNeeded before the first reset, EpisodeOverError if an ended row was not reset.

        After `close` it raises ClosedEnvironmentError.
        """
        self.validate_open()
        if self._masks is None:
            raise ResetNeeded("call reset before step")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._has_ended_row:
            rows = np.flatnonzero(self._ended).tolist()
            raise EpisodeOverError(f"the episodes of rows {rows} are over: reset them before the next step")

    def _validate_actions(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        components = dict(zip(self._rows.component_names, self._rows.nvec, strict=True))
        return validate_actions(actions, self._batch_shape, self.learners, components)

    def _reset_rows(self, rows: NDArray[np.bool_], seeds: list[int | None]) -> NDArray[np.float32]:
        observations, self._masks = self._rows.reset(rows, seeds)
        self._record()
        return observations

    def _record(self) -> None:
        if self._renderers:
            for renderer, snapshot in zip(self._renderers, self.snapshots(), strict=True):
                renderer.record(snapshot)

    def _keep_ended(self, ended: NDArray[np.bool_]) -> None:
        self._ended, self._has_ended_row = ended, bool(ended.any())

    def _final_infos(self, result: StepResult) -> Info:
        final_obs = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(self._ended):
            final_obs[row] = result.observations[row]
        infos = {"final_obs": final_obs, "_final_obs": self._ended.copy()}
        final_info = batch_info(result.infos, self._ended)
        return infos | {"final_info": final_info, "_final_info": self._ended.copy()}

    def _int8_masks(self) -> NDArray[np.int8]:
        return self.action_masks().view(np.int8)

    def _draw_seed(self) -> int:
        return int(self.np_random.integers(MAX_SEED, dtype=np.uint64, endpoint=True))

    def _rows_to_reset(self, options: dict[str, Any] | None) -> NDArray[np.bool_]:
        rows = validate_reset_mask(options, self.num_envs)
        if self._masks is None and not rows.all():
            raise ResetNeeded("the first reset must reset every row")
        by_system = rows.reshape(-1, len(self.learners))
        if (by_system != by_system[:, :1]).any():
            raise ValueError(
                f"reset_mask = {rows!r}: must name all {len(self.learners)} rows of a system, or none"
            )
        return rows
