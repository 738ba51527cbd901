"""The trials of a sweep, in this process or in Ray tasks: where they run does not change what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from paysim_gym import Scenario
from paysim_training.core.config import TrainConfig
from paysim_training.core.ray_tasks import map_jobs
from paysim_training.core.run_folder import create_run_folder

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

REPORTS = 10
"""Parts of a trial's training; after each it is judged, and may be pruned."""
FREE_REPORTS = 2
"""Parts that pass before a trial can be pruned, as a cold start says little."""
TRIALS_BEFORE_PRUNING = 4


@dataclass(frozen=True)
class TrialJob:
    """A trial that has been drawn.

    Attributes:
        config: What it trains.
        scenario: What is played.
        seen: Finished trials with whose costs it is compared, and on whose account it may be pruned.
    """

    config: TrainConfig
    scenario: Scenario
    seen: Sequence[FrozenTrial]


@dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes:
        cost_cents: Its mean cost of a tuning day; of a pruned one, when it was.
        is_pruned: Whether its training was ended early.
        reports: The mean cost after each part of the training.
    """

    cost_cents: float
    is_pruned: bool
    reports: dict[int, float]


RunAll = Callable[[Sequence[TrialJob]], Iterator[tuple[int, Outcome]]]
"""Runs trials; yields the number of each with its outcome, as they end."""


def run_trials(jobs: Sequence[TrialJob]) -> Iterator[tuple[int, Outcome]]:
    """Run trials one after the other."""
    for number, job in enumerate(jobs):
        yield number, run_trial(job)


def run_trials_on_ray(jobs: Sequence[TrialJob]) -> Iterator[tuple[int, Outcome]]:
    """Run trials in Ray tasks, as many at a time as there are processors for.

    Raises:
        WorkerLostError: If the workers of one were lost too often.
    """
    yield from map_jobs(run_trial, jobs, processors=max(job.config.torch_threads for job in jobs))


def run_trial(job: TrialJob) -> Outcome:
    """Train and judge one trial."""
    import optuna

    from paysim_training.algorithms.ppo import learn
    from paysim_training.studies.sweep.objective import TrialCost

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, FREE_REPORTS)
    study = optuna.create_study(pruner=pruner, direction="minimize")
    study.add_trials(job.seen)
    with TemporaryDirectory() as folder:
        run = create_run_folder(Path(folder) / "run", "trial", job.config, job.scenario)
        watcher = TrialCost(study.ask(), job.config, job.scenario, REPORTS)
        learn(run, Console(quiet=True), [watcher])
    reports = study.trials[-1].intermediate_values
    return Outcome(watcher.cost_cents, watcher.is_pruned, reports)
