"""Training runs of a benchmark, in processes of their own or in Ray tasks."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from paysim_gym import Scenario
from paysim_gym.evaluation import evaluate
from paysim_training.core.config import TrainConfig
from paysim_training.core.ray_tasks import WorkerLostError, map_jobs
from paysim_training.core.run_folder import RunFolder, RunFolderError, create_run_folder
from paysim_training.core.task import constructor_arguments, resolve_env
from paysim_training.train import finish

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class TrainingRun:
    """A training run of a benchmark: one task and one seed.

    Attributes:
        task: Id of the environment.
        folder: The run folder, created by `prepare`.
        config: The training configuration.
    """

    task: str
    folder: RunFolder
    config: TrainConfig

    @property
    def is_finished(self) -> bool:
        """Whether the run has been trained and evaluated."""
        return self.folder.metrics.is_file()

    @property
    def log(self) -> Path:
        """Log file of its process, beside the run folder."""
        return self.folder.path.with_name(f"{self.folder.path.name}.log")

    def prepare(self) -> None:
        """Create the folder, or check that the existing one has the same configuration.

        Raises:
            RunFolderError: If it has another configuration or scenario, or cannot be created.
            ConfigError: If the environment arguments are invalid.
        """
        env, scenario = resolve_env(self.config.env)
        config = self.config.model_copy(update={"env": env})
        if not self.folder.path.exists():
            create_run_folder(self.folder.path, self.folder.path.name, config, scenario)
        elif not (_same(config, self.folder.config()) and _same_system(scenario, self.folder.scenario())):
            raise RunFolderError(
                f"{self.folder.path} is of another configuration or scenario: "
                "remove it, or choose another --out"
            )

    def timesteps_done(self) -> int:
        """Timesteps of the last checkpoint, or all timesteps if the model exists."""
        if self.folder.model.is_file():
            return self.config.timesteps
        last = self.folder.last_checkpoint()
        return int(last.name) if last else 0

    def costs_cents(self, days: Sequence[int]) -> NDArray[np.int64]:
        """Costs of the trained policy in cents, int64 of shape (days,); RunFolderError if untrained."""
        from paysim_training.algorithms.ppo import LearnedPolicy  # torch would slow down --help

        learned = LearnedPolicy(self.folder)
        arguments = constructor_arguments(self.folder.config().env)
        return evaluate(lambda env: learned, self.folder.scenario(), days, **arguments).cost


def finish_all(
    runs: Sequence[TrainingRun], processes: int, progress: Callable[[TrainingRun, bool], None]
) -> None:
    """Train and evaluate the unfinished runs in parallel processes.

    Args:
        runs: Prepared runs.
        processes: Number of runs at a time.
        progress: Called a few times a second with each active run and whether it has just ended.

    Raises:
        RunFolderError: If a run fails. The others are stopped and resume from their checkpoints next time.
    """
    waiting = [run for run in runs if not run.is_finished]
    running: list[tuple[TrainingRun, SpawnProcess]] = []
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                running.append((waiting[0], _start(waiting.pop(0))))
            time.sleep(_POLL_SECONDS)
            for run, process in running:
                progress(run, not process.is_alive())
            for run, process in running:
                _check(run, process.exitcode)
            running = [pair for pair in running if pair[1].exitcode is None]
    finally:
        for _, process in running:
            process.terminate()
        for _, process in running:
            process.join()


def finish_all_on_ray(runs: Sequence[TrainingRun], progress: Callable[[TrainingRun, bool], None]) -> None:
    """Train and evaluate the unfinished runs in Ray tasks.

    All workers must be able to write to the folders. A run whose worker is lost resumes from its last
    checkpoint on another worker.

    Args:
        runs: Prepared runs.
        progress: As in `finish_all`.

    Raises:
        RunFolderError: If a run fails or is lost too often. The others are stopped and resume from their
            checkpoints next time.
    """
    waiting = {number: run for number, run in enumerate(runs) if not run.is_finished}
    numbers = list(waiting)

    def watch() -> None:
        for run in waiting.values():
            progress(run, False)

    jobs = [_with_absolute_path(waiting[number]) for number in numbers]
    threads = max((job.config.torch_threads for job in jobs), default=1)
    try:
        for job, code in map_jobs(_finish_in_task, jobs, processors=threads, on_poll=watch):
            ended = waiting.pop(numbers[job])
            _check(ended, code)
            progress(ended, True)
    except WorkerLostError as error:
        raise RunFolderError(str(error)) from error


def costs_on_ray(runs: Sequence[TrainingRun], days: Sequence[int]) -> list[NDArray[np.int64]]:
    """Costs of each trained policy in cents, computed in Ray tasks.

    Returns:
        For each run, int64 of shape (days,).

    Raises:
        RunFolderError: If a task is lost too often.
    """
    jobs = [_with_absolute_path(run) for run in runs]
    threads = max(job.config.torch_threads for job in jobs)
    try:
        found = dict(map_jobs(partial(_costs, days=days), jobs, processors=threads))
    except WorkerLostError as error:
        raise RunFolderError(str(error)) from error
    return [found[number] for number in range(len(jobs))]


def _with_absolute_path(run: TrainingRun) -> TrainingRun:
    return replace(run, folder=RunFolder(run.folder.path.absolute()))


def _costs(run: TrainingRun, days: Sequence[int]) -> NDArray[np.int64]:
    return run.costs_cents(days)


def _finish_in_task(run: TrainingRun) -> int:
    if not run.folder.path.is_dir():
        raise RunFolderError(
            f"{run.folder.path} does not exist on a worker's machine: choose a folder shared by all machines"
        )
    try:
        _finish_with_log(run.folder, run.log)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def _start(run: TrainingRun) -> SpawnProcess:
    process = get_context("spawn").Process(target=_finish_in_process, args=(run.folder, run.log))
    process.start()
    return process


def _finish_in_process(run: RunFolder, log: Path) -> None:
    """Finish a run in a child process that exits when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent also receives it and terminates this process
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _finish_with_log(run, log)


def _finish_with_log(run: RunFolder, log: Path) -> None:
    with log.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            finish(run, Console(file=file))
        except Exception:
            traceback.print_exc()
            file.flush()
            sys.exit(1)


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _check(run: TrainingRun, code: int | None) -> None:
    if not code:
        return
    lines = run.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else "the log is empty"
    raise RunFolderError(f"{run.folder.path}: training ended with code {code}: {last} ({run.log})")


def _same(one: TrainConfig, other: TrainConfig) -> bool:
    """Whether two configurations differ only in description, evaluation and tuning days."""
    excluded = {"description", "evaluation", "tuning"}
    return one.model_dump(exclude=excluded) == other.model_dump(exclude=excluded)


def _same_system(one: Scenario, other: Scenario) -> bool:
    return one.model_dump(exclude={"payments_file"}) == other.model_dump(exclude={"payments_file"})
