"""Environments for Gymnasium, Stable-Baselines3, PettingZoo and RLlib.

`paysim_gym.envs.sb3`, `parallel` and `rllib` need their libraries and are not imported here.
"""

from paysim_gym.envs.env import PaymentEnv
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.envs.wrappers import DictObservation, VectorDictObservation

__all__ = ["DictObservation", "PaymentEnv", "PaymentVectorEnv", "VectorDictObservation"]
