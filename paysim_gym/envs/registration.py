"""Environment ids and their registration with Gymnasium."""

from __future__ import annotations

from typing import Any

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

FRACTION_SCENARIOS = {env_id.replace("-", "Fraction-"): name for env_id, name in ENV_SCENARIOS.items()}
"""The ids with a discrete action, such as `PaySim/TwoBankFraction-v1`, to their default scenarios."""

EPISODE_STEPS = {
    "two_bank": 48,
    "five_bank": 48,
    "deadline_lumps": 24,
    "margin_calls": 24,
    "overdraft_tiers": 24,
    "receipt_waves": 24,
    "liquidity_pool": 25,
    "reacting_banks": 24,
}
"""Scenario to the steps of its episode, openings included."""


def register_envs() -> None:
    """Register the ids with Gymnasium; calling it again has no effect."""
    for env_id, scenario in ENV_SCENARIOS.items():
        _register(env_id, scenario=scenario)
    for env_id, scenario in FRACTION_SCENARIOS.items():
        _register(env_id, scenario=scenario, action_mode="fraction")


def _register(env_id: str, **arguments: Any) -> None:
    if env_id in gym.registry:
        return
    has_own_scenario = env_id.startswith("PaySim/Bank")
    gym.register(
        env_id,
        entry_point="paysim_gym.envs.env:PaymentEnv",
        vector_entry_point="paysim_gym.envs.vector:PaymentVectorEnv",
        # Gymnasium's TimeLimit reports truncation in the step that reaches the limit, even if the episode
        # ends there, so the limit lies one step beyond the end.
        max_episode_steps=None if has_own_scenario else EPISODE_STEPS[arguments["scenario"]] + 1,
        kwargs=arguments,
    )
