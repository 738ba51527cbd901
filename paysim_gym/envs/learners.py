"""Which banks of a scenario learn."""

from __future__ import annotations

from collections.abc import Sequence

from paysim_gym.scenario import Scenario


def resolve_learners(scenario: Scenario, learner: str | Sequence[str] | None) -> tuple[str, ...]:
    """The banks that learn: those named, or the one whose policy is `learner`.

    Raises:
        ValueError: If a bank is unknown or named twice, or none is named and there is not exactly one.
    """
    banks = [agent.id for agent in scenario.agents]
    if learner is None:
        learners = own_learners(scenario)
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


def own_learners(scenario: Scenario) -> tuple[str, ...]:
    """The banks whose policy is `learner`."""
    return tuple(agent.id for agent in scenario.agents if agent.policy.type == "learner")
