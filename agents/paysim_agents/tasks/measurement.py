"""How the tasks of the suite are measured: on which days, by whom, and what is kept."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paysim_agents.hindsight import hindsight
from paysim_agents.planner import planner
from paysim_agents.scripted import scripted
from paysim_agents.tasks.suite import Task, load_results
from paysim_agents.tuning import candidate_grid, tune
from paysim_gym import Scenario, load_scenario
from paysim_gym.envs.env_arguments import DEFAULT_SPLIT_PARTS
from paysim_gym.envs.learners import resolve_learners
from paysim_gym.evaluation import evaluate, iqm_ci95, mean_ci95, paired_difference_ci95
from paysim_gym.files import write_atomically
from paysim_gym.provenance import source_commit

STEPS = ("rules", "planner", "hindsight")
"""What is measured of a task, in this order."""
KINDS = ("release_all", "hold_until_deadline", "liquidity_aware", "split_large", "random", "myopic")
"""The scripted rules among which the best is sought."""
_CHUNK = {"planner": 5, "hindsight": 2}


@dataclass(frozen=True)
class Measurement:
    """The settings of a measurement.

    Attributes:
        days: How many days everyone plays.
        tuning_days: How many other days the rules are tuned on.
        futures: Futures that the planner draws at every tick.
        node_limit: Nodes that the solver of the hindsight optimum may visit on a day.
        first_day: Seed of the first day; tuning days and those of training lie elsewhere.
        first_tuning_day: Seed of the first tuning day.
    """

    days: int
    tuning_days: int
    futures: int
    node_limit: int
    first_day: int = 2**42
    first_tuning_day: int = 2**41

    @property
    def seeds(self) -> range:
        """Of the days that everyone plays."""
        return range(self.first_day, self.first_day + self.days)

    @property
    def tuning_seeds(self) -> range:
        """Of the days that rules are tuned on."""
        return range(self.first_tuning_day, self.first_tuning_day + self.tuning_days)


THOROUGH = Measurement(days=200, tuning_days=200, futures=32, node_limit=100)
QUICK = Measurement(days=10, tuning_days=50, futures=8, node_limit=50)


class Suite:
    """Results in a file, completed step by step.

    Attributes:
        results: All that has been measured, as it is in the file.
    """

    def __init__(self, path: Path, settings: Measurement, processes: int) -> None:
        """Take up the file's results, if there are any with the same settings."""
        self._path, self._settings, self._processes = path, settings, processes
        self.results: dict[str, Any] = {"settings": asdict(settings), "commit": source_commit(), "tasks": {}}
        if path.exists():
            found = load_results(path)
            if found["settings"] == self.results["settings"]:
                self.results = found

    def missing(self, task: Task) -> Iterator[str]:
        """Steps of a task that have not been measured, or not of its scenario as it is."""
        entry = self.results["tasks"].get(task.id)
        scenario = load_scenario(task.scenario).model_dump_json()
        if entry is None or entry["scenario"] != json.loads(scenario):
            self.results["tasks"][task.id] = {
                "scenario": json.loads(scenario),
                "learner": resolve_learners(load_scenario(task.scenario), None)[0],
                "teaches": task.teaches,
                "policies": {},
            }
        done = self.results["tasks"][task.id]["policies"]
        names = {"rules": "best_rule", "planner": "planner", "hindsight": "hindsight"}
        yield from (step for step in STEPS if names[step] not in done)

    def measure(self, task: Task, step: str, advance: Callable[[int], None]) -> None:
        """Measure one step of a task and write it."""
        entry = self.results["tasks"][task.id]
        policies = entry["policies"]
        if step == "rules":
            policies |= _measure_rules(task, self._settings)
            advance(self._settings.days)
        else:
            rules = policies["best_rule"]["tuned"]
            found = self._in_chunks(task, step, rules, advance)
            if step == "hindsight":
                found = take_cheaper(found, policies)
            policies[step] = summary([day["cost_cents"] for day in found])
            if step == "hindsight":
                policies[step] |= _summarise_proofs(found)
            if {"planner", "hindsight"} <= policies.keys():
                entry |= compare(policies)
        write_atomically(self._path, (json.dumps(self.results, indent=1) + "\n").encode())

    def _in_chunks(
        self, task: Task, step: str, rules: list[dict[str, Any]], advance: Callable[[int], None]
    ) -> list[dict[str, Any]]:
        """What a step finds on each day, from worker processes that share the days."""
        seeds, size = list(self._settings.seeds), _CHUNK[step]
        chunks = [seeds[first : first + size] for first in range(0, len(seeds), size)]
        context = multiprocessing.get_context("spawn")
        found = []
        with ProcessPoolExecutor(self._processes, mp_context=context) as pool:
            work = {"planner": plan_days, "hindsight": solve_days}[step]
            jobs = [pool.submit(work, task.scenario, chunk, rules, self._settings) for chunk in chunks]
            for job in jobs:
                found += job.result()
                advance(len(job.result()))
        return found


