"""Gymnasium, vector and Stable-Baselines3 views of one fleet of payment systems.

`paysim_gym.envs.sb3` needs Stable-Baselines3 and is not imported here.
"""

from paysim_gym.envs.env import PaymentEnv
from paysim_gym.envs.vector import PaymentVectorEnv

__all__ = ["PaymentEnv", "PaymentVectorEnv"]
