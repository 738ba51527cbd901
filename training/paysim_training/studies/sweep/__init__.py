"""Sweep: hyperparameter search for a training configuration."""
