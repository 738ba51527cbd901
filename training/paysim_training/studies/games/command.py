"""Independent learners on the games of Castro et al. (2025): ``paysim games --out FILE.json``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from paysim_gym import Scenario, load_scenario
from paysim_gym.files import write_atomically
from paysim_training.core.run_folder import versions
from paysim_training.studies.games.settings import ALGORITHMS, GAMES, settings_of

if TYPE_CHECKING:
    from paysim_training.studies.games.equilibria import Equilibrium

RUNS, QUICK_RUNS = 50, 5
EXPLORING_DAYS = 100

GameName = StrEnum("GameName", [(name, name) for name in GAMES])

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="The JSON file to write.", show_default=False)],
    runs: Annotated[
        int | None, typer.Option(min=2, help="Pairs of banks that learn each game.", show_default=f"{RUNS}")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all networks and all exploration.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"Only {QUICK_RUNS} runs, unless --runs says otherwise.")
    ] = False,
    game: Annotated[
        list[GameName] | None,
        typer.Option(help="Only this game; may be given several times.", show_default="all"),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw the learning curves into this file (.png or .svg).", show_default=False),
    ] = None,
) -> None:
    """Do banks that learn side by side find the equilibrium of their game?

    Two banks commit liquidity before the day; in the three-period games they also choose what to send.
    Each learns from its own costs, while the other does too. The games are small enough to be solved: the
    engine plays every pair of strategies, and what was learned is held against the equilibrium, and against
    a planner who decides for both.

    There are three learners: REINFORCE with the published settings; REINFORCE with smaller steps, larger
    batches and a baseline; PPO. A run is [bold]within one grid step[/bold] if the likeliest choices of both
    banks are no more than .05 from the equilibrium's: of the liquidity committed and, where it is theirs to
    decide, of each share sent.

    [bold]Examples[/bold]

    paysim games --out games.json

    paysim games --out games.json --quick

    paysim games --out two.json --game castro_two_period --runs 10 --seed 7 --figure two.png
    """
    console = Console()
    for target in filter(None, (out, figure)):
        if target.is_dir() or not target.parent.is_dir():
            problem = f"error: {target}: must be a file, in a folder that is there"
            console.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(2)
    names = [name.value for name in game] if game else list(GAMES)
    result = train_games(names, runs or (QUICK_RUNS if quick else RUNS), seed, console)
    write_atomically(out, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())

    from paysim_training.studies.games.report import make_table, save_figure  # brings matplotlib

    console.print(make_table(result))
    if figure:
        save_figure(result, figure)
    console.print(f"All figures are in {out}.", soft_wrap=True, highlight=False)


def train_games(names: Sequence[str], runs: int, seed: int, console: Console) -> dict[str, Any]:
    """Train every algorithm on some games, all runs of a game in one fleet.

    Args:
        names: Of `paysim_training.studies.games.settings.GAMES`.
        runs: Pairs of banks that learn each game; at least 2.
        seed: Of networks and exploration. What a game's learners do depends on it, `runs` and nothing else.
        console: Where the progress bar goes.

    Returns:
        What the command writes: who made it, and `games`, by name.
    """
    started, worked = time.perf_counter(), time.process_time()
    with _progress(console) as progress:
        games = {name: _train_game(name, runs, seed, progress) for name in names}
    return {"seed": seed, **_seconds_since(started, worked), **versions(), "games": games}


def _train_game(name: str, runs: int, seed: int, progress: Progress) -> dict[str, Any]:
    from paysim_training.studies.games.equilibria import solve  # brings SciPy, which --help must not wait for

    scenario, decides = load_scenario(name), GAMES[name].decides
    equilibrium = solve(scenario, decides)
    return {
        "decides": decides,
        "pool_cents": equilibrium.pool_cents,
        "equilibrium": equilibrium.summary(),
        "algorithms": {
            algorithm: _train(scenario, equilibrium, name, algorithm, runs, seed, progress)
            for algorithm in ALGORITHMS
        },
    }


def _train(
    scenario: Scenario,
    equilibrium: Equilibrium,
    name: str,
    algorithm: str,
    runs: int,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    import torch

    from paysim_training.studies.games.equilibria import LearningCurve, measure
    from paysim_training.studies.games.independent_learners import Game, Learners, learn

    started, worked = time.perf_counter(), time.process_time()
    torch.set_num_threads(1)  # small networks do not gain from more
    settings, decides = settings_of(algorithm, name), GAMES[name].decides
    generator = torch.Generator().manual_seed(_stream(seed, name, algorithm))
    game = Game(scenario, runs, settings.days, decides)
    learners = Learners(game, settings.hidden, generator)
    curve = LearningCurve(settings.updates)
    task = progress.add_task(f"{name}, {algorithm}", total=settings.updates)
    for update, days in enumerate(learn(game, learners, settings, generator)):
        curve.add(update, days.shares, days.costs)
        progress.advance(task)
    settled = Game(scenario, runs, 1, decides).play(learners.most_likely)[1]
    exploring = Game(scenario, runs, EXPLORING_DAYS, decides).play(learners.sample)[1]
    return {
        **measure(equilibrium, settled.shares[:, 0], settled.costs[:, 0], exploring.costs.mean(1)),
        "settings": asdict(settings),
        **_seconds_since(started, worked),
        "curve": curve.points,
    }


def _stream(seed: int, name: str, algorithm: str) -> int:
    """The seed of one algorithm on one game, whichever others are trained beside it."""
    key = (list(GAMES).index(name), ALGORITHMS.index(algorithm))
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0])


def _seconds_since(started: float, worked: float) -> dict[str, float]:
    """By the clock, and of all processors: the two differ on a busy machine."""
    return {
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
    }


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
    )


if __name__ == "__main__":
    app()
