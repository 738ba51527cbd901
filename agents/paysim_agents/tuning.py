"""The best parameters of a scripted policy, found by trying them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from paysim_agents.scripted import scripted
from paysim_gym.envs.env_arguments import DEFAULT_SPLIT_PARTS
from paysim_gym.evaluation import evaluate
from paysim_gym.scenario import Agent, ScenarioSource, load_scenario

_BUFFER_STEPS = 20
_MARGINS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
_THRESHOLDS_IN_MEANS = (0, 0.5, 1, 2, 4, 8)


@dataclass(frozen=True)
class Trial:
    """A policy that was tried, and its mean cost an episode in cents."""

    policy: dict[str, Any]
    cost_cents_mean: float


def tune(
    scenario: ScenarioSource, seeds: Iterable[int], candidates: Iterable[Mapping[str, Any]], **env_kwargs: Any
) -> tuple[dict[str, Any], list[Trial]]:
    """Try every candidate on the same seeds.

    Args:
        scenario: Where they act.
        seeds: Days to tune on; keep them apart from those of the final comparison.
        candidates: Policies, as in a scenario.
        **env_kwargs: Further arguments of `PaymentVectorEnv`.

    Returns:
        The cheapest policy (the first of equals), and all trials in the order of the candidates.

    Raises:
        ValueError: If there are no candidates, or an argument is wrong.
    """
    loaded, days = load_scenario(scenario), list(seeds)
    trials = [
        Trial(dict(policy), float(evaluate(scripted(policy), loaded, days, **env_kwargs).cost.mean()))
        for policy in candidates
    ]
    if not trials:
        raise ValueError("candidates: must have at least one policy")
    return min(trials, key=lambda trial: trial.cost_cents_mean).policy, trials


def candidate_grid(kind: str, scenario: ScenarioSource, learner: str) -> list[dict[str, Any]]:
    """Parameters worth trying for one kind of scripted policy.

    Args:
        kind: `release_all`, `hold_until_deadline`, `liquidity_aware`, `split_large`,
            `random` or `myopic`.
        scenario: Where it will act.
        learner: The bank it will act for.

    Raises:
        ValueError: If the kind or the bank is unknown.
    """
    loaded = load_scenario(scenario)
    bank = next((agent for agent in loaded.agents if agent.id == learner), None)
    if bank is None:
        names = ", ".join(agent.id for agent in loaded.agents)
        raise ValueError(f"learner = {learner!r}: must be one of {names}")
    grids: dict[str, list[dict[str, Any]]] = {
        "release_all": [{}],
        "hold_until_deadline": [{"margin": margin} for margin in _MARGINS if margin <= loaded.ticks_per_day],
        "liquidity_aware": [{"buffer": buffer} for buffer in _buffers(bank)],
        "split_large": [
            {"parts": parts, "threshold": threshold}
            for parts in DEFAULT_SPLIT_PARTS
            for threshold in _thresholds(bank)
        ],
        "random": [{"release_probability": tenths / 10} for tenths in range(1, 10)],
        "myopic": [{}],
    }
    if kind not in grids:
        raise ValueError(f"kind = {kind!r}: must be one of {', '.join(grids)}")
    return [{"type": kind, **parameters} for parameters in grids[kind]]


def _buffers(bank: Agent) -> list[int]:
    """Evenly spaced from nothing to the bank's whole opening liquidity."""
    liquidity = bank.balance + bank.credit_limit
    return sorted({liquidity * step // _BUFFER_STEPS for step in range(_BUFFER_STEPS + 1)})


def _thresholds(bank: Agent) -> list[int]:
    mean = bank.arrival_config.amount_mean if bank.arrival_config else 0
    return sorted({int(np.rint(multiple * mean)) for multiple in _THRESHOLDS_IN_MEANS})
