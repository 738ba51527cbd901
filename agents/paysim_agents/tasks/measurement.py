"""Measures rules, planner and hindsight optimum on the tasks of the suite."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paysim_agents.hindsight import hindsight
from paysim_agents.planner import planner
from paysim_agents.scripted import scripted
from paysim_agents.tasks.suite import PLANNER_VERSION, Task, load_results
from paysim_agents.tuning import candidate_grid, tune_rules, with_pool_share
from paysim_gym import load_scenario
from paysim_gym._engine import SHARES
from paysim_gym.envs.learners import resolve_learners
from paysim_gym.evaluation import evaluate, iqm_ci95, mean_ci95, paired_difference_ci95
from paysim_gym.files import write_atomically
from paysim_gym.provenance import source_commit

STEPS = {"rules": "best_rule", "planner": "planner", "hindsight": "hindsight"}
"""Steps of a measurement in order, and the policy whose result each step adds last."""
_DAYS_PER_JOB = {"planner": 5, "hindsight": 2}


@dataclass(frozen=True)
class MeasurementSettings:
    """Settings of a measurement.

    Attributes:
        days: Number of days that every policy plays.
        tuning_days: Number of other days on which rules are tuned.
        futures: Futures per tick of the planner.
        node_limit: Maximum number of branch-and-bound nodes per day of the hindsight optimum.
        first_day: Seed of the first day; tuning and training days have other seeds.
        first_tuning_day: Seed of the first tuning day.
        planner_version: Version of the planner.
        pool_shares: Number of shares of a pool to choose from.
    """

    days: int
    tuning_days: int
    futures: int
    node_limit: int
    first_day: int = 2**42
    first_tuning_day: int = 2**41
    planner_version: int = PLANNER_VERSION
    pool_shares: int = SHARES

    @property
    def seeds(self) -> range:
        """Seeds of the days that every policy plays."""
        return range(self.first_day, self.first_day + self.days)

    @property
    def tuning_seeds(self) -> range:
        """Seeds of the tuning days."""
        return range(self.first_tuning_day, self.first_tuning_day + self.tuning_days)


FULL = MeasurementSettings(days=200, tuning_days=200, futures=32, node_limit=100)
QUICK = MeasurementSettings(days=10, tuning_days=50, futures=8, node_limit=50)


class ResultsFile:
    """A file of measurements that is completed step by step.

    Attributes:
        results: Content of the file.
    """

    def __init__(self, path: Path, settings: MeasurementSettings, processes: int) -> None:
        """Loads existing results if their settings are the same."""
        self._path, self._settings, self._processes = path, settings, processes
        self.results: dict[str, Any] = {"settings": asdict(settings), "commit": source_commit(), "tasks": {}}
        if path.exists():
            existing = load_results(path)
            if existing["settings"] == self.results["settings"]:
                self.results = existing

    def missing_steps(self, task: Task) -> Iterator[str]:
        """Yields the steps still to measure; a changed scenario discards earlier results."""
        entry = self.results["tasks"].get(task.id)
        loaded = load_scenario(task.scenario)
        scenario = json.loads(loaded.model_dump_json())
        if entry is None or entry["scenario"] != scenario:
            self.results["tasks"][task.id] = {
                "scenario": scenario,
                "learner": resolve_learners(loaded, None)[0],
                "teaches": task.teaches,
                "policies": {},
            }
        done = self.results["tasks"][task.id]["policies"]
        yield from (step for step, policy in STEPS.items() if policy not in done)

    def measure(self, task: Task, step: str, advance: Callable[[int], None]) -> None:
        """Measures one step of a task and writes the file."""
        entry = self.results["tasks"][task.id]
        policies = entry["policies"]
        if step == "rules":
            policies |= _measure_rules(task, self._settings)
            advance(self._settings.days)
        else:
            rules = policies["best_rule"]["tuned"]
            days = self._measure_days(task, step, rules, advance)
            if step == "hindsight":
                days = best_known_costs(days, policies)
            policies[step] = summarise_costs([day["cost_cents"] for day in days])
            if step == "hindsight":
                policies[step] |= _summarise_bounds(days)
            if {"planner", "hindsight"} <= policies.keys():
                entry |= compare(policies)
        write_atomically(self._path, (json.dumps(self.results, indent=1) + "\n").encode())

    def _measure_days(
        self, task: Task, step: str, rules: list[dict[str, Any]], advance: Callable[[int], None]
    ) -> list[dict[str, Any]]:
        seeds, size = list(self._settings.seeds), _DAYS_PER_JOB[step]
        chunks = [seeds[first : first + size] for first in range(0, len(seeds), size)]
        measure = {"planner": measure_planner, "hindsight": measure_hindsight}[step]
        context = multiprocessing.get_context("spawn")
        days = []
        with ProcessPoolExecutor(self._processes, mp_context=context) as pool:
            jobs = [pool.submit(measure, task.scenario, chunk, rules, self._settings) for chunk in chunks]
            for job in jobs:
                days += job.result()
                advance(len(job.result()))
        return days


def measure_planner(
    scenario: str, seeds: list[int], rules: list[dict[str, Any]], settings: MeasurementSettings
) -> list[dict[str, Any]]:
    """Measures the planner's cost on each day."""
    policy = planner(planner_rules(scenario, rules), futures=settings.futures)
    costs = evaluate(policy, scenario, seeds, pool_shares=settings.pool_shares).cost
    return [{"cost_cents": int(cost)} for cost in costs]


