"""The hindsight optimum: the cheapest way to play a day that is known in advance."""

from paysim_agents.hindsight.plan import ROUNDING_CENTS, Plan, hindsight, replay

__all__ = ["ROUNDING_CENTS", "Plan", "hindsight", "replay"]
