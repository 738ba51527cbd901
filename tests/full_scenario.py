"""A scenario that uses every key, and variations of it."""

from __future__ import annotations

import copy
from typing import Any

ARRIVALS: dict[str, Any] = {
    "agent_id": "BANK_A",
    "rate_per_tick": 1.5,
    "distribution_type": "lognormal",
    "amount_mean": 1_000_00,
    "amount_std_dev": 2_000_00,
    "counterparty_weights": {"BANK_B": 2, "BANK_C": 1},
    "time_windows": [
        {"start_tick": 0, "end_tick": 4, "multiplier": 2},
        {"start_tick": 4, "end_tick": 8, "multiplier": 0.5},
    ],
    "deadline_range": [1, 5],
    "priority": {"2": 1, "7": 3},
    "divisible": False,
    "rail": "DNS",
    "rtgs_priority": "urgent",
}
EVENTS: list[dict[str, Any]] = [
    {
        "type": "payment",
        "tick": 2,
        "every_ticks": 12,
        "until_tick": 20,
        "sender": "BANK_A",
        "receiver": "BANK_B",
        "amount": 300_00,
        "deadline_ticks": 3,
        "priority": 8,
        "divisible": False,
        "rail": "DNS",
        "rtgs_priority": "highly_urgent",
    },
    {
        "type": "transfer",
        "tick": 0,
        "every_ticks": 2,
        "until_tick": 10,
        "sender": "BANK_B",
        "receiver": "BANK_C",
        "amount": 1,
    },
    {
        "type": "arrival_rate",
        "tick": 1,
        "every_ticks": 3,
        "until_tick": 22,
        "bank": "BANK_A",
        "multiplier": 2.5,
    },
    {
        "type": "credit",
        "tick": 5,
        "every_ticks": 5,
        "until_tick": 15,
        "bank": "BANK_A",
        "credit_limit": 100_00,
    },
    {"type": "collateral", "tick": 6, "every_ticks": 7, "until_tick": 13, "bank": "BANK_B", "collateral": 9},
    {"type": "outage", "tick": 7, "every_ticks": 12, "until_tick": 23, "bank": "BANK_C", "ticks": 3},
    {"type": "early_close", "tick": 10, "every_ticks": 12, "until_tick": 23},
]
FULL: dict[str, Any] = {
    "description": "Every field but those that name files, none at its default.",
    "ticks_per_day": 12,
    "num_days": 2,
    "seed": 2**64 - 1,
    "agents": [
        {
            "id": "BANK_A",
            "balance": 10_000_00,
            "credit_limit": 5_000_00,
            "collateral": 2_000_00,
            "collateral_haircut": 0.25,
            "liquidity_pool": 3_000_00,
            "liquidity_share": 0.5,
            "limits": {"bilateral": {"BANK_B": 900_00}, "multilateral": 4_000_00},
            "arrival_config": ARRIVALS,
            "policy": {"type": "learner"},
        },
        {"id": "BANK_B", "balance": 0, "policy": {"type": "hold_until_deadline", "margin": 2}},
        {"id": "BANK_C", "balance": 0, "policy": {"type": "liquidity_aware", "buffer": 100_00}},
        {"id": "BANK_D", "balance": 0, "policy": {"type": "split_large", "parts": 3, "threshold": 50_00}},
        {"id": "BANK_E", "balance": 0, "policy": {"type": "random", "release_probability": 0.25}},
        {"id": "BANK_F", "balance": 0, "policy": {"type": "release_all"}},
        {"id": "BANK_G", "balance": 0, "policy": {"type": "myopic"}},
    ],
    "rails": [
        {
            "id": "T2",
            "settlement_type": "immediate",
            "queue_discipline": "priority",
            "incoming_queue_visible": False,
            "lsm": {"entry_offset": True, "bilateral": True, "multilateral": True},
            "deferred_crediting": True,
        },
        {"id": "DNS", "settlement_type": "deferred_net", "cycle_ticks": 4},
    ],
    "costs": {
        "overdraft_rate": 0.0001,
        "overdraft_tiers": [{"above": 1_000_00, "rate": 0.0002}, {"above": 2_000_00, "rate": 0.0004}],
        "delay_penalty_per_tick": 10,
        "delay_rate": 0.00001,
        "priority_multipliers": {"7": 2.5},
        "overdue_multiplier": 3,
        "deadline_penalty": 1_000,
        "split_fee": 50,
        "eod_penalty": 2_000,
        "eod_rate": 0.001,
        "collateral_rate": 0.00002,
        "collateral_charged": "used",
        "liquidity_rate": 0.0003,
        "delay_in_central_queue": False,
        "delay_at_close": False,
    },
    "initial_transactions": [
        {
            "sender": "BANK_A",
            "receiver": "BANK_B",
            "amount": 500_00,
            "arrival_tick": 13,
            "deadline_tick": 30,
            "priority": 9,
            "divisible": False,
            "rail": "DNS",
            "rtgs_priority": "normal",
        }
    ],
    "events": EVENTS,
    "opening_time": "07:00",
    "closing_time": "18:30",
    "priority_escalation": {"ticks": 3, "boost": 4},
    "end_of_day": "borrow",
    "overnight": "reset",
}
NETWORK = {"type": "network", "weights": "network.safetensors", "deterministic": False}
REPLAY = FULL | {
    "payments_file": "payments.csv",
    "agents": [*FULL["agents"], {"id": "BANK_H", "balance": 0, "policy": NETWORK}],
}
"""With keys that name files, so only for the schema."""
REMOVED = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """FULL with one value replaced, added or removed."""
    data = copy.deepcopy(FULL)
    owner: Any = data
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
    for part in parents:
        owner = owner[part]
    if value is REMOVED:
        del owner[last]
    else:
        owner[last] = value
    return data