def planner_rules(scenario: str, tuned: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the planner's rules: deterministic tuned rules and a coarse grid."""
    (learner,) = resolve_learners(load_scenario(scenario), None)
    by_margin = candidate_grid("hold_until_deadline", scenario, learner)[:5:2]
    by_buffer = candidate_grid("liquidity_aware", scenario, learner)[::5]
    return [*(rule for rule in tuned if rule["type"] != "random"), *by_margin, *by_buffer]


def measure_hindsight(
    scenario: str, seeds: list[int], rules: list[dict[str, Any]], settings: MeasurementSettings
) -> list[dict[str, Any]]:
    """Computes the hindsight optimum of each day."""
    limit, shares = settings.node_limit, settings.pool_shares
    days = [hindsight(scenario, seed, pool_shares=shares, node_limit=limit, rules=rules) for seed in seeds]
    return [
        {
            "cost_cents": day.cost_cents,
            "bound_cents": day.bound_cents,
            "is_optimal": day.is_optimal,
            "receipts_are_fixed": day.receipts_are_fixed,
            "slots_used": day.slots_used,
        }
        for day in days
    ]


def _measure_rules(task: Task, settings: MeasurementSettings) -> dict[str, Any]:
    scenario = load_scenario(task.scenario)
    (learner,) = resolve_learners(scenario, None)
    shares = settings.pool_shares
    tuned = tune_rules(scenario, learner, settings.tuning_seeds, pool_shares=shares)
    release_all = min(
        (trial for trial in tuned if trial[1]["type"] == "release_all"), key=lambda trial: trial[0]
    )
    best = min(tuned, key=lambda trial: trial[0])
    by_type = {trial[1]["type"]: trial[1] for trial in sorted(tuned, key=lambda trial: -trial[0])}
    measured = {}
    for name, (_, policy, share) in (("release_all", release_all), ("best_rule", best)):
        variant = with_pool_share(scenario, learner, share)
        costs = evaluate(scripted(policy), variant, settings.seeds, pool_shares=shares).cost
        measured[name] = {"policy": policy, "pool_share": share, **summarise_costs(costs.tolist())}
    del by_type[best[1]["type"]]
    measured["best_rule"]["tuned"] = [best[1], *by_type.values()]
    return measured


def summarise_costs(costs_cents: list[int]) -> dict[str, Any]:
    """Returns mean and interquartile mean with 95% intervals, and the costs themselves."""
    mean, iqm = mean_ci95(costs_cents), iqm_ci95(costs_cents)
    return {
        "mean": mean[0],
        "mean_ci95": list(mean[1:]),
        "iqm": iqm[0],
        "iqm_ci95": list(iqm[1:]),
        "costs_cents": costs_cents,
    }


def best_known_costs(
    days: list[dict[str, Any]], policies: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Lowers the hindsight cost of each day to the cheapest policy's cost.

    A policy can be cheaper only on days on which the hindsight plan is not proven optimal.
    """
    minima = np.min([policy["costs_cents"] for policy in policies.values()], axis=0)
    return [
        day | {"cost_cents": min(day["cost_cents"], int(minimum))}
        for day, minimum in zip(days, minima, strict=True)
    ]


def _summarise_bounds(days: list[dict[str, Any]]) -> dict[str, Any]:
    bounds = np.array([max(0.0, day["bound_cents"]) for day in days])
    costs = np.array([day["cost_cents"] for day in days])
    return {
        "bound_mean": float(bounds.mean()),
        "gap": float(max(0.0, 1 - bounds.sum() / max(1, costs.sum()))),
        "days_proven": float(np.mean([day["is_optimal"] for day in days])),
        "days_with_fixed_receipts": float(np.mean([day["receipts_are_fixed"] for day in days])),
        "days_beyond_eight_slots": float(np.mean([day["slots_used"] > 8 for day in days])),
    }


def compare(policies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Compares best rule, planner and hindsight optimum.

    Returns:
        `headroom`: the best rule's mean cost relative to the hindsight optimum's, minus 1; `planner_saves`:
        `mean` and `ci95` of the planner's saving over the best rule on the same day, in cents; and
        `planner_gap_closed`: that mean as a share of the hindsight optimum's saving.
    """
    rule, plan, optimum = (policies[name] for name in ("best_rule", "planner", "hindsight"))
    saved, low, high = paired_difference_ci95(rule["costs_cents"], plan["costs_cents"])
    gap = rule["mean"] - optimum["mean"]
    return {
        "headroom": rule["mean"] / optimum["mean"] - 1 if optimum["mean"] else None,
        "planner_saves": {"mean": saved, "ci95": [low, high]},
        "planner_gap_closed": saved / gap if gap else None,
    }
