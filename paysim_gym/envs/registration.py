"""Environment ids and their registration with Gymnasium."""

from __future__ import annotations

import gymnasium as gym

ENV_SCENARIOS = {
    "PaySim/Bank-v1": "two_bank",
    "PaySim/TwoBank-v1": "two_bank",
    "PaySim/FiveBank-v1": "five_bank",
    "PaySim/DeadlineLumps-v1": "deadline_lumps",
    "PaySim/MarginCalls-v1": "margin_calls",
    "PaySim/OverdraftTiers-v1": "overdraft_tiers",
    "PaySim/ReceiptWaves-v1": "receipt_waves",
    "PaySim/LiquidityPool-v1": "liquidity_pool",
    "PaySim/ReactingBanks-v1": "reacting_banks",
}
"""Environment id to its default scenario; `PaySim/Bank-v1` is for scenarios of your own."""


def register_envs() -> None:
    """Register the ids with Gymnasium; calling it again has no effect."""
    for env_id, scenario in ENV_SCENARIOS.items():
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point="paysim_gym.envs.env:PaymentEnv",
                vector_entry_point="paysim_gym.envs.vector:PaymentVectorEnv",
                kwargs={"scenario": scenario},
            )
