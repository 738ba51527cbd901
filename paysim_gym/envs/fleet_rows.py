"""The engine's fleet with one row for each pair of system and learner."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.error import ClosedEnvironmentError
from numpy.typing import NDArray

from paysim_gym import _engine
from paysim_gym.envs.env_arguments import EnvSettings
from paysim_gym.envs.infos import Columns, StepResult
from paysim_gym.render import BankSnapshot
from paysim_gym.scenario import Scenario

_MIN_SYSTEMS_FOR_THREADS = 64  # below this, waking threads costs more than it saves


class FleetRows:
    """Systems of one scenario, as rows.

    The learners of the first system come in the order given, then those of the second.

    Attributes:
        nvec: Numbers of choices of the components of a row's action.
        component_names: Their names, for error messages.
    """

    def __init__(self, scenario: Scenario, learners: Sequence[str], settings: EnvSettings) -> None:
        """Build the systems; each must be reset before it is stepped.

        Raises:
            ValueError: If the number of rows is not a multiple of the number of learners.
        """
        self._scenario, self._learners, self._settings = scenario, tuple(learners), settings
        if settings.num_envs % len(self._learners):
            raise ValueError(
                f"num_envs = {settings.num_envs}: must be a multiple of {len(self._learners)}, "
                "each learner of a system is a row"
            )
        self._num_systems = settings.num_envs // len(self._learners)
        self._has_begun = False
        self._engine: _engine.Fleet | None = self._build()
        self.nvec, self.component_names = self._fleet.nvec, self._fleet.component_names

    @property
    def _fleet(self) -> _engine.Fleet:
        return self.validate_open()

    def validate_open(self) -> _engine.Fleet:
        """Return the engine, or raise ClosedEnvironmentError after `close`."""
        if self._engine is None:
            raise ClosedEnvironmentError("the environment is closed: make a new one")
        return self._engine

    def close(self) -> None:
        """Release the engine."""
        self._engine = None

    def _build(self) -> _engine.Fleet:
        return _engine.Fleet(
            self._scenario.model_dump_json(),
            self._settings.decision_json(self._learners),
            self._num_systems,
            self._settings.num_threads or default_threads(self._num_systems),
            self._scenario.payments,
            self._scenario.networks,
        )

    def scales_cents(self) -> tuple[dict[str, int], dict[str, float]]:
        """Map each learner to the cents of one unit of amount, and of reward."""
        amounts = zip(self._learners, self._fleet.amount_scales, strict=True)
        rewards = zip(self._learners, self._fleet.reward_scales, strict=True)
        return dict(amounts), dict(rewards)

    def reset(
        self, rows: NDArray[np.bool_], seeds: Sequence[int | None]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Start the next episode, or that of a seed, in some systems.

        Args:
            rows: bool of shape (num_envs,); all rows of a system are equal.
            seeds: One for each row; a system uses that of its first.

        Returns:
            Observations and action masks of all rows, (num_envs, ...).
        """
        first_rows = slice(None, None, len(self._learners))
        observations, masks = self._fleet.reset(np.ascontiguousarray(rows[first_rows]), seeds[first_rows])
        self._has_begun = True
        return _merge_axes(observations), _merge_axes(masks)

    def step(self, actions: NDArray[np.int64]) -> StepResult:
        """Play one step in every row, with valid actions; return no totals."""
        observations, rewards, terminated, truncated, costs, masks, illegal = self._fleet.step(
            actions.reshape(self._num_systems, len(self._learners), len(self.nvec))
        )
        return StepResult(
            _merge_axes(observations),
            _merge_axes(rewards),
            self._repeat_per_learner(terminated),
            self._repeat_per_learner(truncated),
            _merge_axes(costs),
            _merge_axes(illegal),
            _merge_axes(masks),
            {},
        )

    def step_single(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], float, bool, bool, list[int], int, NDArray[np.bool_]]:
        """Play one step in the only row.

        Returns:
            Observation, reward, terminated, truncated, cents by cost component, illegal actions and mask.
        """
        return self._fleet.step_alone(actions)

    def totals(self) -> Columns:
        """Totals of the episode so far, each of shape (num_envs,)."""
        return {name: _merge_axes(column) for name, column in self._fleet.totals().items()}

    def scripted_actions(self, policy_json: str) -> NDArray[np.int64]:
        """Actions closest to what a scripted policy would do: int64 of shape (num_envs, components)."""
        return _merge_axes(self._fleet.scripted_actions(policy_json))

    def snapshots(self) -> list[BankSnapshot]:
        """The unscaled state of each row's bank, in cents."""
        return [
            snapshot
            for system in range(self._num_systems)
            for snapshot in self._fleet.snapshots(system).values()
        ]

    def save_state(self, row: int) -> bytes:
        """Save the state of a row's system, or raise a ValueError without such row."""
        return self._fleet.save_state(self.system_and_learner(row)[0])

    def restore_system(
        self, system: int, state: bytes, seed: int | None, known_by: str | None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], bool]:
        """Restore a state; return observations and masks, (learners, ...), and whether it is over."""
        return self._fleet.restore_state(system, state, seed, known_by)

    def system_and_learner(self, row: int) -> tuple[int, int]:
        """Return the indices of a row's system and learner, or raise a ValueError."""
        last = self._settings.num_envs - 1
        if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row <= last:
            raise ValueError(f"row = {row!r}: must be an integer between 0 and {last}")
        return divmod(int(row), len(self._learners))

    def of_system(self, system: int) -> slice:
        """Return the rows of a system."""
        return slice(system * len(self._learners), (system + 1) * len(self._learners))

    def __getstate__(self) -> dict[str, Any]:
        """Everything, the engine as saved states of its systems: for `copy.deepcopy` and pickle."""
        engine = self._engine
        systems = range(self._num_systems if self._has_begun else 0)
        saved = None if engine is None else [engine.save_state(system) for system in systems]
        return {**self.__dict__, "_engine": saved}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the engine anew and restore the saved states."""
        self.__dict__.update(state)
        if state["_engine"] is not None:
            self._engine = self._build()
            for system, saved in enumerate(state["_engine"]):
                self._engine.restore_state(system, saved)

    def _repeat_per_learner(self, by_system: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return by_system if len(self._learners) == 1 else by_system.repeat(len(self._learners))


def _merge_axes(by_system: NDArray[Any]) -> NDArray[Any]:
    """Reshape the axes (system, learner, ...) to (row, ...)."""
    return by_system.reshape(-1, *by_system.shape[2:])


def seed_indices(rows: int, rows_per_seed: int, learners: int) -> NDArray[np.int64]:
    """Return the index of each row's seed if consecutive systems share seeds.

    Args:
        rows: Pairs of system and learner.
        rows_per_seed: Systems that share a seed; each is one row of every learner.
        learners: Learners of a system.

    Returns:
        int64 of shape (rows,); with one row per seed the row's own index.

    Raises:
        ValueError: If the rows are not a multiple of those that share a seed.
    """
    if rows_per_seed < 1 or rows % (rows_per_seed * learners):
        per_learner = f" / {learners} learners" if learners > 1 else ""
        raise ValueError(
            f"rows_per_seed = {rows_per_seed!r}: must be a divisor of num_envs = {rows}{per_learner}"
        )
    indices = np.arange(rows)
    return indices // (rows_per_seed * learners) * learners + indices % learners


def default_threads(systems: int) -> int:
    """Return one thread per processor, or 1 for few systems and in worker processes."""
    if systems < _MIN_SYSTEMS_FOR_THREADS or multiprocessing.parent_process() is not None:
        return 1
    return os.cpu_count() or 1
