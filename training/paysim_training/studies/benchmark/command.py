"""``paysim benchmark``: train and compare PPO on the task suite."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from paysim_agents.tasks.suite import RESULTS_FILE, Task, load_results, select_tasks
from rich.console import Console

from paysim_gym import load_scenario
from paysim_gym.cli.terminal import interrupt_hint, progress_bar
from paysim_gym.files import write_atomically
from paysim_gym.provenance import source_commit
from paysim_training.core.config import CONFIG_FOLDER, ConfigError, SeedRange, TrainConfig, load_config
from paysim_training.core.ray_tasks import cluster
from paysim_training.core.run_folder import RunFolder
from paysim_training.studies.benchmark.results import BASELINES, brief, compare_learned, markdown
from paysim_training.studies.benchmark.training_runs import (
    TrainingRun,
    costs_on_ray,
    finish_all,
    finish_all_on_ray,
)

QUICK_SEEDS, QUICK_DAYS, QUICK_SHARE = 2, 20, 10

Out = Annotated[
    Path,
    typer.Option(help="Folder of the results to create or to complete.", show_default=False, file_okay=False),
]
TaskIds = Annotated[
    list[str] | None, typer.Option(help="Task to train; repeat it for several.", show_default="all")
]
Seeds = Annotated[int | None, typer.Option(min=1, max=1000, help="Training runs per task.", show_default="5")]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="2 runs per task, a tenth of the steps, at most 20 days: minutes."),
]
TaskResults = Annotated[
    Path, typer.Option(help="Results of paysim tasks: the days and the costs of the other policies on them.")
]
Configs = Annotated[
    Path, typer.Option(help="Folder with a configuration for each task, named after its scenario.")
]
Processes = Annotated[int, typer.Option(min=1, max=256, help="Runs that train in parallel.")]
OnRay = Annotated[
    bool,
    typer.Option("--ray", help="Train and evaluate in Ray tasks; all machines must share the folder."),
]
Address = Annotated[
    str | None,
    typer.Option(help="Address of a running Ray cluster, such as auto; implies --ray.", show_default=False),
]


def benchmark(
    *,
    out: Out,
    task: TaskIds = None,
    seeds: Seeds = None,
    quick: Quick = False,
    tasks: TaskResults = RESULTS_FILE,
    configs: Configs = CONFIG_FOLDER,
    processes: Processes = 2,
    ray: OnRay = False,
    address: Address = None,
) -> None:
    """Train PPO on every task and compare it with rules, planner and hindsight.

    All policies play the same unseen days, those of the file of --tasks. Finished runs are skipped;
    interrupted runs resume from their last checkpoint: give the same command again. The folder has

    [bold]results.json[/bold]  for each task the interquartile mean cost per day in cents, and the gap closed
    from the best tuned rule to the hindsight optimum;

    [bold]details.json[/bold]  all intervals, savings on the same days, the cost of every day, command and
    commit;

    [bold]table.md[/bold], [bold]cost.png[/bold], [bold]gap_closed.png[/bold];

    [bold]runs/[/bold]  a run folder of paysim train for each task and seed.

    [bold]Examples[/bold]

    paysim benchmark --out bench

    paysim benchmark --out quick --quick --task PaySim/DeadlineLumps-v1

    paysim tasks --out mine.json && paysim benchmark --out bench --tasks mine.json
    """
    ray = ray or address is not None
    chosen = list(dict.fromkeys(select_tasks(task)))
    measured = load_results(tasks)
    days = _days(measured, quick)
    baselines = {one.id: _baselines(measured, one, len(days), tasks) for one in chosen}
    count = seeds or (QUICK_SEEDS if quick else 5)
    runs = [
        run for one in chosen for run in _training_runs(one, out, _config(one, configs, days, quick), count)
    ]
    with interrupt_hint("Give the same command again to continue."):
        for run in runs:
            run.prepare()
        with cluster(address) if ray else nullcontext(), _bars(runs) as progress:
            if ray:
                finish_all_on_ray(runs, progress)
                costs = costs_on_ray(runs, days)
            else:
                finish_all(runs, processes, progress)
                costs = [run.costs_cents(days) for run in runs]
        details = _details(baselines, runs, costs, days)
        details["planner_version"] = measured["settings"].get("planner_version", 1)
        _write(out, details)
    print(markdown(details), end="")


def _days(measured: Mapping[str, Any], quick: bool) -> range:
    first, count = measured["settings"]["first_day"], measured["settings"]["days"]
    return range(first, first + (min(count, QUICK_DAYS) if quick else count))


def _baselines(measured: Mapping[str, Any], task: Task, days: int, path: Path) -> dict[str, list[int]]:
    """Return the other policies' costs on the first days; raise ValueError if unmeasured."""
    _, entry = task.find_results(measured) or (task.id, {"scenario": None, "policies": {}})
    missing = [name for name in BASELINES if name not in entry["policies"]]
    remedy = f"measure it with: paysim tasks --out {shlex.quote(str(path))}"
    if missing:
        raise ValueError(f"tasks = {str(path)!r}: {task.id} has no {', '.join(missing)}; {remedy}")
    if entry["scenario"] != json.loads(load_scenario(task.scenario).model_dump_json()):
        raise ValueError(f"tasks = {str(path)!r}: {task.id} was measured on another scenario; {remedy}")
    return {name: entry["policies"][name]["costs_cents"][:days] for name in BASELINES}


