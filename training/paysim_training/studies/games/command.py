"""``paysim games``: independent learners on the games of Castro et al. (2025)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from paysim_gym.cli.terminal import ArgumentError
from paysim_gym.files import write_atomically
from paysim_training.studies.games.settings import GAMES

RUNS, QUICK_RUNS = 50, 5

Runs = Annotated[
    int | None, typer.Option(min=2, help="Pairs of banks that learn each game.", show_default=f"{RUNS}")
]


def games(
    *,
    out: Annotated[Path, typer.Option(help="Results file (.json) to write.", show_default=False)],
    runs: Runs = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of networks and exploration.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"{QUICK_RUNS} runs, unless --runs is given.")
    ] = False,
    game: Annotated[
        list[str] | None,
        typer.Option(help="Name of a game; repeat it for several.", show_default="all"),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Figure of the learning curves (.png or .svg) to write.", show_default=False),
    ] = None,
) -> None:
    """Test whether independent learners find the equilibrium of a game.

    Two banks commit liquidity before the day; in the three-period games they also choose what to send.
    Each learns from its own costs, while the other learns too. The games are small enough to be solved: the
    engine plays every pair of strategies, and the learned strategies are compared with the equilibrium and
    with the minimum of the banks' total cost.

    There are three learners: REINFORCE with the published settings; REINFORCE with smaller steps, larger
    batches and a baseline; PPO. A run is [bold]within one grid step[/bold] if the most likely choices of both
    banks differ from the equilibrium by at most .05: in the liquidity committed and, in games where banks
    choose it, in each share sent.

    [bold]Examples[/bold]

    paysim games --out games.json

    paysim games --out games.json --quick

    paysim games --out two.json --game castro_two_period --runs 10 --seed 7 --figure two.png
    """
    for target in filter(None, (out, figure)):
        if target.is_dir() or not target.parent.is_dir():
            raise ArgumentError(f"{target}: must be a file in an existing folder")
    names = list(game or GAMES)
    if unknown := [name for name in names if name not in GAMES]:
        raise ArgumentError(f"--game = {unknown[0]!r}: must be one of {', '.join(GAMES)}")
    # torch and Matplotlib would slow down --help
    from paysim_training.studies.games.experiment import train_games
    from paysim_training.studies.games.report import make_table, save_figure

    console = Console()
    result = train_games(names, runs or (QUICK_RUNS if quick else RUNS), seed, console)
    write_atomically(out, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())
    console.print(make_table(result))
    if figure:
        save_figure(result, figure)
    console.print(f"All results are in {out}.", soft_wrap=True, highlight=False)
