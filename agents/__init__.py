"""Policies that need no training."""

from agents.scripted import ScriptedAgent, scripted
from agents.tuning import Trial, candidate_grid, tune

__all__ = ["ScriptedAgent", "Trial", "candidate_grid", "scripted", "tune"]
