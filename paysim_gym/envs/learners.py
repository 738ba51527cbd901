"""The banks of a scenario that learn."""

from __future__ import annotations

from collections.abc import Sequence

from paysim_gym.scenario import Scenario


def resolve_learners(scenario: Scenario, learner: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the banks that learn: those named, or the one whose policy is `learner`.

    Raises:
        ValueError: If a bank is unknown or duplicate, or none is named and not exactly one learns.
    """
    banks = [agent.id for agent in scenario.agents]
    if learner is None:
        learners = scenario_learners(scenario)
        if len(learners) == 1:
            return learners
        found = ", ".join(learners) or "none"
        raise ValueError(
            f"learner = None: the scenario must have exactly one bank whose policy is learner, "
            f"it has {found}; name one or several of {', '.join(banks)}"
        )
    named = (learner,) if isinstance(learner, str) else tuple(learner)
    if not named or len(set(named)) < len(named) or any(bank not in banks for bank in named):
        raise ValueError(f"learner = {learner!r}: must be one or several of {', '.join(banks)}, each once")
    return named


def scenario_learners(scenario: Scenario) -> tuple[str, ...]:
    """Return the banks whose policy is `learner`."""
    return tuple(agent.id for agent in scenario.agents if agent.policy.type == "learner")


def agent_names(scenario: Scenario, learners: Sequence[str] | None) -> tuple[str, ...]:
    """Return the agents of a multi-agent environment: the banks named, or all that learn."""
    if learners is None:
        return scenario_learners(scenario)
    return (learners,) if isinstance(learners, str) else tuple(learners)
