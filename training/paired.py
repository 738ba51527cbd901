"""Advantages from rows that play the same day: what chance brought to all of them says nothing about any.

A bank's payments and receipts come whatever it decides. Rows that share their seed share them, so the mean
of what went better than expected in the others is a baseline that depends on the day as it went but not on
the row's own decisions: an input-dependent baseline (Mao et al. 2019, Variance reduction for reinforcement
learning in input-driven environments), which leaves the policy gradient without bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer


class PairedRolloutBuffer(RolloutBuffer):
    """A rollout whose neighbouring rows play the same days.

    Args:
        arguments: As `RolloutBuffer`.
        rows_per_seed: How many neighbouring rows share a seed; with 1 nothing changes.
        keywords: As `RolloutBuffer`.
    """

    def __init__(self, *arguments: Any, rows_per_seed: int, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._rows_per_seed = rows_per_seed

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[np.bool_]) -> None:
        """Take from each advantage the mean of the advantages of the other rows with the same seed.

        The critic's targets stay what they are.

        Args:
            last_values: What the critic expects after the last step, of shape (num_envs,).
            dones: Which episodes ended in it, bool of shape (num_envs,).
        """
        super().compute_returns_and_advantage(last_values, dones)
        if self._rows_per_seed > 1:
            self.advantages = without_the_day(self.advantages, self._rows_per_seed)


def without_the_day(advantages: NDArray[np.float32], rows_per_seed: int) -> NDArray[np.float32]:
    """Take from each row's advantage the mean of the others of its group at the same step.

    Args:
        advantages: float32 of shape (steps, num_envs).
        rows_per_seed: Rows of a group, more than 1; they are neighbours.

    Returns:
        float32 of shape (steps, num_envs); each group sums to zero.
    """
    groups = advantages.reshape(len(advantages), -1, rows_per_seed)
    differences = groups - groups.mean(axis=2, keepdims=True)
    return (differences * (rows_per_seed / (rows_per_seed - 1))).reshape(advantages.shape)
