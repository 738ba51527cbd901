"""Subtracts a common-random-numbers baseline from advantages: the mean over rows of one day.

A bank's payment orders do not depend on its decisions, and rows with the same seed share them. The mean
advantage of the other rows is thus a baseline that depends on the day but not on the row's own decisions: an
input-dependent baseline (Mao et al. 2019, Variance reduction for reinforcement learning in input-driven
environments), which leaves the policy gradient unbiased.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer

Float = TypeVar("Float", bound=np.floating[Any])


class PairedRolloutBuffer(RolloutBuffer):
    """A rollout buffer for groups of neighbouring rows that play the same days.

    Args:
        arguments: As `RolloutBuffer`.
        rows_per_seed: Number of neighbouring rows with the same seed; 1 disables the baseline.
        learners: Learners per system, whose rows are neighbours; each has its own baseline.
        keywords: As `RolloutBuffer`.
    """

    def __init__(self, *arguments: Any, rows_per_seed: int, learners: int = 1, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._rows_per_seed, self._learners = rows_per_seed, learners

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[np.bool_]) -> None:
        """Computes returns as usual and subtracts the group baseline from the advantages.

        Args:
            last_values: Value estimates after the last step, of shape (num_envs,).
            dones: Whether the last step ended an episode, bool of shape (num_envs,).
        """
        super().compute_returns_and_advantage(last_values, dones)
        if self._rows_per_seed > 1:
            self.advantages = subtract_group_mean(self.advantages, self._rows_per_seed, self._learners)


def subtract_group_mean(advantages: NDArray[Float], rows_per_seed: int, learners: int = 1) -> NDArray[Float]:
    """Subtracts from each advantage the mean of the group's other rows.

    Args:
        advantages: Floats of shape (steps, num_envs).
        rows_per_seed: Number of neighbouring systems in a group, at least 2.
        learners: Rows per system; each is grouped with the same learner's rows of the other systems.

    Returns:
        Advantages of the same shape and type; each group sums to zero.
    """
    groups = advantages.reshape(len(advantages), -1, rows_per_seed, learners)
    differences: NDArray[Float] = groups - groups.mean(axis=2, keepdims=True)
    scaled = differences * (rows_per_seed / (rows_per_seed - 1))
    return scaled.reshape(advantages.shape).astype(advantages.dtype, copy=False)
