"""Configuration, run folders, evaluation tables and figures shared by all training."""
