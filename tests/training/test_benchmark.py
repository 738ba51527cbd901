"""The benchmark: tiny runs from the command line, their files and statistics."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command import Invocation, invoke
from paysim_agents.scripted import scripted
from paysim_agents.tasks.suite import TASKS, Task
from paysim_training.algorithms.ppo import LearnedPolicy
from paysim_training.core.config import load_config
from paysim_training.core.run_folder import RunFolder
from paysim_training.studies.benchmark.results import (
    BASELINES,
    brief,
    compare_learned,
    crossed_ci95,
    markdown,
    summarise_costs,
)
from paysim_training.studies.benchmark.training_runs import TrainingRun
from paysim_training.train import finish
from rich.console import Console
from scipy.stats import trim_mean

from paysim_gym import load_scenario
from paysim_gym.evaluation import evaluate

Change = Callable[[dict[str, Any]], object]
TASK = next(task for task in TASKS if task.scenario == "receipt_waves")
DAYS = range(2**42, 2**42 + 6)
ROLLOUT = 8 * 24
TINY = {
    "env": {"id": TASK.id, "kwargs": {"split_parts": []}},
    "num_envs": 8,
    "timesteps": 10 * ROLLOUT,
    "checkpoint_every": 2 * ROLLOUT,
    "torch_threads": 1,
    # Learns fast, so that the seeds part.
    "ppo": {
        "steps_per_rollout": 24,
        "batch_size": 96,
        "epochs": 1,
        "learning_rate": 0.05,
        "critic_layers": [16],
    },
    "tuning": {"first_seed": 2**41, "episodes": 2},
}


def _measured() -> dict[str, Any]:
    """Results as those of paysim_agents.tasks, of the one task."""
    rules = {"release_all": "release_all", "best_rule": "myopic", "planner": "myopic", "hindsight": "myopic"}
    costs = {
        name: evaluate(scripted({"type": rule}), TASK.scenario, DAYS).cost for name, rule in rules.items()
    }
    costs["planner"], costs["hindsight"] = costs["planner"] * 3 // 4, costs["hindsight"] // 2
    scenario = json.loads(load_scenario(TASK.scenario).model_dump_json())
    policies = {name: {"costs_cents": values.tolist()} for name, values in costs.items()}
    return {
        "settings": {"days": len(DAYS), "first_day": DAYS.start},
        "tasks": {TASK.id: {"scenario": scenario, "policies": policies}},
    }


def _arguments(folder: Path, *more: object) -> list[str]:
    files = ["--tasks", folder / "tasks.json", "--configs", folder, "--out", folder / "out"]
    return [str(part) for part in ("--task", TASK.id, *files, *more)]


def _benchmark(folder: Path, *more: object) -> Invocation:
    return invoke("benchmark", *_arguments(folder, *more))


def _learned_costs(run: RunFolder) -> list[int]:
    learned = LearnedPolicy(run)
    costs: list[int] = evaluate(lambda _: learned, TASK.scenario, DAYS, split_parts=[]).cost.tolist()
    return costs


def _prepare(folder: Path, change: Change = dict, **config: Any) -> None:
    measured = _measured()
    change(measured)
    (folder / "tasks.json").write_text(json.dumps(measured))
    (folder / f"{TASK.scenario}.yaml").write_text(yaml.safe_dump({**TINY, **config}))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    _prepare(folder)
    result = _benchmark(folder, "--seeds", 2)
    assert result.exit_code == 0, result.output
    assert (folder / "out" / "table.md").read_text() in result.stdout
    return folder


def test_folder_holds_everything_and_nothing_half_written(done: Path) -> None:
    out = done / "out"
    names = {"results.json", "details.json", "table.md", "cost.png", "gap_closed.png", "runs"}
    assert {path.name for path in out.iterdir()} == names
    assert not list(out.rglob(".*"))
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in ("cost.png", "gap_closed.png"))
    for seed in range(2):
        run = RunFolder(out / "runs" / TASK.scenario / f"seed{seed}")
        assert run.metrics.is_file()
        assert run.config().seed == seed
        assert run.config().evaluation.seeds == DAYS


def test_results_are_costs_of_the_same_days(done: Path) -> None:
    out = done / "out"
    results = json.loads((out / "results.json").read_text())
    details = json.loads((out / "details.json").read_text())
    assert list(results) == [TASK.id]
    entry = results[TASK.id]
    assert set(entry) == {*BASELINES, "learned", "gap_closed"}
    assert set(entry["learned"]) == {"iqm", "ci95"}
    costs = details["tasks"][TASK.id]["costs_cents"]
    for seed, found in enumerate(costs["learned"]):
        assert found == _learned_costs(RunFolder(out / "runs" / TASK.scenario / f"seed{seed}"))
    assert costs["learned"][0] != costs["learned"][1]
    measured = _measured()["tasks"][TASK.id]["policies"]
    assert {name: costs[name] for name in BASELINES} == {
        name: policy["costs_cents"] for name, policy in measured.items()
    }
    low, high = entry["learned"]["ci95"]
    assert low <= entry["learned"]["iqm"] <= high
    gap = entry["best_rule"] - entry["hindsight"]
    assert entry["gap_closed"] == pytest.approx((entry["best_rule"] - entry["learned"]["iqm"]) / gap)
    # Outside a checkout no commit is known.
    commit = (details["commit"] or "unknown")[:10]
    assert f"`{details['command']}` at commit `{commit}`" in (out / "table.md").read_text()


def test_finished_runs_are_not_trained_again_and_stopped_ones_go_on(done: Path) -> None:
    out = done / "out"
    results = (out / "results.json").read_bytes()
    runs = [RunFolder(out / "runs" / TASK.scenario / f"seed{seed}") for seed in range(2)]
    models = [run.model.read_bytes() for run in runs]
    finished = runs[0].metrics.stat().st_mtime_ns
    runs[1].metrics.unlink()
    runs[1].model.unlink()
    again = _benchmark(done, "--seeds", 2)
    assert again.exit_code == 0, again.output
    assert runs[0].metrics.stat().st_mtime_ns == finished
    assert [run.model.read_bytes() for run in runs] == models
    assert (out / "results.json").read_bytes() == results


def test_killed_benchmark_leaves_no_process_and_goes_on(done: Path, tmp_path: Path) -> None:
    _prepare(tmp_path)
    command = [sys.executable, "-m", "paysim_training.studies.benchmark", *_arguments(tmp_path, "--seeds", 1)]
    run = RunFolder(tmp_path / "out" / "runs" / TASK.scenario / "seed0")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and run.last_checkpoint() is None:
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    again = _benchmark(tmp_path, "--seeds", 1)
    assert again.exit_code == 0, again.output
    whole = RunFolder(done / "out" / "runs" / TASK.scenario / "seed0")
    assert run.model.read_bytes() == whole.model.read_bytes()


def test_stopped_benchmark_says_how_to_go_on(tmp_path: Path) -> None:
    _prepare(tmp_path, timesteps=10_000_000, checkpoint_every=ROLLOUT)
    command = [sys.executable, "-m", "paysim_training.studies.benchmark", *_arguments(tmp_path, "--seeds", 2)]
    folder = tmp_path / "out" / "runs" / TASK.scenario
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    while process.poll() is None and not list(folder.glob("*/checkpoints/[0-9]*")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said == "Stopped. Give the same command again to continue.\n"
    for run in folder.glob("seed?"):
        with RunFolder(run).locked():
            assert not (run / "model.zip").exists()


def test_quick_takes_fewer_runs_days_and_ticks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def finish_here(runs: Sequence[TrainingRun], *_: Any) -> None:
        for one in runs:
            finish(one.folder, Console(quiet=True))

    monkeypatch.setattr("paysim_training.studies.benchmark.command.QUICK_DAYS", 3)
    # The runs need no processes of their own here.
    monkeypatch.setattr("paysim_training.studies.benchmark.command.finish_all", finish_here)
    _prepare(tmp_path)
    result = _benchmark(tmp_path, "--quick")
    assert result.exit_code == 0, result.output
    details = json.loads((tmp_path / "out" / "details.json").read_text())
    assert (details["days"], details["seeds"]) == (3, 2)
    assert details["tasks"][TASK.id]["timesteps"] == ROLLOUT
    refused = _benchmark(tmp_path)
    assert refused.exit_code == 2
    assert "seed0 is of another configuration or scenario" in refused.output


def test_failed_run_says_which_and_why(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    run = RunFolder(tmp_path / "out" / "runs" / TASK.scenario / "seed0")
    run.metrics.unlink()
    run.model.write_bytes(b"no model")
    result = _benchmark(tmp_path, "--seeds", 1)
    assert result.exit_code == 2
    assert f"{run.path}: training ended with code 1" in result.output
    assert "Traceback" not in result.output
    assert "Traceback" in (run.path.parent / "seed0.log").read_text()


@pytest.mark.parametrize(
    ("change", "config", "more", "expected"),
    [
        (lambda all_: all_["tasks"].clear(), {}, (), "has no release_all, best_rule, planner, hindsight"),
        (
            lambda all_: all_["tasks"][TASK.id]["policies"].pop("planner"),
            {},
            (),
            "has no planner; measure",
        ),
        (lambda all_: all_["tasks"][TASK.id].update(scenario={}), {}, (), "measured on another scenario"),
        (lambda all_: all_.pop("tasks"), {}, (), "not a results file of paysim tasks"),
        (dict, {"env": {"id": "PaySim/TwoBank-v1"}}, (), f"must be '{TASK.id}'"),
        (dict, {"num_envs": 0}, (), "num_envs = 0: must be greater than"),
        (dict, {}, ("--task", "PaySim/None-v1"), "task = 'PaySim/None-v1': must be one of"),
        (dict, {}, ("--tasks", "no_such.json"), "no_such.json"),
        (dict, {}, ("--configs", "no_such"), "must be a YAML file, or one of"),
    ],
)
def test_bad_input_is_refused(
    change: Change,
    config: dict[str, Any],
    more: tuple[str, ...],
    expected: str,
    tmp_path: Path,
) -> None:
    _prepare(tmp_path, change, **config)
    result = _benchmark(tmp_path, *more)
    assert result.exit_code == 2
    assert expected in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_gap_and_savings_of_costs_by_hand() -> None:
    baselines = {"release_all": [40] * 4, "best_rule": [30] * 4, "planner": [20] * 4, "hindsight": [10] * 4}
    entry = compare_learned(baselines, [[15] * 4, [25] * 4])
    assert entry["policies"]["learned"]["iqm"] == 20
    assert entry["policies"]["learned"]["seeds"] == [15, 25]
    assert entry["policies"]["learned"]["ci95"] == [15, 25]
    assert entry["policies"]["best_rule"]["ci95"] == [30, 30]
    assert entry["gap_closed"] == entry["gap_closed_mean"] == 0.5
    assert entry["saves"]["best_rule"] == {"mean": 10, "ci95": [5, 15]}
    assert brief({"task": entry})["task"] == {
        **{name: values[0] for name, values in baselines.items()},
        "learned": {"iqm": 20, "ci95": [15, 25]},
        "gap_closed": 0.5,
    }
    assert compare_learned({**baselines, "hindsight": [30] * 4}, [[15] * 4])["gap_closed"] is None
    with pytest.raises(ValueError, match="release_all has 4 days, the learned policies 3"):
        compare_learned(baselines, [[15] * 3])


def test_interval_knows_that_a_seed_is_bad_on_all_days() -> None:
    rng = np.random.default_rng(1)
    days = rng.normal(0, 1, (5, 200))
    by_seed = days + np.array([[0.0], [1], [2], [3], [4]])
    _, low, high = crossed_ci95(by_seed, np.mean)
    # The mean of five seeds has a standard error of sqrt(2 / 5); the cells alone would give a tenth of it.
    assert 1.9 < high - low < 3.1
    _, low, high = crossed_ci95(days, np.mean)
    assert high - low < 0.4


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.scenario)
def test_every_task_has_a_config_whose_rollouts_are_whole_days(task: Task) -> None:
    config, scenario = load_config(task.scenario), load_scenario(task.scenario)
    assert config.env.id == task.id
    has_pool = any(agent.liquidity_pool for agent in scenario.agents)
    assert config.ppo.steps_per_rollout == scenario.ticks_per_day + has_pool
    rollout = config.num_envs * config.ppo.steps_per_rollout
    assert config.timesteps % rollout == config.checkpoint_every % rollout == 0


@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1)], ids=["days", "training_seeds"])
def test_intervals_are_95_percent_intervals(shape: tuple[int, int]) -> None:
    """The half-widths are 1.96 standard errors; those of a 90% interval would be 1.645."""
    costs = np.random.default_rng(5).normal(100, 10, shape)
    error = costs.std(ddof=1) / np.sqrt(costs.size)
    # The trimmed mean's standard error from the winsorized deviation (Yuen 1974).
    winsorized = np.clip(costs, *np.sort(costs, axis=None)[[250, 749]])
    trimmed_error = winsorized.std(ddof=1) / (0.5 * np.sqrt(costs.size))
    summary = summarise_costs(costs)
    saved, *interval = crossed_ci95(-costs, np.mean)
    for value, (low, high), expected in (
        (summary["mean"], summary["mean_ci95"], error),
        (summary["iqm"], summary["ci95"], trimmed_error),
        (saved, interval, error),
    ):
        assert (value - low, high - value) == pytest.approx((1.96 * expected, 1.96 * expected), rel=0.06)


@pytest.mark.parametrize("days", [1, 2, 3, 4, 5, 7, 8, 200])
def test_the_interquartile_mean_is_that_of_scipy(days: int) -> None:
    costs = np.random.default_rng(days).lognormal(8, 2, (1, days))
    assert summarise_costs(costs)["iqm"] == trim_mean(costs[0], 0.25)


def test_the_page_leaves_out_a_gap_that_is_not_there() -> None:
    baselines = {
        "release_all": [4_000] * 4,
        **dict.fromkeys(("best_rule", "planner", "hindsight"), [1_500] * 4),
    }
    entry = compare_learned(baselines, [[1_499] * 4, [1_401] * 4])
    details = {"tasks": {"PaySim/X-v1": entry}, "days": 4, "seeds": 2, "command": "c", "commit": None}
    table = markdown(details)
    cost = "1,500 (1,500 to 1,500)"
    cells = [
        "`X-v1`",
        "4,000 (4,000 to 4,000)",
        cost,
        cost,
        "1,450 (1,401 to 1,499)",
        "1,500",
        "",
        "50 (1 to 99)",
    ]
    assert table.splitlines()[2] == f"| {' | '.join(cells)} |"
    assert "`c` at commit `unknown`." in table