def _config(task: Task, configs: Path, days: range, quick: bool) -> TrainConfig:
    """Return the configuration of a task's runs, before the seed, or raise ConfigError."""
    path = configs / f"{task.scenario}.yaml"
    config = load_config(path)
    if config.env.id != task.id:
        raise ConfigError(f"{path}: env.id = {config.env.id!r}: must be {task.id!r}")
    evaluation = SeedRange(first_seed=days.start, episodes=len(days))
    timesteps = max(1, config.timesteps // QUICK_SHARE) if quick else config.timesteps
    return config.model_copy(update={"evaluation": evaluation, "timesteps": timesteps})


def _training_runs(task: Task, out: Path, config: TrainConfig, count: int) -> Iterator[TrainingRun]:
    for seed in range(count):
        folder = RunFolder(out / "runs" / task.scenario / f"seed{seed}")
        yield TrainingRun(task.id, folder, config.model_copy(update={"seed": seed}))


@contextmanager
def _bars(runs: Sequence[TrainingRun]) -> Iterator[Any]:
    """Show a bar for each run, or report finished runs without a terminal."""
    console = Console(stderr=True)
    with progress_bar(console, disable=not console.is_terminal) as progress:
        bars = {
            run.folder.path: progress.add_task(
                f"{run.task} seed {run.config.seed}",
                total=run.config.timesteps,
                completed=run.timesteps_done(),
                start=False,
            )
            for run in runs
        }

        def advance(run: TrainingRun, has_ended: bool) -> None:
            progress.start_task(bars[run.folder.path])
            progress.update(bars[run.folder.path], completed=run.timesteps_done())
            if has_ended and not console.is_terminal:
                console.print(f"{run.task} seed {run.config.seed} done", highlight=False)

        yield advance


def _details(
    baselines: Mapping[str, Mapping[str, list[int]]],
    runs: Sequence[TrainingRun],
    costs_cents: Sequence[NDArray[np.int64]],
    days: range,
) -> dict[str, Any]:
    tasks = {}
    for task, costs in baselines.items():
        own_runs = [run for run in runs if run.task == task]
        learned = [values.tolist() for run, values in zip(runs, costs_cents, strict=True) if run.task == task]
        tasks[task] = {
            **compare_learned(costs, learned),
            "timesteps": own_runs[0].config.timesteps,
            "costs_cents": {**costs, "learned": learned},
        }
    return {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "commit": source_commit(),
        "days": len(days),
        "first_day": days.start,
        "seeds": len(runs) // len(baselines),
        "tasks": tasks,
    }


def _write(out: Path, details: Mapping[str, Any]) -> None:
    # Matplotlib would slow down --help
    from paysim_training.studies.benchmark.figures import write_figures

    for name, content in (("details.json", details), ("results.json", brief(details["tasks"]))):
        write_atomically(out / name, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "table.md", markdown(details).encode())
    write_figures(details, out)
