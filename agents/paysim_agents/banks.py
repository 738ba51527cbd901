"""Reads and changes one bank of a scenario."""

from __future__ import annotations

from typing import Any

from paysim_gym.scenario import Agent, Scenario


def find_bank(scenario: Scenario, bank: str) -> Agent:
    """Returns a bank's configuration; raises ValueError if the scenario has no such bank."""
    banks = {agent.id: agent for agent in scenario.agents}
    if bank not in banks:
        raise ValueError(f"learner = {bank!r}: must be one of {', '.join(banks)}")
    return banks[bank]


def replace_bank(scenario: Scenario, bank: str, **changes: Any) -> Scenario:
    """Returns a copy of a scenario with changed fields of one bank, without validation."""
    agents = tuple(
        agent.model_copy(update=changes) if agent.id == bank else agent for agent in scenario.agents
    )
    return scenario.model_copy(update={"agents": agents})
