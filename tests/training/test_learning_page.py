"""The pages on learned policies against the results in docs/benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from paysim_agents.tasks.suite import RESULTS_FILE, TASKS, load_results
from paysim_training.core.config import CONFIG_FOLDER, load_config
from paysim_training.studies.benchmark.results import BASELINES, brief, compare_learned, markdown

DOCS = Path(__file__).parents[2] / "docs"
DETAILS = json.loads((DOCS / "benchmark" / "details.json").read_text(encoding="utf-8"))
ENTRIES = {task.id: found for task in TASKS if (found := task.find_results(DETAILS)) is not None}
SEEDS, DAYS = 5, 200


def test_results_and_table_are_generated_from_the_details() -> None:
    results = json.loads((DOCS / "benchmark" / "results.json").read_text(encoding="utf-8"))
    assert results == brief(DETAILS["tasks"])
    assert list(results) == [ENTRIES[task.id][0] for task in TASKS]
    table = markdown(DETAILS)
    assert (DOCS / "benchmark" / "table.md").read_text(encoding="utf-8") == table
    for page in (DOCS / "learning.md", DOCS.parent / "README.md"):
        assert table in page.read_text(encoding="utf-8")
    assert "python -m training.benchmark --out docs/benchmark" in DETAILS["command"]


def test_all_policies_played_the_days_of_the_task_suite() -> None:
    measured = load_results(RESULTS_FILE)
    assert (DETAILS["first_day"], DETAILS["days"]) == (measured["settings"]["first_day"], DAYS)
    for task, entry in DETAILS["tasks"].items():
        for name in BASELINES:
            assert entry["costs_cents"][name] == measured["tasks"][task]["policies"][name]["costs_cents"]
        assert np.shape(entry["costs_cents"]["learned"]) == (SEEDS, DAYS)


def test_metrics_follow_from_the_days() -> None:
    for entry in DETAILS["tasks"].values():
        costs = entry["costs_cents"]
        compared = compare_learned({name: costs[name] for name in BASELINES}, costs["learned"])
        assert json.loads(json.dumps(compared)).items() <= entry.items()


def test_they_were_trained_by_the_configurations() -> None:
    for task in TASKS:
        config = load_config(CONFIG_FOLDER / f"{task.scenario}.yaml")
        assert config.env.id == task.id
        assert ENTRIES[task.id][1]["timesteps"] == config.timesteps
        assert config.evaluation.first_seed == DETAILS["first_day"]


def test_ppo_beats_every_rule_and_equals_the_planner_on_three_tasks_and_none_beats_hindsight() -> None:
    level_with_planner = []
    for task in TASKS:
        task_id, entry = ENTRIES[task.id]
        assert entry["saves"]["best_rule"]["ci95"][0] > 0
        low, high = entry["saves"]["planner"]["ci95"]
        if low <= 0 <= high:
            level_with_planner.append(task_id)
        if task.receipts_are_fixed:  # elsewhere hindsight is a bound that can be beaten
            assert entry["policies"]["learned"]["mean"] >= entry["policies"]["hindsight"]["mean"]
    assert level_with_planner == [
        "PaySim/MarginCalls-v0",
        "PaySim/LiquidityPool-v0",
        "PaySim/ReactingBanks-v0",
    ]
