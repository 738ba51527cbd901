"""Profiles: who plays each bank, what everyone then pays, and what a bank would gain by another policy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_gym import PaymentVectorEnv, Scenario, load_scenario
from paysim_gym.evaluation import EpisodeTable, mean_ci95, paired_difference_ci95
from paysim_training.core.joint_evaluation import joint_ratios

Policies = Mapping[str, Mapping[str, Any]]
"""Bank to its policy, as in a scenario."""
RULES: dict[str, dict[str, Any]] = {
    "release_all": {"type": "release_all"},
    "hold_until_deadline": {"type": "hold_until_deadline"},
}
"""What everybody can do without learning: pay at once, or wait to the last tick that is in time."""


def seat(scenario: Scenario, policies: Policies) -> Scenario:
    """The scenario with other policies in the seats of some banks.

    Raises:
        ScenarioError: If a policy is not valid.
        ValueError: If there is no such bank.
    """
    described = scenario.model_dump()
    agents = {agent["id"]: agent for agent in described["agents"]}
    for bank, policy in policies.items():
        if bank not in agents:
            raise ValueError(f"bank = {bank!r}: must be one of {', '.join(agents)}")
        agents[bank]["policy"] = dict(policy)
    return load_scenario(described)


def play(scenario: Scenario, policies: Policies, seeds: Iterable[int]) -> dict[str, EpisodeTable]:
    """Play the first episode of each seed inside the engine, every bank by its policy.

    Args:
        scenario: What is played; it has no liquidity pool.
        policies: For every bank.
        seeds: One for each episode.

    Returns:
        Bank to its episodes in the order of the seeds.

    Raises:
        ValueError: If a bank has a pool, or none of the policies is its.
    """
    check_pools(scenario)
    banks = [agent.id for agent in scenario.agents]
    if set(policies) != set(banks):
        raise ValueError(f"policies are those of {sorted(policies)}: must be those of {sorted(banks)}")
    days = list(seeds)
    # Without a pool there is nothing left to decide for who only decides about it.
    env = PaymentVectorEnv(
        len(days) * len(banks), seat(scenario, policies), banks, decides="pool", autoreset_mode="Disabled"
    )
    _, infos = env.reset(seed=np.repeat(np.array(days), len(banks)).tolist())
    idle = np.zeros(env.action_space.shape or (), np.int64)
    while "episode_totals" not in infos:
        *_, infos = env.step(idle)
    env.close()
    totals = infos["episode_totals"]
    names = [field.name for field in fields(EpisodeTable) if field.name != "seed"]
    return {
        bank: EpisodeTable(
            np.array(days, np.uint64), **{name: totals[name][place :: len(banks)] for name in names}
        )
        for place, bank in enumerate(banks)
    }


def check_pools(scenario: Scenario) -> None:
    """Refuse liquidity pools, about which no policy of a profile decides.

    Raises:
        ValueError: If a bank has one.
    """
    for agent in scenario.agents:
        if agent.liquidity_pool:
            raise ValueError(f"{agent.id}: liquidity_pool = {agent.liquidity_pool}: must be 0 here")


def describe(tables: Mapping[str, EpisodeTable]) -> dict[str, Any]:
    """Cost, settlement rate and delay of every bank and of all together, with 95% intervals over days.

    Args:
        tables: What `play` returns.

    Returns:
        `banks` and `system`; of the system, costs are sums, settlement rate and delay those of
        `paysim_training.core.joint_evaluation.joint_ratios`.
    """
    names = ("arrived_value", "settlement_rate", "mean_delay")
    by_bank = {name: np.stack([getattr(table, name) for table in tables.values()], axis=1) for name in names}
    return {
        "banks": {
            bank: _figures(table.cost, table.settlement_rate, table.mean_delay)
            for bank, table in tables.items()
        },
        "system": _figures(system_cost(tables), **joint_ratios(by_bank)),
    }


def system_cost(tables: Mapping[str, EpisodeTable]) -> NDArray[np.int64]:
    """What all banks together pay, in cents, by day: int64 of shape (days,)."""
    total: NDArray[np.int64] = np.sum([table.cost for table in tables.values()], axis=0)
    return total


def difference(a: NDArray[Any], b: NDArray[Any]) -> dict[str, Any]:
    """Mean of a - b on the same days and its 95% interval, ready for JSON."""
    return _interval(paired_difference_ci95(a, b))


def exploit(
    scenario: Scenario,
    policies: Policies,
    bank: str,
    learned: Mapping[str, Any],
    tuning: Sequence[int],
    days: Sequence[int],
) -> dict[str, Any]:
    """What a bank would save by the best policy that was found for it, while the others stay as they are.

    The candidates are its own policy, the learned response and the rules; the cheapest on the tuning days
    is taken. There may be better ones that nobody found: this is a lower bound of what there is to save.

    Args:
        scenario: What is played.
        policies: Of every bank.
        bank: Who deviates.
        learned: The policy that was trained against the others.
        tuning: Seeds on which one is chosen.
        days: Seeds on which it is compared with the bank's own, on the same days.

    Returns:
        `response`, the name of the chosen one; `own_cents` and `response_cents`, means; `saves_cents` and
        `learned_saves_cents`, what the chosen and the learned one save, with intervals; `saves_share`, of
        its own cost.
    """
    candidates = {"own": policies[bank], "learned": learned, **RULES}

    def costs(name: str, seeds: Sequence[int]) -> NDArray[np.int64]:
        return play(scenario, {**policies, bank: candidates[name]}, seeds)[bank].cost

    tuned = {name: costs(name, tuning).mean() for name in candidates}
    response = min(tuned, key=lambda name: tuned[name])
    measured = {name: costs(name, days) for name in {"own", "learned", response}}
    own, best = measured["own"], measured[response]
    saves = difference(own, best)
    return {
        "response": response,
        "own_cents": float(own.mean()),
        "response_cents": float(best.mean()),
        "saves_cents": saves,
        "saves_share": saves["mean"] / float(own.mean()) if own.any() else 0.0,
        "learned_saves_cents": difference(own, measured["learned"]),
    }


def fingerprint(scenario: Scenario) -> str:
    """Tells scenarios, their payments and the networks that play in them apart, wherever the files lie."""
    described = scenario.model_dump(mode="json")
    if described["payments_file"] is not None:
        described["payments_file"] = _digest(described["payments_file"])
    for agent in described["agents"]:
        if agent["policy"]["type"] == "network":
            agent["policy"]["weights"] = _digest(agent["policy"]["weights"])
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]


def _digest(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _figures(cost: NDArray[Any], settlement_rate: NDArray[Any], mean_delay: NDArray[Any]) -> dict[str, Any]:
    columns = {"cost_cents": cost, "settlement_rate": settlement_rate, "mean_delay_ticks": mean_delay}
    return {name: _interval(mean_ci95(values)) for name, values in columns.items()}


def _interval(interval: tuple[float, float, float]) -> dict[str, Any]:
    mean, low, high = interval
    return {"mean": mean, "ci95": [low, high]}
