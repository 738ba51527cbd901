"""The suite of single-learner tasks, and its measurements: ``python -m agents.tasks --out FILE.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from paysim_gym.envs.registration import ENV_SCENARIOS

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@dataclass(frozen=True)
class Task:
    """A day to be played by one bank.

    Attributes:
        id: Of the environment.
        teaches: What there is to learn.
        receipts_are_fixed: Whether what the learner receives is the same whatever it does, so that its
            hindsight optimum is exact, on each day on which the solver comes to an end.
    """

    id: str
    teaches: str
    receipts_are_fixed: bool = True

    @property
    def scenario(self) -> str:
        """Name of the bundled scenario."""
        return ENV_SCENARIOS[self.id]


TASKS = (
    Task("PaySim/DeadlineLumps-v0", "lumps: which payments to overdraw for at their deadline"),
    Task("PaySim/MarginCalls-v0", "scarce credit: what to keep for what comes later, and until when"),
    Task("PaySim/OverdraftTiers-v0", "convex prices: whom to pay while credit is cheap"),
    Task("PaySim/ReceiptWaves-v0", "rhythm: what to overdraw for before the next receipts"),
    Task("PaySim/LiquidityPool-v0", "commitment: how much liquidity to buy before the day is known"),
    Task(
        "PaySim/ReactingBanks-v0",
        "reaction: whom to pay so that the money comes back",
        receipts_are_fixed=False,
    ),
)
"""The suite, in the order of its table."""


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

    python -m agents.tasks --out tasks.json --page tasks.md

    python -m agents.tasks --out quick.json --quick --task PaySim/DeadlineLumps-v0
    """
    console = Console(stderr=True)
    try:
        tasks = choose(task)
        if not out.parent.is_dir():
            raise ValueError(f"out = {str(out)!r}: there is no folder {str(out.parent)!r}")
        results = _measure(tasks, out, console, quick=quick, days=days, processes=processes)
        if page is not None:
            from agents.task_page import make_page

            page.write_text(make_page(results), encoding="utf-8")
    except (ValueError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


def choose(ids: list[str] | None) -> list[Task]:
    """The tasks with these ids, or all of them.

    Raises:
        ValueError: If one is unknown.
    """
    known = {task.id: task for task in TASKS}
    unknown = [name for name in ids or () if name not in known]
    if unknown:
        raise ValueError(f"task = {unknown[0]!r}: must be one of {', '.join(known)}")
    return [known[name] for name in ids] if ids else list(TASKS)


def _measure(
    tasks: list[Task], out: Path, console: Console, *, quick: bool, days: int | None, processes: int
) -> dict[str, Any]:
    # SciPy's solver and worker processes, which --help must not wait for.
    from agents.measuring import QUICK, THOROUGH, Suite

    settings = QUICK if quick else THOROUGH
    settings = replace(settings, days=days or settings.days)
    suite = Suite(out, settings, processes)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for task in tasks:
            for step in suite.missing(task):
                bar = progress.add_task(f"{task.id} {step}", total=settings.days)
                suite.measure(task, step, partial(progress.advance, bar))
                if not console.is_terminal:
                    console.print(f"{task.id} {step} done", highlight=False)
    return suite.results


def load_results(path: Path) -> dict[str, Any]:
    """Results as the command has written them.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds none.
    """
    results = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(results, dict) or "tasks" not in results:
        raise ValueError(f"{path}: holds no results of agents.tasks")
    return results


if __name__ == "__main__":
    app()
