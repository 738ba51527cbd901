"""One fleet of several learners as several environments of Stable-Baselines3, one for each model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from paysim_gym.envs.sb3 import PaymentVecEnv

Outcome = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]


class SharedFleet:
    """A fleet that plays a tick once all its rows have been decided, by however many models.

    Attributes:
        env: The fleet, with a row for each pair of system and learner.
        observations: What all rows observe now, float32 of shape (num_envs, observation size).
        infos: What the last tick told of all rows: empty, but where an episode ended.
    """

    def __init__(self, env: PaymentVecEnv) -> None:
        self.env = env
        self._actions = np.zeros((env.num_envs, *(env.action_space.shape or ())), np.int64)
        self._is_decided = np.zeros(env.num_envs, np.bool_)
        self._is_unread = np.zeros(env.num_envs, np.bool_)
        self._rewards = np.zeros(env.num_envs, np.float32)
        self._dones = np.zeros(env.num_envs, np.bool_)
        self.start(0)

    def start(self, seed: int) -> None:
        """Start a day in every system; row i takes the i-th seed from this one on."""
        self.env.seed(seed)
        self.observations = self.env.reset()
        self.infos: list[dict[str, Any]] = [{} for _ in range(self.env.num_envs)]
        self._is_decided[:] = self._is_unread[:] = False

    def seats(self, banks: Sequence[str]) -> Seats:
        """The environment of the model that decides for these banks.

        Raises:
            ValueError: If one does not learn here.
        """
        learners = self.env.vector_env.learners
        unknown = [bank for bank in banks if bank not in learners]
        if unknown or not banks:
            raise ValueError(f"banks = {list(banks)!r}: must be one or several of {', '.join(learners)}")
        is_theirs = np.tile([learner in banks for learner in learners], self.env.num_envs // len(learners))
        return Seats(self, np.flatnonzero(is_theirs))

    def decide(self, rows: NDArray[np.intp], actions: NDArray[np.int64]) -> None:
        """Take the actions of some rows for the coming tick."""
        self._actions[rows] = actions
        self._is_decided[rows] = True

    def outcome(self, rows: NDArray[np.intp]) -> Outcome:
        """What the tick did to some rows; the first to ask plays it.

        Raises:
            RuntimeError: If not all rows have been decided.
        """
        if not self._is_unread[rows].all():
            if not self._is_decided.all():
                waiting = np.flatnonzero(~self._is_decided).tolist()
                raise RuntimeError(f"rows {waiting} have no actions: every seat must step before one waits")
            self.observations, self._rewards, self._dones, self.infos = self.env.step(self._actions)
            self._is_decided[:], self._is_unread[:] = False, True
        self._is_unread[rows] = False
        infos = [self.infos[row] for row in rows]
        return self.observations[rows], self._rewards[rows], self._dones[rows], infos


class Seats(VecEnv):
    """The rows of one model in a shared fleet.

    `step_async` of every model must come before `step_wait` of any. Days start with `SharedFleet.start`,
    which seeds them; `reset` and `seed` only satisfy whoever expects them.

    Attributes:
        rows: Which rows of the fleet, in order.
    """

    def __init__(self, fleet: SharedFleet, rows: NDArray[np.intp]) -> None:
        """Take seats; `SharedFleet.seats` does it by the names of banks."""
        self.rows = rows
        self._fleet = fleet
        super().__init__(len(rows), fleet.env.observation_space, fleet.env.action_space)

    def reset(self) -> NDArray[np.float32]:
        """What the rows observe now, float32 of shape (num_envs, observation size)."""
        return self._fleet.observations[self.rows]

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Decide for the coming tick."""
        self._fleet.decide(self.rows, actions)

    def step_wait(self) -> Outcome:
        """Observations, rewards, ends and infos of the rows.

        Raises:
            RuntimeError: If another model has not decided yet.
        """
        return self._fleet.outcome(self.rows)

    def close(self) -> None:
        """Do nothing: the fleet is closed by whoever made it."""

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """An attribute of the fleet, once for each row.

        Raises:
            AttributeError: If there is none.
        """
        return [self._fleet.env.get_attr(attr_name, 0)[0] for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Refuse: the fleet is shared.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"attr_name = {attr_name!r}: set it in the fleet, which models share")

    def env_method(self, method_name: str, *arguments: Any, **keywords: Any) -> list[Any]:
        """Refuse: the fleet is shared.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"method_name = {method_name!r}: call it on the fleet, which models share")

    def env_is_wrapped(
        self,
        wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]],
        indices: int | Iterable[int] | None = None,
    ) -> list[bool]:
        """No row is wrapped."""
        return [False for _ in self._get_indices(indices)]
