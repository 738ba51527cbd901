"""Measure the suite of single-learner tasks: ``paysim tasks --out FILE.json``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from paysim_agents.tasks.page import make_page
from paysim_agents.tasks.suite import Task, select_tasks

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="The results to write, or to complete.", show_default=False)],
    page: Annotated[
        Path | None, typer.Option(help="Write the table as Markdown, too.", show_default="none")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Measure this task only; may be repeated.", show_default="all")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="10 days instead of 200, coarser tuning: minutes, wide intervals.")
    ] = False,
    days: Annotated[
        int | None,
        typer.Option(min=2, max=1_000_000, help="Days that everyone plays.", show_default="200; quick: 10"),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Worker processes.")] = 2,
) -> None:
    """Measure every task of the suite: release_all, the best tuned rule, the planner, the hindsight optimum.

    All play the same unseen days. The results are written as they come, so that a run that was stopped goes
    on where it was; those of other settings are measured anew.

    [bold]Examples[/bold]

    paysim tasks --out tasks.json --page tasks.md

    paysim tasks --out quick.json --quick --task PaySim/DeadlineLumps-v0
    """
    console = Console(stderr=True)
    try:
        tasks = select_tasks(task)
        if not out.parent.is_dir():
            raise ValueError(f"out = {str(out)!r}: there is no folder {str(out.parent)!r}")
        results = _measure(tasks, out, console, quick=quick, days=days, processes=processes)
        if page is not None:
            page.write_text(make_page(results), encoding="utf-8")
    except (ValueError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


def _measure(
    tasks: list[Task], out: Path, console: Console, *, quick: bool, days: int | None, processes: int
) -> dict[str, Any]:
    # SciPy's solver and worker processes, which --help must not wait for.
    from paysim_agents.tasks.measurement import FULL, QUICK, ResultsFile

    settings = QUICK if quick else FULL
    settings = replace(settings, days=days or settings.days)
    measurements = ResultsFile(out, settings, processes)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for task in tasks:
            for step in measurements.missing_steps(task):
                bar = progress.add_task(f"{task.id} {step}", total=settings.days)
                measurements.measure(task, step, partial(progress.advance, bar))
                if not console.is_terminal:
                    console.print(f"{task.id} {step} done", highlight=False)
    return measurements.results


if __name__ == "__main__":
    app()
