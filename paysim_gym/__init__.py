"""PaySim Gym: a bank's treasurer as a reinforcement-learning agent.

Importing the package registers its environments with Gymnasium:

    import gymnasium as gym
    import paysim_gym

    env = gym.make("PaySim/TwoBank-v1")
    fleet = gym.make_vec("PaySim/TwoBank-v1", num_envs=64)
"""

from importlib.metadata import version

from paysim_gym._engine import ActionError, EpisodeOverError, ScenarioError
from paysim_gym.envs.env import PaymentEnv
from paysim_gym.envs.registration import register_envs
from paysim_gym.envs.spaces import ObservationField, observation_fields
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.orchestrator import Orchestrator
from paysim_gym.scenario import (
    AgentConfig,
    ArrivalConfig,
    CostConfig,
    RailConfig,
    Scenario,
    ScenarioNotFound,
    SimulationConfig,
    TransactionConfig,
    bundled_scenarios,
    load_scenario,
)

__all__ = [
    "ActionError",
    "AgentConfig",
    "ArrivalConfig",
    "CostConfig",
    "EpisodeOverError",
    "ObservationField",
    "Orchestrator",
    "PaymentEnv",
    "PaymentVectorEnv",
    "RailConfig",
    "Scenario",
    "ScenarioError",
    "ScenarioNotFound",
    "SimulationConfig",
    "TransactionConfig",
    "__version__",
    "bundled_scenarios",
    "load_scenario",
    "observation_fields",
]

__version__ = version("paysim-gym")

register_envs()
