"""The result of a step, and its infos by row or batched."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, Any]
"""Key to an array of shape (num_envs, ...), or to a mapping of such keys."""
Info = dict[str, Any]


class StepResult(NamedTuple):
    """Result of one step of every row.

    Attributes:
        observations: float32 of shape (num_envs, observation size).
        rewards: float64 of shape (num_envs,).
        terminated: bool of shape (num_envs,).
        truncated: bool of shape (num_envs,).
        outcome: `costs` (component to cents) and `illegal_actions`, int64 of shape (num_envs,).
        masks: bool of shape (num_envs, mask size); owned by the environment.
        totals: Totals of the episode, each of shape (num_envs,); empty if no episode ends.
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
        """All infos of the rows that played this step."""
        ends = {"episode_totals": self.totals} if self.totals else {}
        return {**self.outcome, "action_mask": self.masks, **ends}


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
    return _batch(columns, rows, in_all_rows=count == rows.size) if count else {}


def _batch(columns: Columns, rows: NDArray[np.bool_], in_all_rows: bool) -> Info:
    infos: Info = {}
    for key, column in columns.items():
        if isinstance(column, dict):
            infos[key] = _batch(column, rows, in_all_rows)
        elif in_all_rows:
            infos[key] = column
        else:
            infos[key] = np.zeros(column.shape, column.dtype)
            infos[key][rows] = column[rows]
        infos[f"_{key}"] = rows.copy()
    return infos


def row_infos(columns: Columns) -> list[Info]:
    """Return the info of each row: Python numbers, fresh arrays and mappings of these."""
    parts = [_row_values(column) for column in columns.values()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*parts, strict=True)]


def _row_values(column: Any) -> list[Any]:
    if isinstance(column, dict):
        return row_infos(column)
    values: list[Any] = column.tolist() if column.ndim == 1 else list(column.copy())
    return values
