"""Infos: their names, by row or batched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.envs.spaces import MaskFormat

Columns = dict[str, NDArray[Any]]
"""Key to an array of shape (num_envs, ...)."""
Info = dict[str, Any]

COST_KEYS = tuple(f"cost_{component}" for component in COST_COMPONENTS)
"""Keys of a step's cost components, in cents."""
EPISODE_PREFIX = "episode_"
"""Begins the keys of an episode's totals, which the last step of an episode has."""
EPISODE_COST = f"{EPISODE_PREFIX}cost"
"""Key of an episode's cost in cents."""
_NO_COSTS = dict.fromkeys((*COST_KEYS, "illegal_actions"), 0)


class StepResult(NamedTuple):
    """Result of one step of every row.

    Attributes:
        observations: float32 of shape (num_envs, observation size).
        rewards: float64 of shape (num_envs,).
        terminated: bool of shape (num_envs,).
        truncated: bool of shape (num_envs,).
        costs: Cents by component, int64 of shape (num_envs, components).
        illegal_actions: How many acted as hold, int64 of shape (num_envs,).
        masks: bool of shape (num_envs, mask size); owned by the environment.
        totals: Totals of the episode, each of shape (num_envs,); empty if no episode ends.
    """

    observations: NDArray[np.float32]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    costs: NDArray[np.int64]
    illegal_actions: NDArray[np.int64]
    masks: NDArray[np.bool_]
    totals: Columns

    @property
    def infos(self) -> Columns:
        """All infos of the rows that played this step; the columns are views."""
        return {
            **step_columns(self.costs, self.illegal_actions),
            "action_mask": self.masks.view(np.int8),
            **episode_columns(self.totals),
        }


def step_columns(costs: NDArray[np.int64], illegal_actions: NDArray[np.int64]) -> Columns:
    """Return the infos of a step without masks; the columns are views."""
    return {**dict(zip(COST_KEYS, costs.T, strict=True)), "illegal_actions": illegal_actions}


def episode_columns(totals: Columns) -> Columns:
    """Return the infos of the end of an episode."""
    return {f"{EPISODE_PREFIX}{name}": column for name, column in totals.items()}


def episode_totals(info: Info) -> Info:
    """Return the totals of an episode in an info, by their names without prefix."""
    return {
        key.removeprefix(EPISODE_PREFIX): value
        for key, value in info.items()
        if key.startswith(EPISODE_PREFIX)
    }


def reset_columns(num_envs: int) -> Columns:
    """Return the infos of rows at the start of their episodes, without masks."""
    return {key: np.zeros(num_envs, np.int64) for key in _NO_COSTS}


def reset_info(mask: Any) -> Info:
    """Return the info of a row at the start of its episode."""
    return {**_NO_COSTS, "action_mask": mask}


def step_info(costs: Iterable[int], illegal_actions: int, mask: Any) -> Info:
    """Return the info of a row's step."""
    info: Info = dict(zip(COST_KEYS, costs, strict=True))
    info["illegal_actions"] = illegal_actions
    info["action_mask"] = mask
    return info


def batch_info(columns: Columns, rows: NDArray[np.bool_]) -> Info:
    """Batch infos that only some rows have, as `gymnasium.vector.SyncVectorEnv` does.

    Args:
        columns: The infos of all rows; if all rows have them, the same arrays are returned.
        rows: Rows that have them, bool of shape (num_envs,).

    Returns:
        Arrays that are zero in the other rows, each with a mask `_key` of the rows that have it; empty
        if no row does.
    """
    count = np.count_nonzero(rows)
    infos: Info = {}
    for key, column in columns.items() if count else ():
        if count == rows.size:
            infos[key] = column
        else:
            infos[key] = np.zeros(column.shape, column.dtype)
            infos[key][rows] = column[rows]
        infos[f"_{key}"] = rows.copy()
    return infos


def row_infos(columns: Columns, mask_format: MaskFormat) -> list[Info]:
    """Return the info of each row, with Python numbers and fresh arrays."""
    parts = [_row_values(key, column, mask_format) for key, column in columns.items()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*parts, strict=True)]


def _row_values(key: str, column: NDArray[Any], mask_format: MaskFormat) -> list[Any]:
    if key == "action_mask":
        return [mask_format.split(mask) for mask in column.copy()]
    values: list[Any] = column.tolist() if column.ndim == 1 else list(column.copy())
    return values
