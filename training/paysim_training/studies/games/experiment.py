"""Independent learners on the games of Castro et al. (2025): training and measurement."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from paysim_gym import Scenario, load_scenario
from paysim_gym.cli.terminal import progress_bar
from paysim_training.core.run_folder import versions
from paysim_training.studies.games.equilibria import Equilibrium, LearningCurve, measure, solve
from paysim_training.studies.games.independent_learners import Game, Learners, learn
from paysim_training.studies.games.settings import ALGORITHMS, GAMES, settings_of

EXPLORING_DAYS = 100


def train_games(names: Sequence[str], runs: int, seed: int, console: Console) -> dict[str, Any]:
    """Train every algorithm on some games; all runs of a game share one fleet.

    Args:
        names: Keys of `paysim_training.studies.games.settings.GAMES`.
        runs: Pairs of banks that learn each game; at least 2.
        seed: Seed of networks and exploration. The results of a game depend on `seed` and `runs` only.
        console: Receives the progress bar.

    Returns:
        The content of the results file: versions, times, and `games` by name.
    """
    started, worked = time.perf_counter(), time.process_time()
    with progress_bar(console) as progress:
        games = {name: _train_game(name, runs, seed, progress) for name in names}
    return {"seed": seed, **_seconds_since(started, worked), **versions(), "games": games}


def _train_game(name: str, runs: int, seed: int, progress: Progress) -> dict[str, Any]:
    scenario, decides = load_scenario(name), GAMES[name].decides
    equilibrium = solve(scenario, decides)
    return {
        "decides": decides,
        "pool_cents": equilibrium.pool_cents,
        "equilibrium": equilibrium.summary(),
        "algorithms": {
            algorithm: _train(scenario, equilibrium, name, algorithm, runs=runs, seed=seed, progress=progress)
            for algorithm in ALGORITHMS
        },
    }


def _train(
    scenario: Scenario,
    equilibrium: Equilibrium,
    name: str,
    algorithm: str,
    *,
    runs: int,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    started, worked = time.perf_counter(), time.process_time()
    torch.set_num_threads(1)  # more threads do not speed up small networks
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
    """Derive the seed of one algorithm on one game, independent of the others."""
    key = (list(GAMES).index(name), ALGORITHMS.index(algorithm))
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0])


def _seconds_since(started: float, worked: float) -> dict[str, float]:
    """Return wall-clock and CPU seconds; they differ on a busy machine."""
    return {
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - worked, 1),
    }
