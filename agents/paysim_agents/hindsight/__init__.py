"""The hindsight optimum: the minimum cost of a day under perfect foresight."""

from paysim_agents.hindsight.plan import ROUNDING_CENTS, Plan, hindsight, replay

__all__ = ["ROUNDING_CENTS", "Plan", "hindsight", "replay"]
