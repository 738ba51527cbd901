"""PPO on RLlib: algorithm, module, environment runners and rollouts."""
