"""The scenario: a payment system and its days, as a validated immutable object."""

from paysim_gym.scenario.loader import ScenarioNotFound, bundled_scenarios
from paysim_gym.scenario.models import (
    Agent,
    AgentConfig,
    ArrivalConfig,
    CostConfig,
    Costs,
    InitialTransaction,
    PaymentLimits,
    PriorityEscalation,
    Rail,
    RailConfig,
    Scenario,
    ScenarioSource,
    SimulationConfig,
    TransactionConfig,
    load_scenario,
)

__all__ = [
    "Agent",
    "AgentConfig",
    "ArrivalConfig",
    "CostConfig",
    "Costs",
    "InitialTransaction",
    "PaymentLimits",
    "PriorityEscalation",
    "Rail",
    "RailConfig",
    "Scenario",
    "ScenarioNotFound",
    "ScenarioSource",
    "SimulationConfig",
    "TransactionConfig",
    "bundled_scenarios",
    "load_scenario",
]
