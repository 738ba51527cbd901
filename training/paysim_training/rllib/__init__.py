"""PPO on RLlib: algorithm, module, environment runners and rollouts."""

from paysim_gym.extras import requires_extra

with requires_extra("distributed"):
    import ray as _  # noqa: F401
