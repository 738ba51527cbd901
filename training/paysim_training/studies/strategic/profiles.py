"""Strategy profiles: their costs, and how exploitable they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_gym import PaymentVectorEnv, Scenario, load_scenario
from paysim_gym.envs.infos import EPISODE_COST, episode_totals
from paysim_gym.evaluation import EpisodeTable, mean_ci95, paired_difference_ci95
from paysim_training.core.joint_evaluation import joint_ratios

StrategyProfile = Mapping[str, Mapping[str, Any]]
"""Bank -> its policy, in the form of a scenario."""
RULES: dict[str, dict[str, Any]] = {
    "release_all": {"type": "release_all"},
    "hold_until_deadline": {"type": "hold_until_deadline"},
}
"""Rules that need no learning: release at once, or at the last tick before the deadline."""


def with_policies(scenario: Scenario, policies: StrategyProfile) -> Scenario:
    """The scenario with the policies of some banks replaced.

    Raises:
        ScenarioError: If a policy is invalid.
        ValueError: If a bank is not in the scenario.
    """
    described = scenario.model_dump()
    agents = {agent["id"]: agent for agent in described["agents"]}
    for bank, policy in policies.items():
        if bank not in agents:
            raise ValueError(f"bank = {bank!r}: must be one of {', '.join(agents)}")
        agents[bank]["policy"] = dict(policy)
    return load_scenario(described)


def play(scenario: Scenario, policies: StrategyProfile, seeds: Iterable[int]) -> dict[str, EpisodeTable]:
    """Play the first episode of each seed inside the engine.

    Args:
        scenario: A scenario without liquidity pools.
        policies: The policy of every bank.
        seeds: One seed per episode.

    Returns:
        Bank -> its episodes in the order of the seeds.

    Raises:
        ValueError: If a bank has a liquidity pool or no policy.
    """
    check_pools(scenario)
    banks = [agent.id for agent in scenario.agents]
    if set(policies) != set(banks):
        raise ValueError(f"policies are those of {sorted(policies)}: must be those of {sorted(banks)}")
    days = list(seeds)
    env = PaymentVectorEnv(
        len(days) * len(banks),
        with_policies(scenario, policies),
        banks,
        decides="nothing",
        autoreset_mode="Disabled",
    )
    _, infos = env.reset(seed=np.repeat(np.array(days), len(banks)).tolist())
    idle = np.zeros(env.action_space.shape or (), np.int64)
    while EPISODE_COST not in infos:
        *_, infos = env.step(idle)
    env.close()
    totals = episode_totals(infos)
    names = [field.name for field in fields(EpisodeTable) if field.name != "seed"]
    return {
        bank: EpisodeTable(
            np.array(days, np.uint64), **{name: totals[name][index :: len(banks)] for name in names}
        )
        for index, bank in enumerate(banks)
    }


def check_pools(scenario: Scenario) -> None:
    """Raises ValueError for liquidity pools, which the policies of a profile cannot decide."""
    for agent in scenario.agents:
        if agent.liquidity_pool:
            raise ValueError(f"{agent.id}: liquidity_pool = {agent.liquidity_pool}: must be 0 here")


def summarise_profile(tables: Mapping[str, EpisodeTable]) -> dict[str, Any]:
    """Cost, settlement rate and delay, with 95% intervals over days.

    Args:
        tables: Episodes by bank, from `play`.

    Returns:
        `banks` and `system`. System costs are sums over banks; its settlement rate and delay are those of
        `paysim_training.core.joint_evaluation.joint_ratios`.
    """
    names = ("arrived_value", "settlement_rate", "mean_delay")
    by_bank = {name: np.stack([getattr(table, name) for table in tables.values()], axis=1) for name in names}
    return {
        "banks": {
            bank: _metrics(table.cost, table.settlement_rate, table.mean_delay)
            for bank, table in tables.items()
        },
        "system": _metrics(system_cost(tables), **joint_ratios(by_bank)),
    }


def system_cost(tables: Mapping[str, EpisodeTable]) -> NDArray[np.int64]:
    """Total cost of all banks in cents, int64 of shape (days,)."""
    total: NDArray[np.int64] = np.sum([table.cost for table in tables.values()], axis=0)
    return total


def paired_difference(a: NDArray[Any], b: NDArray[Any]) -> dict[str, Any]:
    """Mean of a - b over days and its 95% interval, ready for JSON."""
    return _interval(paired_difference_ci95(a, b))


def exploitability(
    scenario: Scenario,
    policies: StrategyProfile,
    bank: str,
    learned: Mapping[str, Any],
    tuning: Sequence[int],
    days: Sequence[int],
) -> dict[str, Any]:
    """A lower bound on what a bank saves by deviating alone.

    The candidates are its own policy, the learned best response and the rules. The one with the lowest mean
    cost on the tuning days is compared with the own policy on other days. Better responses may exist.

    Args:
        scenario: A scenario without liquidity pools.
        policies: The policy of every bank.
        bank: The bank that deviates.
        learned: The best response trained against the other banks' policies.
        tuning: Seeds that select the response.
        days: Seeds that measure the saving, paired by day.

    Returns:
        `response`, the selected candidate; `own_cents` and `response_cents`, mean costs; `saves_cents` and
        `learned_saves_cents`, the savings of the selected and of the learned response, with intervals;
        `saves_share`, the saving as a share of the own cost.
    """
    candidates = {"own": policies[bank], "learned": learned, **RULES}

    def costs(name: str, seeds: Sequence[int]) -> NDArray[np.int64]:
        return play(scenario, {**policies, bank: candidates[name]}, seeds)[bank].cost

    tuned = {name: costs(name, tuning).mean() for name in candidates}
    response = min(tuned, key=lambda name: tuned[name])
    measured = {name: costs(name, days) for name in {"own", "learned", response}}
    own, best = measured["own"], measured[response]
    saves = paired_difference(own, best)
    return {
        "response": response,
        "own_cents": float(own.mean()),
        "response_cents": float(best.mean()),
        "saves_cents": saves,
        "saves_share": saves["mean"] / float(own.mean()) if own.any() else 0.0,
        "learned_saves_cents": paired_difference(own, measured["learned"]),
    }


def fingerprint(scenario: Scenario) -> str:
    """Hash of a scenario and the contents of its payments and network files.

    It does not depend on the paths of these files.
    """
    described = scenario.model_dump(mode="json")
    if described["payments_file"] is not None:
        described["payments_file"] = _digest(described["payments_file"])
    for agent in described["agents"]:
        if agent["policy"]["type"] == "network":
            agent["policy"]["weights"] = _digest(agent["policy"]["weights"])
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]


def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _metrics(cost: NDArray[Any], settlement_rate: NDArray[Any], mean_delay: NDArray[Any]) -> dict[str, Any]:
    columns = {"cost_cents": cost, "settlement_rate": settlement_rate, "mean_delay_ticks": mean_delay}
    return {name: _interval(mean_ci95(values)) for name, values in columns.items()}


def _interval(interval: tuple[float, float, float]) -> dict[str, Any]:
    mean, low, high = interval
    return {"mean": mean, "ci95": [low, high]}
