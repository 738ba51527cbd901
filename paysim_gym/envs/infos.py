"""What a tick did to all rows; its infos as columns, and the two shapes that Gymnasium gives them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, Any]
"""Key to an array of shape (num_envs, ...), or to a mapping of such keys."""
Info = dict[str, Any]


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


def batch_info(columns: Columns, rows: NDArray[np.bool_]) -> Info:
    """Infos that only some rows have, as `gymnasium.vector.SyncVectorEnv` batches them.

    Args:
        columns: The infos of all rows; if all have them, the arrays given are the arrays returned.
        rows: Rows that have them, bool of shape (num_envs,).

    Returns:
        Arrays that are zero in every other row, each beside the mask `_key` of the rows that have it;
        empty if no row does.
    """
    count = np.count_nonzero(rows)
    return _batch(columns, rows, everywhere=count == rows.size) if count else {}


def _batch(columns: Columns, rows: NDArray[np.bool_], everywhere: bool) -> Info:
    infos: Info = {}
    for key, column in columns.items():
        if isinstance(column, dict):
            infos[key] = _batch(column, rows, everywhere)
        elif everywhere:
            infos[key] = column
        else:
            infos[key] = np.zeros(column.shape, column.dtype)
            infos[key][rows] = column[rows]
        infos[f"_{key}"] = rows.copy()
    return infos


def row_infos(columns: Columns) -> list[Info]:
    """The info of each row: plain Python numbers, fresh arrays and mappings of these."""
    parts = [_row_values(column) for column in columns.values()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*parts, strict=True)]


def _row_values(column: Any) -> list[Any]:
    if isinstance(column, dict):
        return row_infos(column)
    values: list[Any] = column.tolist() if column.ndim == 1 else list(column.copy())
    return values
