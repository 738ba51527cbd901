"""Training runs of a benchmark: a folder for each task and seed, each finished by its own process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paysim_gym import Scenario
from paysim_gym.evaluation import evaluate
from training.config import TrainConfig
from training.run_folder import RunFolder, RunFolderError, create_run_folder
from training.task import constructor_arguments, resolve_env

_CHECKOUT = Path(__file__).resolve().parent.parent
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
        from training.ppo import LearnedPolicy  # brings torch, which --help must not wait for

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
    running: dict[Path, tuple[Retraining, subprocess.Popen[bytes]]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                started = waiting.pop(0)
                running[started.run.path] = (started, _start(started))
            time.sleep(_POLL_SECONDS)
            for path, (retraining, process) in list(running.items()):
                code = process.poll()
                if code is not None:
                    del running[path]
                    _check_end(retraining, code)
                progress(retraining, code is not None)
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait()


def _start(retraining: Retraining) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "training.train", "--resume", str(retraining.run.path.resolve())]
    with retraining.log.open("wb") as log:
        # Its own session, so that Ctrl-C reaches this process alone, which then stops the others.
        return subprocess.Popen(
            command,
            cwd=_CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _check_end(retraining: Retraining, code: int) -> None:
    if code == 0:
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
