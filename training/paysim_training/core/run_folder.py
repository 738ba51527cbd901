"""The folder of one run: what lies where, and how it is written so that nothing is ever half there.

Every file and checkpoint is written beside its place under a hidden name and renamed when whole. A folder
that is there under its final name can be resumed or evaluated, wherever it was interrupted or moved to.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from paysim_gym import Scenario, load_scenario
from paysim_gym.files import atomic_folder, remove_temporaries, write_atomically
from paysim_gym.provenance import has_uncommitted_changes, source_commit
from paysim_gym.scenario import Agent
from paysim_gym.scenario.policies import NetworkPolicy
from paysim_training.core.config import ConfigError, DistributedConfig, TrainConfig, dump_yaml, parse_config

PACKAGES = ("paysim-gym", "gymnasium", "numpy", "ray", "stable-baselines3", "tensorboard", "torch")


class RunFolderError(ValueError):
    """A folder that is not a run, or a place where no run can be made."""


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run, its inputs read back, and its results written."""

    path: Path

    @property
    def model(self) -> Path:
        """The trained policy, as Stable-Baselines3 saves it; there once training has ended."""
        return self.path / "model.zip"

    @property
    def bank_models(self) -> Path:
        """Instead of `model`, where each bank learned a policy of its own: ``BANK.zip`` for each."""
        return self.path / "models"

    @property
    def distributed(self) -> Path:
        """How the run is spread, as YAML; only if `paysim_training.distributed` began it."""
        return self.path / "distributed.yaml"

    @property
    def is_trained(self) -> bool:
        """Whether training has ended."""
        return self.model.is_file() or self.bank_models.is_dir()

    @property
    def warm_start(self) -> Path:
        """Who was imitated before training and how closely, as JSON; only if someone was."""
        return self.path / "warm_start.json"

    @property
    def tree(self) -> Path:
        """The decision tree distilled from the trained policy; only once `paysim_training.distil` made it."""
        return self.path / "tree.json"

    @property
    def checkpoints(self) -> Path:
        """One folder a checkpoint, named by its timesteps."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """The event files."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        """The evaluation as JSON; written last, so where it is, the run is complete."""
        return self.path / "metrics.json"

    @property
    def table(self) -> Path:
        """The evaluation as text."""
        return self.path / "table.txt"

    @property
    def cost_figure(self) -> Path:
        """What a day costs under each policy, drawn."""
        return self.path / "cost.png"

    @property
    def day_figure(self) -> Path:
        """A day of the learned policy beside the same day under the best rule, drawn."""
        return self.path / "day.png"

    @property
    def episodes(self) -> Path:
        """Every evaluated episode: one row for each policy and seed."""
        return self.path / "episodes.csv"

    def config(self) -> TrainConfig:
        """Read the resolved configuration.

        Raises:
            RunFolderError: If there is none, or it is not valid.
        """
        try:
            return parse_config(yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError, ConfigError) as error:
            raise RunFolderError(f"{self.path} is not a run folder: {error}") from error

    def scenario(self) -> Scenario:
        """Read the scenario that the run was trained on.

        Raises:
            RunFolderError: If there is none, or it is not valid.
        """
        try:
            return load_scenario(self.path / "scenario.yaml")
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{self.path} is not a run folder: {error}") from error

    def spread(self) -> DistributedConfig:
        """Read how the run is spread.

        Raises:
            RunFolderError: If it was not begun by `paysim_training.distributed`.
        """
        try:
            return DistributedConfig.model_validate(yaml.safe_load(self.distributed.read_text("utf-8")))
        except (OSError, yaml.YAMLError, ValidationError) as error:
            raise RunFolderError(f"{self.path} is no run of paysim_training.distributed: {error}") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other process off the run, and clear away what a killed one left half-written.

        Raises:
            RunFolderError: If another process holds it.
        """
        with alone_in(self.path):
            for folder in (self.path, self.checkpoints):
                remove_temporaries(folder)
            yield

    def last_checkpoint(self) -> Path | None:
        """The checkpoint with the most timesteps, if there is one."""
        found = [folder for folder in self.checkpoints.glob("[0-9]*") if folder.is_dir()]
        return max(found, key=lambda folder: int(folder.name), default=None)

    def save_checkpoint(self, timesteps: int, files: Mapping[str, bytes]) -> None:
        """Write a checkpoint: all of its files, or none."""
        with atomic_folder(self.checkpoints / f"{timesteps:012d}") as folder:
            for name, content in files.items():
                write_atomically(folder / name, content)

    def write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write JSON that any reader accepts: no NaN, no infinity."""
        write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())

    def write_episodes(self, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
        """Write ``episodes.csv``."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        write_atomically(self.episodes, text.getvalue().encode())


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep every other process that asks for it out of a folder.

    Raises:
        RunFolderError: If another process has it.
    """
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(f"{folder}: another process is at work on this run") from None
        yield
    finally:
        os.close(opened)


def create_run_folder(
    out: Path | None,
    name: str,
    config: TrainConfig,
    scenario: Scenario,
    distributed: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Make the folder of a new run with everything that defines it.

    Args:
        out: Where; None for ``runs/<name>-seed<seed>``, numbered up if that is taken.
        name: The configuration's name.
        config: What to train, resolved.
        scenario: What to train on, resolved.
        distributed: The content of ``distributed.yaml``, if there is to be one.

    Raises:
        RunFolderError: If ``out`` exists, or cannot be made.
    """
    base = out or Path("runs") / f"{name}-seed{config.seed}"
    path = next((path for path in ([base] if out else _numbered(base)) if not path.exists()), None)
    if path is None:
        raise RunFolderError(
            f"out = {base}: exists already; choose another, or continue it with --resume {base}"
        )
    try:
        with atomic_folder(path) as folder:
            _write_inputs(RunFolder(folder), config, scenario)
            if distributed is not None:
                write_atomically(RunFolder(folder).distributed, dump_yaml(distributed).encode())
    except OSError as error:
        raise RunFolderError(f"cannot make the run folder {path}: {error}") from error
    return RunFolder(path)


