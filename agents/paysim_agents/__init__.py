"""Policies that need no training."""

from paysim_agents.scripted import ScriptedAgent, scripted
from paysim_agents.tuning import Trial, candidate_grid, tune

__all__ = ["ScriptedAgent", "Trial", "candidate_grid", "scripted", "tune"]
