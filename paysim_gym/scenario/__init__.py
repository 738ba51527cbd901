"""The scenario: a payment system and its days, as a validated immutable object."""

from paysim_gym.scenario.loader import bundled_scenarios
from paysim_gym.scenario.models import (
    Agent,
    PaymentLimits,
    PriorityEscalation,
    Scenario,
    ScenarioSource,
    load_scenario,
)

__all__ = [
    "Agent",
    "PaymentLimits",
    "PriorityEscalation",
    "Scenario",
    "ScenarioSource",
    "bundled_scenarios",
    "load_scenario",
]
