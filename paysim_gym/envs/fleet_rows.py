"""The engine's fleet as rows: one for each pair of system and learner, in place of two axes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_gym import _engine
from paysim_gym.envs.env_arguments import EnvSettings
from paysim_gym.envs.infos import Columns, Info, Tick
from paysim_gym.render import View
from paysim_gym.scenario import Scenario

_FEW_SYSTEMS = 64  # below this, waking threads costs more than it saves


class Rows:
    """Systems of one scenario; the learners of the first in the order given, then those of the second.

    Attributes:
        heads: How many numbers a row's action is made of.
        choices: How many values each of them has.
    """

    def __init__(self, scenario: Scenario, learners: Sequence[str], settings: EnvSettings) -> None:
        """Build the systems; each must be reset before it is stepped.

        Raises:
            ValueError: If the number of rows is no multiple of that of the learners.
        """
        self._scenario, self._learners, self._settings = scenario, tuple(learners), settings
        if settings.num_envs % len(self._learners):
            raise ValueError(
                f"num_envs = {settings.num_envs}: must be a multiple of {len(self._learners)}, "
                "each learner of a system is a row"
            )
        self._num_systems = settings.num_envs // len(self._learners)
        self._has_begun = False
        self._fleet = self._build()
        self.heads, self.choices = self._fleet.heads, self._fleet.choices

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
        """Learner to the cents of one unit of amount, and of one unit of reward."""
        scales = self._fleet.amount_scales, self._fleet.reward_scales
        return dict(zip(self._learners, scales[0], strict=True)), dict(
            zip(self._learners, scales[1], strict=True)
        )

    def reset(
        self, rows: NDArray[np.bool_], seeds: Sequence[int | None]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Start the next episode, or that of a seed, in the systems of these rows, which must be whole.

        Args:
            rows: bool of shape (num_envs,).
            seeds: One for each row; a system takes that of its first.

        Returns:
            What all rows observe and may do, (num_envs, ...).
        """
        first_rows = slice(None, None, len(self._learners))
        observations, masks = self._fleet.reset(np.ascontiguousarray(rows[first_rows]), seeds[first_rows])
        self._has_begun = True
        return _flat(observations), _flat(masks)

    def step(self, actions: NDArray[np.int64]) -> Tick:
        """Play one step in every row, with checked actions; without the totals of those that end."""
        observations, rewards, terminated, truncated, costs, masks, illegal = self._fleet.step(
            actions.reshape(self._num_systems, len(self._learners), self.heads)
        )
        return Tick(
            _flat(observations),
            _flat(rewards),
            self._each_learner(terminated),
            self._each_learner(truncated),
            {
                "costs": dict(zip(_engine.COST_COMPONENTS, _flat(costs).T.copy(), strict=True)),
                "illegal_actions": _flat(illegal),
            },
            _flat(masks),
            {},
        )

    def step_alone(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], float, bool, bool, Info]:
        """Play one step in the only row, as an environment returns it; without the totals of an end."""
        return self._fleet.step_alone(actions)

    def totals(self) -> Columns:
        """Figures of the episode so far, each of shape (num_envs,)."""
        return {name: _flat(column) for name, column in self._fleet.totals().items()}

    def scripted_actions(self, policy_json: str) -> NDArray[np.int64]:
        """What a scripted policy would do now: int64 of shape (num_envs, heads)."""
        return _flat(self._fleet.scripted_actions(policy_json))

    def views(self) -> list[View]:
        """What the bank of each row has before it now."""
        return [view for system in range(self._num_systems) for view in self._fleet.view(system).values()]

    def save_state(self, row: int) -> bytes:
        """The state of a row's system.

        Raises:
            ValueError: If there is no such row.
        """
        return self._fleet.save_state(self.place(row)[0])

    def restore_system(
        self, system: int, state: bytes, seed: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], bool]:
        """Take up a saved state; observations and masks, (learners, ...), and whether its episode is over."""
        return self._fleet.restore_state(system, state, seed)

    def place(self, row: int) -> tuple[int, int]:
        """System and learner of a row.

        Raises:
            ValueError: If there is no such row.
        """
        last = self._settings.num_envs - 1
        if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row <= last:
            raise ValueError(f"row = {row!r}: must be an integer between 0 and {last}")
        return divmod(int(row), len(self._learners))

    def of_system(self, system: int) -> slice:
        """The rows of a system."""
        return slice(system * len(self._learners), (system + 1) * len(self._learners))

    def __getstate__(self) -> dict[str, Any]:
        """Everything, the engine as saved states of its systems: for `copy.deepcopy` and pickle."""
        systems = range(self._num_systems if self._has_begun else 0)
        return {**self.__dict__, "_fleet": [self._fleet.save_state(system) for system in systems]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the engine anew and take up the saved states."""
        self.__dict__.update(state)
        self._fleet = self._build()
        for system, saved in enumerate(state["_fleet"]):
            self._fleet.restore_state(system, saved)

    def _each_learner(self, systems: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What holds for a system, for each of its rows."""
        return systems if len(self._learners) == 1 else systems.repeat(len(self._learners))


def _flat(by_system: NDArray[Any]) -> NDArray[Any]:
    """What has the axes (system, learner, ...), with one axis of rows in their place."""
    return by_system.reshape(-1, *by_system.shape[2:])


def seed_indices(rows: int, rows_per_seed: int, learners: int) -> NDArray[np.int64]:
    """Which of consecutive seeds each row takes, if neighbouring systems share them.

    Args:
        rows: Pairs of system and learner.
        rows_per_seed: Systems that share a seed; each is one row of every learner.
        learners: Learners of a system.

    Returns:
        int64 of shape (rows,); with one row per seed each its own number.

    Raises:
        ValueError: If the rows are not a multiple of those that share a seed.
    """
    if rows_per_seed < 1 or rows % (rows_per_seed * learners):
        of_all = f" / {learners} learners" if learners > 1 else ""
        raise ValueError(f"rows_per_seed = {rows_per_seed!r}: must be a divisor of num_envs = {rows}{of_all}")
    place = np.arange(rows)
    return place // (rows_per_seed * learners) * learners + place % learners


def default_threads(systems: int) -> int:
    """One for each processor for many systems, else and in a worker process one."""
    if systems < _FEW_SYSTEMS or multiprocessing.parent_process() is not None:
        return 1
    return os.cpu_count() or 1
