"""The banks of a scenario that learn."""

from __future__ import annotations

from collections.abc import Sequence

from paysim_gym.envs.env_arguments import EnvSettings
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


def episode_steps(scenario: Scenario, learners: Sequence[str], settings: EnvSettings) -> int:
    """Return the number of steps of an episode.

    These are its ticks, and an opening a day if a learner commits its pool.
    """
    pools = {agent.id: agent.liquidity_pool for agent in scenario.agents}
    has_opening = settings.decides in ("both", "pool") and any(pools[bank] for bank in learners)
    return scenario.num_days * (scenario.ticks_per_day + has_opening)


def scenario_learners(scenario: Scenario) -> tuple[str, ...]:
    """Return the banks whose policy is `learner`."""
    return tuple(agent.id for agent in scenario.agents if agent.policy.type == "learner")
