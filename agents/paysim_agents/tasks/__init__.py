"""The task suite: single-learner tasks and the measurement of policies on them."""
