"""Training runs of a benchmark: a folder for each task and seed, each finished by its own process."""

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
class Retraining:
    """A run of a benchmark.

    Attributes:
        task: The id of the environment.
        run: Its folder, there once it has been prepared.
        config: What it trains.
    """

    task: str
    run: RunFolder
    config: TrainConfig

    @property
    def is_finished(self) -> bool:
        """Whether it has been trained and evaluated."""
        return self.run.metrics.is_file()

    @property
    def log(self) -> Path:
        """What its process says; beside the folder, which another process may hold."""
        return self.run.path.with_name(f"{self.run.path.name}.log")

    def prepare(self) -> None:
        """Make the folder, or check that the one that is there is of this configuration.

        Raises:
            RunFolderError: If it is of another one, or cannot be made.
            ConfigError: If the environment refuses its arguments.
        """
        env, scenario = resolve_env(self.config.env)
        config = self.config.model_copy(update={"env": env})
        if not self.run.path.exists():
            create_run_folder(self.run.path, self.run.path.name, config, scenario)
        elif not (_same(config, self.run.config()) and _same_system(scenario, self.run.scenario())):
            raise RunFolderError(
                f"{self.run.path} is of another configuration or scenario: remove it, or choose another --out"
            )

    def timesteps_done(self) -> int:
        """The timesteps of its last checkpoint, or all of them once the model is there."""
        if self.run.model.is_file():
            return self.config.timesteps
        last = self.run.last_checkpoint()
        return int(last.name) if last else 0

    def costs_cents(self, days: Sequence[int]) -> NDArray[np.int64]:
        """What the trained policy costs on each day: an array of shape (days,).

        Raises:
            RunFolderError: If it has not been trained.
        """
        from paysim_training.algorithms.ppo import (
            LearnedPolicy,  # brings torch, which --help must not wait for
        )

        learned = LearnedPolicy(self.run)
        arguments = constructor_arguments(self.run.config().env)
        return evaluate(lambda env: learned, self.run.scenario(), days, **arguments).cost


def finish_all(
    retrainings: Sequence[Retraining], processes: int, progress: Callable[[Retraining, bool], None]
) -> None:
    """Train and evaluate what is not finished, several at a time, each in a process of its own.

    Args:
        retrainings: Prepared runs.
        processes: How many at a time.
        progress: Called a few times a second with each that is under way, and whether it has just ended.

    Raises:
        RunFolderError: If one fails; the others are stopped, and go on from their checkpoints next time.
    """
    waiting = [retraining for retraining in retrainings if not retraining.is_finished]
    running: list[tuple[Retraining, SpawnProcess]] = []
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                running.append((waiting[0], _start(waiting.pop(0))))
            time.sleep(_POLL_SECONDS)
            for retraining, process in running:
                progress(retraining, not process.is_alive())
            for retraining, process in running:
                _check(retraining, process.exitcode)
            running = [pair for pair in running if pair[1].exitcode is None]
    finally:
        for _, process in running:
            process.terminate()
        for _, process in running:
            process.join()


def finish_all_on_ray(
    retrainings: Sequence[Retraining], progress: Callable[[Retraining, bool], None]
) -> None:
    """Train and evaluate what is not finished, each in a Ray task; the folders must be where all can write.

    A run whose worker is lost goes on from its last checkpoint in another one.

    Args:
        retrainings: Prepared runs.
        progress: As of `finish_all`.

    Raises:
        RunFolderError: If one fails or is lost too often; the others are stopped, and go on from their
            checkpoints next time.
    """
    waiting = {
        number: retraining for number, retraining in enumerate(retrainings) if not retraining.is_finished
    }
    numbers = list(waiting)

    def watch() -> None:
        for retraining in waiting.values():
            progress(retraining, False)

    jobs = [
        replace(waiting[number], run=RunFolder(waiting[number].run.path.absolute())) for number in numbers
    ]
    threads = max((job.config.torch_threads for job in jobs), default=1)
    try:
        for job, code in map_jobs(_work_on_ray, jobs, processors=threads, on_poll=watch):
            ended = waiting.pop(numbers[job])
            _check(ended, code)
            progress(ended, True)
    except WorkerLostError as error:
        raise RunFolderError(str(error)) from error


def costs_on_ray(retrainings: Sequence[Retraining], days: Sequence[int]) -> list[NDArray[np.int64]]:
    """What each trained policy costs on each day, an array of shape (days,); each in a Ray task.

    Raises:
        RunFolderError: If one is lost too often.
    """
    jobs = [replace(one, run=RunFolder(one.run.path.absolute())) for one in retrainings]
    threads = max(job.config.torch_threads for job in jobs)
    try:
        found = dict(map_jobs(partial(_costs, days=days), jobs, processors=threads))
    except WorkerLostError as error:
        raise RunFolderError(str(error)) from error
    return [found[number] for number in range(len(jobs))]


def _costs(retraining: Retraining, days: Sequence[int]) -> NDArray[np.int64]:
    return retraining.costs_cents(days)


def _work_on_ray(retraining: Retraining) -> int:
    """Finish a run; 1 if it failed, as its log tells."""
    if not retraining.run.path.is_dir():
        raise RunFolderError(
            f"{retraining.run.path} is not there on a worker's machine: choose a folder that all share"
        )
    try:
        _finish_with_log(retraining.run, retraining.log)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def _start(retraining: Retraining) -> SpawnProcess:
    process = get_context("spawn").Process(target=_work, args=(retraining.run, retraining.log))
    process.start()
    return process


def _work(run: RunFolder, log: Path) -> None:
    """Finish a run, in a process that dies with the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other one gets it, too, and stops this one
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _finish_with_log(run, log)


def _finish_with_log(run: RunFolder, log: Path) -> None:
    with log.open("w", encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            finish(run, Console(file=file))
        except Exception:
            traceback.print_exc()
            file.flush()
            sys.exit(1)


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _check(retraining: Retraining, code: int | None) -> None:
    if not code:
        return
    lines = retraining.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    raise RunFolderError(f"{retraining.run.path}: training ended with code {code}: {last} ({retraining.log})")


def _same(one: TrainConfig, other: TrainConfig) -> bool:
    """Whether two configurations train the same; days of evaluation and tuning may differ."""
    excluded = {"description", "evaluation", "tuning"}
    return one.model_dump(exclude=excluded) == other.model_dump(exclude=excluded)


def _same_system(one: Scenario, other: Scenario) -> bool:
    return one.model_dump(exclude={"payments_file"}) == other.model_dump(exclude={"payments_file"})
