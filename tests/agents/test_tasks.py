"""The task suite: its environments, its command and docs/tasks.md."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from command import invoke
from gymnasium.utils.env_checker import check_env
from paysim_agents.hindsight import hindsight
from paysim_agents.scripted import scripted
from paysim_agents.tasks import measurement
from paysim_agents.tasks.measurement import MeasurementSettings, compare, measure_planner, summarise_costs
from paysim_agents.tasks.page import make_page
from paysim_agents.tasks.suite import PLANNER_VERSION, RESULTS_FILE, TASKS, Task, load_results, planner_note
from paysim_agents.tuning import with_pool_share

from paysim_gym import load_scenario
from paysim_gym.envs.registration import ENV_SCENARIOS
from paysim_gym.evaluation import evaluate

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = load_results(RESULTS_FILE)
SETTINGS = MeasurementSettings(**RESULTS["settings"])
TINY = MeasurementSettings(days=2, tuning_days=2, futures=1, node_limit=1)
PLANNED = {
    "deadline_lumps": 6_314,
    "margin_calls": 168,
    "overdraft_tiers": 0,
    "receipt_waves": 3_302,
    "liquidity_pool": 29_999,
    "reacting_banks": 3_378,
}
"""Costs of the planner on the first day, in cents, while the results have those of its first version."""


def measured(task: Task) -> tuple[str, dict[str, Any]]:
    found = task.find_results(RESULTS)
    assert found is not None
    return found


each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.scenario)


@each_task
def test_a_task_is_an_environment_of_its_scenario(task: Task) -> None:
    env = gym.make(f"paysim_gym:{task.id}")
    assert env.unwrapped.scenario == load_scenario(task.scenario)  # type: ignore[attr-defined]
    assert env.unwrapped.scenario.num_days == 1  # type: ignore[attr-defined]
    check_env(env.unwrapped)
    fleet = gym.make_vec(task.id, num_envs=2)
    observations, _ = fleet.reset(seed=0)
    assert fleet.observation_space.contains(observations)


def test_every_id_but_the_tutorials_is_in_the_suite() -> None:
    others = {"PaySim/Bank-v1", "PaySim/TwoBank-v1", "PaySim/FiveBank-v1"}
    assert [task.id for task in TASKS] == [name for name in ENV_SCENARIOS if name not in others]
    assert len({task.scenario for task in TASKS}) == len(TASKS) >= 6


def test_the_page_is_generated_from_the_results() -> None:
    assert (DOCS / "tasks.md").read_text(encoding="utf-8") == make_page(RESULTS)
    assert list(RESULTS["tasks"]) == [measured(task)[0] for task in TASKS]
    # The results of v0 chose among four shares of the pool.
    assert replace(measurement.FULL, pool_shares=4) == SETTINGS
    assert not set(SETTINGS.seeds) & set(SETTINGS.tuning_seeds)


@each_task
def test_a_task_has_headroom_and_the_planner_closes_part_of_it(task: Task) -> None:
    _, entry = measured(task)
    assert entry["scenario"] == json.loads(load_scenario(task.scenario).model_dump_json())
    policies = entry["policies"]
    assert compare(policies).items() <= entry.items()
    for policy in policies.values():
        assert summarise_costs(policy["costs_cents"]).items() <= policy.items()
        assert len(policy["costs_cents"]) == SETTINGS.days == 200
    assert entry["headroom"] >= 0.15
    assert entry["planner_saves"]["ci95"][0] > 0
    for policy in policies.values():
        assert (np.array(policies["hindsight"]["costs_cents"]) <= policy["costs_cents"]).all()
    assert policies["hindsight"]["days_with_fixed_receipts"] == float(task.receipts_are_fixed)


@each_task
def test_rule_costs_match_the_results(task: Task) -> None:
    _, entry = measured(task)
    scenario = load_scenario(task.scenario)
    for name in ("release_all", "best_rule"):
        policy = entry["policies"][name]
        share = policy["pool_share"]
        variant = with_pool_share(scenario, entry["learner"], share)
        costs = evaluate(
            scripted(policy["policy"]), variant, SETTINGS.seeds, pool_shares=SETTINGS.pool_shares
        ).cost
        assert costs.tolist() == policy["costs_cents"]


@each_task
def test_planner_and_hindsight_costs_match_the_results(task: Task) -> None:
    policies = measured(task)[1]["policies"]
    tuned, seed = policies["best_rule"]["tuned"], SETTINGS.first_day
    planned = measure_planner(task.scenario, [seed], tuned, SETTINGS)
    is_current = not planner_note(RESULTS["settings"])
    expected = policies["planner"]["costs_cents"][0] if is_current else PLANNED[task.scenario]
    assert planned == [{"cost_cents": expected}]
    best = hindsight(
        task.scenario,
        seed,
        node_limit=SETTINGS.node_limit,
        pool_shares=SETTINGS.pool_shares,
        rules=tuned,
    )
    minimum = min(policy["costs_cents"][0] for name, policy in policies.items() if name != "hindsight")
    assert min(best.cost_cents, minimum) == policies["hindsight"]["costs_cents"][0]


def test_results_are_those_of_the_newest_measured_version() -> None:
    task = Task("PaySim/DeadlineLumps-v2", "")
    entries = {
        f"PaySim/{name}": {"of": name} for name in ("DeadlineLumps-v0", "DeadlineLumps-v3", "Other-v2")
    }
    assert task.find_results({"tasks": entries}) == ("PaySim/DeadlineLumps-v0", {"of": "DeadlineLumps-v0"})
    entries["PaySim/DeadlineLumps-v1"] = {"of": "DeadlineLumps-v1"}
    assert task.find_results({"tasks": entries}) == ("PaySim/DeadlineLumps-v1", {"of": "DeadlineLumps-v1"})
    assert task.find_results({"tasks": {}}) is None


def run(*arguments: Any) -> Any:
    return invoke("tasks", *arguments)


def test_the_command_measures_resumes_and_writes_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurement, "QUICK", TINY)
    out, page, task = tmp_path / "tasks.json", tmp_path / "tasks.md", TASKS[0]
    with monkeypatch.context() as patch:
        patch.setattr(measurement.ResultsFile, "_measure_days", interrupt)
        assert run("--out", out, "--quick", "--task", task.id).exit_code != 0
    stopped = load_results(out)["tasks"][task.id]["policies"]
    assert set(stopped) == {"release_all", "best_rule"}
    arguments = ("--out", out, "--page", page, "--quick", "--task", task.id, "--processes", 1)
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert "rules" not in done.output
    results = load_results(out)
    assert results["tasks"][task.id]["policies"]["best_rule"] == stopped["best_rule"]
    assert set(results["tasks"][task.id]["policies"]) == {"release_all", "best_rule", "planner", "hindsight"}
    assert page.read_text(encoding="utf-8") == make_page(results)
    again = run(*arguments)
    assert (again.exit_code, again.output) == (0, "")
    assert load_results(out) == results
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tasks.json", "tasks.md"]


def test_the_days_may_be_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "QUICK", TINY)
    monkeypatch.setattr(measurement.ResultsFile, "_measure_days", interrupt)
    out, task = tmp_path / "tasks.json", TASKS[0]
    assert run("--out", out, "--quick", "--days", 3, "--task", task.id).exit_code != 0
    found = load_results(out)
    assert found["settings"]["days"] == 3
    assert len(found["tasks"][task.id]["policies"]["best_rule"]["costs_cents"]) == 3


def interrupt(*arguments: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "x.json", "--task", "PaySim/Nothing-v1"), "task = 'PaySim/Nothing-v1': must be one of"),
        (("--out", "nowhere/x.json"), "there is no folder 'nowhere'"),
    ],
)
def test_wrong_arguments_are_reported(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_a_file_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    result = run("--out", tmp_path / "x.json", "--quick")
    assert result.exit_code == 2
    assert "not a results file" in result.output


def test_the_planner_tries_the_tuned_rules_and_a_coarse_grid() -> None:
    tuned: list[dict[str, Any]] = [{"type": "random", "release_probability": 0.5}, {"type": "myopic"}]
    liquidity = sum(
        getattr(load_scenario("two_bank").agents[0], name) for name in ("balance", "credit_limit")
    )
    assert measurement.planner_rules("two_bank", tuned) == [
        {"type": "myopic"},
        *({"type": "hold_until_deadline", "margin": margin} for margin in (0, 2, 4)),
        *({"type": "liquidity_aware", "buffer": liquidity * quarter // 4} for quarter in range(5)),
    ]


def test_bounds_of_the_days_by_hand() -> None:
    """A negative bound counts as 0; the gap is that of all days together."""
    days = [
        {
            "bound_cents": bound,
            "cost_cents": cost,
            "is_optimal": proven,
            "receipts_are_fixed": fixed,
            "slots_used": slots,
        }
        for bound, cost, proven, fixed, slots in [
            (-50.0, 100, False, True, 8),
            (100.0, 100, True, True, 9),
            (90.0, 120, False, True, 1),
            (80.0, 80, True, False, 3),
        ]
    ]
    assert measurement._summarise_bounds(days) == {
        "bound_mean": 270 / 4,
        "gap": pytest.approx(130 / 400),
        "days_proven": 0.5,
        "days_with_fixed_receipts": 0.75,
        "days_beyond_eight_slots": 0.25,
    }
    free = [days[0] | {"cost_cents": 0}]
    assert measurement._summarise_bounds(free)["gap"] == 1
    assert measurement._summarise_bounds([days[3] | {"bound_cents": 80.001}])["gap"] == 0


def test_planner_figures_say_what_the_planner_knew() -> None:
    note = "Planner figures were measured when redrawn futures still showed the present tick's receipts"
    assert "planner_version" not in RESULTS["settings"]
    assert note in make_page(RESULTS)
    assert MeasurementSettings(1, 1, 1, 1).planner_version == PLANNER_VERSION
    remeasured = RESULTS["settings"] | {"planner_version": PLANNER_VERSION}
    assert note not in make_page(RESULTS | {"settings": remeasured})
