"""``paysim tasks``: measure the suite of single-learner tasks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from paysim_agents.tasks.page import make_page
from paysim_agents.tasks.suite import Task, select_tasks
from paysim_gym.cli.terminal import progress_bar

TaskIds = Annotated[
    list[str] | None, typer.Option(help="Task to measure; repeat it for several.", show_default="all")
]


def tasks(
    *,
    out: Annotated[Path, typer.Option(help="Results file to write or to complete.", show_default=False)],
    page: Annotated[
        Path | None, typer.Option(help="Markdown page to write from the results.", show_default="none")
    ] = None,
    task: TaskIds = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="10 days and coarse tuning: minutes, and wide intervals.")
    ] = False,
    days: Annotated[
        int | None,
        typer.Option(min=2, max=1_000_000, help="Days played by each policy.", show_default="200; quick: 10"),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Worker processes.")] = 2,
) -> None:
    """Measure the scripted rules, the planner and the hindsight optimum on every task.

    All policies play the same unseen days. Results are saved after each step, and an interrupted command
    resumes; results with other settings are measured again.

    [bold]Examples[/bold]

    paysim tasks --out tasks.json --page tasks.md

    paysim tasks --out quick.json --quick --task PaySim/DeadlineLumps-v1
    """
    chosen = select_tasks(task)
    if not out.parent.is_dir():
        raise ValueError(f"out = {str(out)!r}: there is no folder {str(out.parent)!r}")
    results = _measure(chosen, out, quick=quick, days=days, processes=processes)
    if page is not None:
        page.write_text(make_page(results), encoding="utf-8")


def _measure(
    chosen: list[Task], out: Path, *, quick: bool, days: int | None, processes: int
) -> dict[str, Any]:
    # SciPy's solver and worker processes would slow down --help.
    from paysim_agents.tasks.measurement import FULL, QUICK, ResultsFile

    console = Console(stderr=True)
    settings = QUICK if quick else FULL
    settings = replace(settings, days=days or settings.days)
    measurements = ResultsFile(out, settings, processes)
    with progress_bar(console, counts=True, disable=not console.is_terminal) as progress:
        for task in chosen:
            for step in measurements.missing_steps(task):
                bar = progress.add_task(f"{task.id} {step}", total=settings.days)
                measurements.measure(task, step, partial(progress.advance, bar))
                if not console.is_terminal:
                    console.print(f"{task.id} {step} done", highlight=False)
    return measurements.results
