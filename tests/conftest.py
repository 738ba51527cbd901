"""Fixtures of several test modules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from command import Called

# No windows on the screen, and no greeting by pygame.
os.environ["SDL_VIDEODRIVER"] = "dummy"
os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
# Ray uses only the loopback address; it reads this on import.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Called:
    """The command `paysim` within this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Called(capsys, monkeypatch)


@pytest.fixture
def small_scenario() -> dict[str, Any]:
    """A short day with few, varied payments."""
    arrivals = {
        "rate_per_tick": 1.5,
        "distribution_type": "lognormal",
        "amount_mean": 100_000_00,
        "amount_std_dev": 150_000_00,
        "deadline_range": [1, 6],
        "priority": {2: 1, 5: 2, 8: 1},
    }
    return {
        "ticks_per_day": 12,
        "agents": [
            {
                "id": "BANK_A",
                "balance": 200_000_00,
                "credit_limit": 500_000_00,
                "policy": {"type": "learner"},
                "arrival_config": arrivals,
            },
            {"id": "BANK_B", "balance": 200_000_00, "credit_limit": 500_000_00, "arrival_config": arrivals},
        ],
        "costs": {
            "overdraft_rate": 0.0001,
            "delay_penalty_per_tick": 10,
            "delay_rate": 0.00002,
            "priority_multipliers": {8: 2.5},
            "overdue_multiplier": 2,
            "deadline_penalty": 5_000,
            "split_fee": 100,
            "eod_penalty": 10_000,
            "eod_rate": 0.001,
        },
    }
