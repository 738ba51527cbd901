"""Grid search over the parameters of scripted policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from paysim_agents.banks import find_bank, replace_bank
from paysim_agents.scripted import scripted
from paysim_gym._engine import SHARES
from paysim_gym.envs.env_arguments import DEFAULT_SPLIT_PARTS, FleetArguments
from paysim_gym.evaluation import evaluate
from paysim_gym.scenario import Agent, Scenario, ScenarioSource, load_scenario

RULE_TYPES = ("release_all", "hold_until_deadline", "liquidity_aware", "split_large", "random", "myopic")
"""Types of scripted policies that have a parameter grid."""
_BUFFER_STEPS = 20
_MARGINS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
_THRESHOLDS_IN_MEANS = (0, 0.5, 1, 2, 4, 8)


@dataclass(frozen=True)
class Trial:
    """A candidate policy and its mean cost per episode in cents."""

    policy: dict[str, Any]
    cost_cents_mean: float


def tune(
    scenario: ScenarioSource,
    seeds: Iterable[int],
    candidates: Iterable[Mapping[str, Any]],
    *,
    learner: str | None = None,
    **arguments: Unpack[FleetArguments],
) -> tuple[dict[str, Any], list[Trial]]:
    """Evaluates every candidate on the same seeds and returns the cheapest.

    Args:
        scenario: The scenario the candidates play.
        seeds: Tuning days; keep them apart from the days of the final comparison.
        candidates: Policies as in a scenario.
        learner: The bank they act for; by default the one whose policy is `learner`.
        **arguments: Further arguments of `PaymentVectorEnv`.

    Returns:
        The cheapest policy (the first on ties), and all trials in the order of the candidates.

    Raises:
        ValueError: If there are no candidates, or an argument is wrong.
    """
    loaded, days = load_scenario(scenario), list(seeds)
    trials = []
    for policy in candidates:
        costs = evaluate(scripted(policy), loaded, days, learner=learner, **arguments).cost
        trials.append(Trial(dict(policy), float(costs.mean())))
    if not trials:
        raise ValueError("candidates: must have at least one policy")
    return min(trials, key=lambda trial: trial.cost_cents_mean).policy, trials


def tune_rules(
    scenario: Scenario,
    learner: str,
    seeds: Iterable[int],
    rule_types: Iterable[str] = RULE_TYPES,
    **arguments: Unpack[FleetArguments],
) -> list[tuple[float, dict[str, Any], float | None]]:
    """Tunes rules of several types for every pool share of the opening.

    Args:
        scenario: The scenario the rules play.
        learner: The bank they act for.
        seeds: Tuning days.
        rule_types: Types that `candidate_grid` supports.
        **arguments: Further arguments of `PaymentVectorEnv`.

    Returns:
        Mean cost in cents, best rule and pool share (None without a pool), for each share and type.
    """
    highest, days = arguments.get("pool_shares", SHARES) - 1, list(seeds)
    has_pool = find_bank(scenario, learner).liquidity_pool
    shares = [share / highest for share in range(highest + 1)] if has_pool else [None]
    tuned: list[tuple[float, dict[str, Any], float | None]] = []
    for share in shares:
        variant = with_pool_share(scenario, learner, share)
        for rule_type in rule_types:
            candidates = candidate_grid(rule_type, variant, learner)
            policy, trials = tune(variant, days, candidates, learner=learner, **arguments)
            tuned.append((min(trial.cost_cents_mean for trial in trials), policy, share))
    return tuned


def with_pool_share(scenario: Scenario, bank: str, share: float | None) -> Scenario:
    """Sets the pool share that scripted policies of a bank commit; None changes nothing."""
    return scenario if share is None else replace_bank(scenario, bank, liquidity_share=share)


def candidate_grid(policy_type: str, scenario: ScenarioSource, learner: str) -> list[dict[str, Any]]:
    """Returns the parameter grid for one type of scripted policy.

    Args:
        policy_type: `release_all`, `hold_until_deadline`, `liquidity_aware`, `split_large`, `random` or
            `myopic`.
        scenario: The scenario the policy will play.
        learner: The bank it will act for.

    Raises:
        ValueError: If the policy type or the bank is unknown.
    """
    loaded = load_scenario(scenario)
    bank = find_bank(loaded, learner)
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
    if policy_type not in grids:
        raise ValueError(f"policy_type = {policy_type!r}: must be one of {', '.join(grids)}")
    return [{"type": policy_type, **parameters} for parameters in grids[policy_type]]


def _buffers(bank: Agent) -> list[int]:
    liquidity = bank.balance + bank.credit_limit
    return sorted({liquidity * step // _BUFFER_STEPS for step in range(_BUFFER_STEPS + 1)})


def _thresholds(bank: Agent) -> list[int]:
    mean = bank.arrival_config.amount_mean if bank.arrival_config else 0
    return sorted({int(np.rint(multiple * mean)) for multiple in _THRESHOLDS_IN_MEANS})
