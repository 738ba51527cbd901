"""Train and compare on the task suite, anew: ``paysim benchmark --out DIR``."""

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
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from paysim_gym import load_scenario
from paysim_gym.files import write_atomically
from paysim_training.core.config import CONFIG_FOLDER, ConfigError, SeedRange, TrainConfig, load_config
from paysim_training.core.ray_tasks import cluster
from paysim_training.core.run_folder import RunFolder, RunFolderError, source_commit
from paysim_training.studies.benchmark.results import BASELINES, brief, compare_learned, markdown
from paysim_training.studies.benchmark.training_runs import (
    Retraining,
    costs_on_ray,
    finish_all,
    finish_all_on_ray,
)

QUICK_SEEDS, QUICK_DAYS, QUICK_SHARE = 2, 20, 10

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command()
def main(
    out: Annotated[
        Path, typer.Option(help="The folder to fill, or to complete.", show_default=False, file_okay=False)
    ],
    task: Annotated[
        list[str] | None, typer.Option(help="Only this task; may be repeated.", show_default="all")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Training runs a task.", show_default="5")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="2 runs a task, a tenth of the ticks, at most 20 days: minutes.")
    ] = False,
    tasks: Annotated[
        Path,
        typer.Option(help="Results of paysim_agents.tasks: the days, and what everyone else pays on them."),
    ] = RESULTS_FILE,
    configs: Annotated[
        Path, typer.Option(help="A folder with a configuration for each task, named by its scenario.")
    ] = CONFIG_FOLDER,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Runs that train at a time.")] = 2,
    ray: Annotated[
        bool,
        typer.Option("--ray", help="Train and evaluate in Ray tasks, as many as fit; all must see DIR."),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(help="Of a running Ray cluster, such as auto; implies --ray.", show_default=False),
    ] = None,
) -> None:
    """Train PPO on every task with several seeds, and compare it with rules, planner and hindsight.

    Everyone plays the same unseen days, those of the file of --tasks. A run that has been finished is not
    trained again, and one that was stopped, however, goes on from its last checkpoint: give the same command
    once more. DIR then holds

    [bold]results.json[/bold]  for each task the interquartile mean cost of a day in cents, and the gap closed
    from the best tuned rule to the hindsight optimum;

    [bold]details.json[/bold]  the same with all intervals, what is saved on the same days, every day's cost,
    command and commit;

    [bold]table.md[/bold], [bold]cost.png[/bold], [bold]gap_closed.png[/bold];

    [bold]runs/[/bold]  a folder for each task and seed, as paysim train leaves it.

    [bold]Examples[/bold]

    paysim benchmark --out bench

    paysim benchmark --out quick --quick --task PaySim/DeadlineLumps-v0

    paysim tasks --out mine.json && paysim benchmark --out bench --tasks mine.json
    """
    console = Console(stderr=True)
    ray = ray or address is not None
    try:
        chosen = list(dict.fromkeys(select_tasks(task)))
        measured = load_results(tasks)
        days = _days(measured, quick)
        baselines = {one.id: _baselines(measured, one, len(days), tasks) for one in chosen}
        count = seeds or (QUICK_SEEDS if quick else 5)
        retrainings = [
            retraining
            for one in chosen
            for retraining in _retrainings(one, out, _config(one, configs, days, quick), count)
        ]
        for retraining in retrainings:
            retraining.prepare()
        with cluster(address) if ray else nullcontext(), _bars(retrainings, console) as progress:
            if ray:
                finish_all_on_ray(retrainings, progress)
                costs = costs_on_ray(retrainings, days)
            else:
                finish_all(retrainings, processes, progress)
                costs = [one.costs_cents(days) for one in retrainings]
        details = _details(baselines, retrainings, costs, days)
        _write(out, details)
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on where it was.", highlight=False)
        raise typer.Exit(130) from None
    except (ConfigError, RunFolderError, ValueError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    print(markdown(details), end="")


def _days(measured: Mapping[str, Any], quick: bool) -> range:
    first, count = measured["settings"]["first_day"], measured["settings"]["days"]
    return range(first, first + (min(count, QUICK_DAYS) if quick else count))


def _baselines(measured: Mapping[str, Any], task: Task, days: int, path: Path) -> dict[str, list[int]]:
    """Costs of the first days of everyone who does not learn.

    Raises:
        ValueError: If they have not all been measured, or on another scenario.
    """
    entry = measured["tasks"].get(task.id, {"scenario": None, "policies": {}})
    missing = [name for name in BASELINES if name not in entry["policies"]]
    remedy = f"measure it with: paysim tasks --out {shlex.quote(str(path))}"
    if missing:
        raise ValueError(f"tasks = {str(path)!r}: {task.id} has no {', '.join(missing)}; {remedy}")
    if entry["scenario"] != json.loads(load_scenario(task.scenario).model_dump_json()):
        raise ValueError(f"tasks = {str(path)!r}: {task.id} was measured on another scenario; {remedy}")
    return {name: entry["policies"][name]["costs_cents"][:days] for name in BASELINES}


def _config(task: Task, configs: Path, days: range, quick: bool) -> TrainConfig:
    """The configuration of a task's runs, its seed aside.

    Raises:
        ConfigError: If there is none, or it is of another environment.
    """
    path = configs / f"{task.scenario}.yaml"
    config = load_config(path)
    if config.env.id != task.id:
        raise ConfigError(f"{path}: env.id = {config.env.id!r}: must be {task.id!r}")
    evaluation = SeedRange(first_seed=days.start, episodes=len(days))
    timesteps = max(1, config.timesteps // QUICK_SHARE) if quick else config.timesteps
    return config.model_copy(update={"evaluation": evaluation, "timesteps": timesteps})


def _retrainings(task: Task, out: Path, config: TrainConfig, count: int) -> Iterator[Retraining]:
    for seed in range(count):
        folder = RunFolder(out / "runs" / task.scenario / f"seed{seed}")
        yield Retraining(task.id, folder, config.model_copy(update={"seed": seed}))


@contextmanager
def _bars(retrainings: Sequence[Retraining], console: Console) -> Iterator[Any]:
    """A bar for each run; without a terminal, a line for each that ends."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars = {
            one.run.path: progress.add_task(
                f"{one.task} seed {one.config.seed}",
                total=one.config.timesteps,
                completed=one.timesteps_done(),
                start=False,
            )
            for one in retrainings
        }

        def advance(one: Retraining, has_ended: bool) -> None:
            progress.start_task(bars[one.run.path])
            progress.update(bars[one.run.path], completed=one.timesteps_done())
            if has_ended and not console.is_terminal:
                console.print(f"{one.task} seed {one.config.seed} done", highlight=False)

        yield advance


def _details(
    baselines: Mapping[str, Mapping[str, list[int]]],
    retrainings: Sequence[Retraining],
    costs_cents: Sequence[NDArray[np.int64]],
    days: range,
) -> dict[str, Any]:
    """The content of ``details.json``."""
    tasks = {}
    for task, costs in baselines.items():
        runs = [one for one in retrainings if one.task == task]
        learned = [
            found.tolist() for one, found in zip(retrainings, costs_cents, strict=True) if one.task == task
        ]
        tasks[task] = {
            **compare_learned(costs, learned),
            "timesteps": runs[0].config.timesteps,
            "costs_cents": {**costs, "learned": learned},
        }
    return {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "commit": source_commit(),
        "days": len(days),
        "first_day": days.start,
        "seeds": len(retrainings) // len(baselines),
        "tasks": tasks,
    }


def _write(out: Path, details: Mapping[str, Any]) -> None:
    from paysim_training.studies.benchmark.figures import (
        write_figures,  # brings Matplotlib, which --help must not wait for
    )

    for name, content in (("details.json", details), ("results.json", brief(details["tasks"]))):
        write_atomically(out / name, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "table.md", markdown(details).encode())
    write_figures(details, out)


if __name__ == "__main__":
    app()