def plan_days(
    scenario: str, seeds: list[int], rules: list[dict[str, Any]], settings: Measurement
) -> list[dict[str, Any]]:
    """The planner's cost of each day."""
    repertoire = planner_rules(scenario, rules)
    costs = evaluate(planner(repertoire, futures=settings.futures), scenario, seeds).cost
    return [{"cost_cents": int(cost)} for cost in costs]


def planner_rules(scenario: str, tuned: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the planner may let play the rest of a day: the tuned rules without dice, and others like them."""
    (learner,) = resolve_learners(load_scenario(scenario), None)
    holding = candidate_grid("hold_until_deadline", scenario, learner)[:5:2]
    keeping = candidate_grid("liquidity_aware", scenario, learner)[::5]
    return [*(rule for rule in tuned if rule["type"] != "random"), *holding, *keeping]


def solve_days(
    scenario: str, seeds: list[int], rules: list[dict[str, Any]], settings: Measurement
) -> list[dict[str, Any]]:
    """The hindsight optimum of each day."""
    days = [hindsight(scenario, seed, node_limit=settings.node_limit, rules=rules) for seed in seeds]
    return [
        {
            "cost_cents": day.cost_cents,
            "bound_cents": day.bound_cents,
            "is_optimal": day.is_optimal,
            "receipts_are_fixed": day.receipts_are_fixed,
            "most_slots": day.most_slots,
        }
        for day in days
    ]


def with_share(scenario: Scenario, learner: str, share: float) -> Scenario:
    """The scenario in which a scripted rule commits this share of the learner's pool."""
    agents = tuple(
        agent.model_copy(update={"liquidity_share": share}) if agent.id == learner else agent
        for agent in scenario.agents
    )
    return scenario.model_copy(update={"agents": agents})


def tune_rules(
    scenario: Scenario,
    learner: str,
    seeds: Iterable[int],
    kinds: Iterable[str] = KINDS,
    split_parts: Sequence[int] = DEFAULT_SPLIT_PARTS,
    **env_kwargs: Any,
) -> list[tuple[float, dict[str, Any], float | None]]:
    """Tune rules, each with every share of the learner's pool that an opening can commit.

    Args:
        scenario: Where they act.
        learner: The bank they act for.
        seeds: Days to tune on.
        kinds: Of rules, as `paysim_agents.tuning.candidate_grid` knows them.
        split_parts: Numbers of parts that an action may split a payment into.
        **env_kwargs: Further arguments of `PaymentVectorEnv`.

    Returns:
        Mean cost in cents, rule and share of the pool (None where there is no pool), for each share and kind.
    """
    has_pool = any(agent.id == learner and agent.liquidity_pool for agent in scenario.agents)
    choices, days = 1 + len(split_parts), list(seeds)
    arguments = {"learner": learner, "split_parts": split_parts, **env_kwargs}
    tuned: list[tuple[float, dict[str, Any], float | None]] = []
    for share in [choice / choices for choice in range(choices + 1)] if has_pool else [None]:
        variant = scenario if share is None else with_share(scenario, learner, share)
        for kind in kinds:
            policy, trials = tune(variant, days, candidate_grid(kind, variant, learner), **arguments)
            tuned.append((min(trial.cost_cents_mean for trial in trials), policy, share))
    return tuned


def _measure_rules(task: Task, settings: Measurement) -> dict[str, Any]:
    """The best of each kind of rule on the tuning days; what the best of all, and `release_all`, cost."""
    scenario = load_scenario(task.scenario)
    (learner,) = resolve_learners(scenario, None)
    tuned = tune_rules(scenario, learner, settings.tuning_seeds)
    release_all = min(
        (trial for trial in tuned if trial[1]["type"] == "release_all"), key=lambda trial: trial[0]
    )
    best = min(tuned, key=lambda trial: trial[0])
    by_kind = {trial[1]["type"]: trial[1] for trial in sorted(tuned, key=lambda trial: -trial[0])}
    measured = {}
    for name, (_, policy, share) in (("release_all", release_all), ("best_rule", best)):
        variant = scenario if share is None else with_share(scenario, learner, share)
        costs = evaluate(scripted(policy), variant, settings.seeds).cost
        measured[name] = {"policy": policy, "pool_share": share, **summary(costs.tolist())}
    del by_kind[best[1]["type"]]
    measured["best_rule"]["tuned"] = [best[1], *by_kind.values()]
    return measured


def summary(costs_cents: list[int]) -> dict[str, Any]:
    """Mean and interquartile mean of the days' costs with their 95% intervals, and the costs."""
    mean, iqm = mean_ci95(costs_cents), iqm_ci95(costs_cents)
    return {
        "mean": mean[0],
        "mean_ci95": list(mean[1:]),
        "iqm": iqm[0],
        "iqm_ci95": list(iqm[1:]),
        "costs_cents": costs_cents,
    }


def take_cheaper(
    days: list[dict[str, Any]], policies: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The hindsight optimum of each day, or what a policy paid on it if that is less.

    That happens only where nothing is proven; the best way known to play the day is then the policy's.
    """
    paid = np.min([policy["costs_cents"] for policy in policies.values()], axis=0)
    return [
        day | {"cost_cents": min(day["cost_cents"], int(least))}
        for day, least in zip(days, paid, strict=True)
    ]


def _summarise_proofs(days: list[dict[str, Any]]) -> dict[str, Any]:
    bounds = np.array([max(0.0, day["bound_cents"]) for day in days])
    costs = np.array([day["cost_cents"] for day in days])
    return {
        "bound_mean": float(bounds.mean()),
        "gap": float(max(0.0, 1 - bounds.sum() / max(1, costs.sum()))),
        "days_proven": float(np.mean([day["is_optimal"] for day in days])),
        "days_with_fixed_receipts": float(np.mean([day["receipts_are_fixed"] for day in days])),
        "days_beyond_eight_slots": float(np.mean([day["most_slots"] > 8 for day in days])),
    }


def compare(policies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What there is to gain over the best rule, and how much of it the planner has.

    Returns:
        `headroom`, the best rule's mean cost over that of the hindsight optimum, less 1; `planner_saves`,
        `mean` and `ci95` of what the planner is cheaper than the best rule on the same day, in cents; and
        `planner_gap_closed`, that mean as a share of what hindsight would save.
    """
    rule, plan, floor = (policies[name] for name in ("best_rule", "planner", "hindsight"))
    saved, low, high = paired_difference_ci95(rule["costs_cents"], plan["costs_cents"])
    gap = rule["mean"] - floor["mean"]
    return {
        "headroom": rule["mean"] / floor["mean"] - 1 if floor["mean"] else None,
        "planner_saves": {"mean": saved, "ci95": [low, high]},
        "planner_gap_closed": saved / gap if gap else None,
    }
