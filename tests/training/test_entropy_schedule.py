"""The schedule of the entropy coefficient."""

from __future__ import annotations

import pytest
from paysim_training.algorithms.callbacks import entropy_coefficient
from paysim_training.core.config import PpoConfig


@pytest.mark.parametrize(
    ("progress", "expected"), [(0.0, 0.4), (0.25, 0.325), (0.5, 0.25), (1.0, 0.1), (1.01, 0.1), (3.0, 0.1)]
)
def test_the_coefficient_falls_linearly_and_stays_at_its_final_value(
    progress: float, expected: float
) -> None:
    """The last rollout may exceed the configured timesteps."""
    ppo = PpoConfig(entropy_coefficient=0.4, final_entropy_coefficient=0.1)
    assert entropy_coefficient(ppo, progress) == pytest.approx(expected)
