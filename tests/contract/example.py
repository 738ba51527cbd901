"""The example of the contract, as written there."""

from __future__ import annotations

import copy
from typing import Any

_CONFIG: dict[str, Any] = {
    "ticks_per_day": 100,
    "seed": 12345,
    "agents": [
        {
            "id": "BANK_A",
            "balance": 1000000,
            "credit_limit": 500000,
            "arrival_config": {
                "agent_id": "BANK_A",
                "rate_per_tick": 5.0,
                "distribution_type": "normal",
                "amount_mean": 100000,
                "amount_std_dev": 30000,
            },
        },
        {"id": "BANK_B", "balance": 1500000, "credit_limit": 750000},
    ],
    "rails": [{"id": "RTGS", "settlement_type": "immediate"}],
    "costs": {
        "overdraft_rate": 0.0001,
        "delay_penalty_per_tick": 10,
        "split_fee": 50,
        "eod_penalty": 100000,
    },
}
REFUSED: dict[str, Any] = {"ticks_per_day": 100, "seed": 12345, "agents": [], "rails": [], "costs": {}}


def example() -> dict[str, Any]:
    """A copy of the example."""
    return copy.deepcopy(_CONFIG)
