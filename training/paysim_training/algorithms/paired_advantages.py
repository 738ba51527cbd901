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
        learners: Learners of a system, whose rows are neighbours; each is compared with itself.
        keywords: As `RolloutBuffer`.
    """

    def __init__(self, *arguments: Any, rows_per_seed: int, learners: int = 1, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._rows_per_seed, self._learners = rows_per_seed, learners

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[np.bool_]) -> None:
        """Take from each advantage the mean of the advantages of the other rows with the same seed.

        The critic's targets stay what they are.

        Args:
            last_values: What the critic expects after the last step, of shape (num_envs,).
            dones: Which episodes ended in it, bool of shape (num_envs,).
        """
        super().compute_returns_and_advantage(last_values, dones)
        if self._rows_per_seed > 1:
            self.advantages = subtract_group_mean(self.advantages, self._rows_per_seed, self._learners)


def subtract_group_mean(
    advantages: NDArray[np.float32], rows_per_seed: int, learners: int = 1
) -> NDArray[np.float32]:
    """Take from each row's advantage the mean of the others of its group at the same step.

    Args:
        advantages: float32 of shape (steps, num_envs).
        rows_per_seed: Systems of a group, more than 1; they are neighbours.
        learners: Rows of a system; each is compared with the same learner's in the other systems.

    Returns:
        float32 of shape (steps, num_envs); each group sums to zero.
    """
    groups = advantages.reshape(len(advantages), -1, rows_per_seed, learners)
    differences = groups - groups.mean(axis=2, keepdims=True)
    return (differences * (rows_per_seed / (rows_per_seed - 1))).reshape(advantages.shape)