def versions() -> dict[str, Any]:
    """What produced a result, for whoever wants to produce it again: command, commit, packages, machine."""
    return {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "commit": source_commit(),
        "uncommitted_changes": has_uncommitted_changes(),
        "packages": _versions_of(PACKAGES),
    }


def _versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Of those that are installed: Ray need not be."""
    installed = {}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed


def _numbered(base: Path) -> Iterable[Path]:
    yield base
    for number in range(2, 10_000):
        yield base.with_name(f"{base.name}-{number}")


def _write_inputs(run: RunFolder, config: TrainConfig, scenario: Scenario) -> None:
    if scenario.payments_file is not None:
        # A scenario file names other files relative to its folder, so that the run can be moved.
        original = Path(scenario.payments_file)
        payments = run.path / f"payments{original.suffix}"
        write_atomically(payments, original.read_bytes())
        scenario = scenario.model_copy(update={"payments_file": payments.name})
    scenario = scenario.model_copy(
        update={"agents": tuple(_own_network(run, agent) for agent in scenario.agents)}
    )
    write_atomically(run.path / "config.yaml", dump_yaml(config.model_dump(mode="json")).encode())
    write_atomically(run.path / "scenario.yaml", dump_yaml(scenario.model_dump(mode="json")).encode())
    run.write_json(run.path / "versions.json", versions())
    run.checkpoints.mkdir()
    run.tensorboard.mkdir()


def _own_network(run: RunFolder, agent: Agent) -> Agent:
    """The bank, playing a copy of its network in the run's folder, if a network plays it."""
    if not isinstance(agent.policy, NetworkPolicy):
        return agent
    copy = run.path / f"network_{agent.id}.safetensors"
    write_atomically(copy, Path(agent.policy.weights).read_bytes())
    return agent.model_copy(update={"policy": agent.policy.model_copy(update={"weights": copy.name})})
