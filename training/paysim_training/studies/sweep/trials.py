"""Trials of a sweep, in this process or in Ray tasks, with equal results."""

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
"""Number of evaluations of a trial during training; each may prune it."""
WARMUP_REPORTS = 2
"""Evaluations before a trial can be pruned, because early costs say little."""
TRIALS_BEFORE_PRUNING = 4
"""Finished trials before any trial can be pruned."""


@dataclass(frozen=True)
class TrialJob:
    """A sampled trial.

    Attributes:
        config: The training configuration.
        scenario: The scenario.
        finished: Finished trials; the trial is pruned if it costs more than their median.
    """

    config: TrainConfig
    scenario: Scenario
    finished: Sequence[FrozenTrial]


@dataclass(frozen=True)
class TrialResult:
    """Result of a trial.

    Attributes:
        cost_cents: Mean cost per tuning day; of a pruned trial, the last one reported.
        is_pruned: Whether the trial was pruned.
        reports: Mean cost at each evaluation, by its number.
    """

    cost_cents: float
    is_pruned: bool
    reports: dict[int, float]


TrialRunner = Callable[[Sequence[TrialJob]], Iterator[tuple[int, TrialResult]]]
"""Runs trials and yields the index and the result of each, in the order in which they end."""


def run_trials(jobs: Sequence[TrialJob]) -> Iterator[tuple[int, TrialResult]]:
    """Run trials sequentially."""
    for number, job in enumerate(jobs):
        yield number, run_trial(job)


def run_trials_on_ray(jobs: Sequence[TrialJob]) -> Iterator[tuple[int, TrialResult]]:
    """Run trials in parallel Ray tasks; raises WorkerLostError if workers were lost repeatedly."""
    yield from map_jobs(run_trial, jobs, processors=max(job.config.torch_threads for job in jobs))


def run_trial(job: TrialJob) -> TrialResult:
    """Train and evaluate one trial."""
    import optuna

    from paysim_training.algorithms.ppo import learn
    from paysim_training.studies.sweep.objective import TrialCost

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(TRIALS_BEFORE_PRUNING, WARMUP_REPORTS)
    study = optuna.create_study(pruner=pruner, direction="minimize")
    study.add_trials(job.finished)
    with TemporaryDirectory() as folder:
        run = create_run_folder(Path(folder) / "run", "trial", job.config, job.scenario)
        objective = TrialCost(study.ask(), job.config, job.scenario, REPORTS)
        learn(run, Console(quiet=True), [objective])
    reports = study.trials[-1].intermediate_values
    return TrialResult(objective.cost_cents, objective.is_pruned, reports)
