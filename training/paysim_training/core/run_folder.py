"""Layout of a run folder and atomic writes into it.

Files and checkpoints are written under a hidden name in the same folder and renamed when complete, so that
an interrupted or moved run folder can always be resumed or evaluated.
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
from paysim_gym.validation_errors import format_errors
from paysim_training.core.config import ConfigError, DistributedConfig, TrainConfig, dump_yaml, parse_config

PACKAGES = ("paysim-gym", "gymnasium", "numpy", "ray", "stable-baselines3", "tensorboard", "torch")


class RunFolderError(ValueError):
    """A run folder that is invalid, in use, or cannot be created."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run, readers of its inputs and writers of its results."""

    path: Path

    @property
    def model(self) -> Path:
        """The trained policy in Stable-Baselines3's format; exists after training."""
        return self.path / "model.zip"

    @property
    def bank_models(self) -> Path:
        """Folder with one ``BANK.zip`` per bank; replaces `model` if policies are separate."""
        return self.path / "models"

    @property
    def distributed(self) -> Path:
        """The `DistributedConfig` as YAML; only in runs of `paysim distributed`."""
        return self.path / "distributed.yaml"

    @property
    def is_trained(self) -> bool:
        """Whether training has finished."""
        return self.model.is_file() or self.bank_models.is_dir()

    @property
    def warm_start(self) -> Path:
        """Demonstrator and agreement of the warm start as JSON, if there was one."""
        return self.path / "warm_start.json"

    @property
    def tree(self) -> Path:
        """The decision tree of `paysim distil`, if it has run."""
        return self.path / "tree.json"

    @property
    def checkpoints(self) -> Path:
        """Folder with one subfolder per checkpoint, named by its timesteps."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard event files."""
        return self.path / "tensorboard"

    @property
    def metrics(self) -> Path:
        """The evaluation as JSON; written last, so its presence marks a complete run."""
        return self.path / "metrics.json"

    @property
    def table(self) -> Path:
        """The evaluation as text."""
        return self.path / "table.txt"

    @property
    def cost_figure(self) -> Path:
        """Figure of the cost under each policy."""
        return self.path / "cost.png"

    @property
    def day_figure(self) -> Path:
        """Figure of one day under the learned policy and under the best rule."""
        return self.path / "day.png"

    @property
    def episodes(self) -> Path:
        """Table of evaluated episodes with one row per policy and seed."""
        return self.path / "episodes.csv"

    def config(self) -> TrainConfig:
        """Reads the resolved configuration; raises RunFolderError if it is missing or invalid."""
        try:
            return parse_config(yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8")))
        except (OSError, yaml.YAMLError, ConfigError) as error:
            raise RunFolderError(f"{self.path} is not a run folder: {error}") from error

    def scenario(self) -> Scenario:
        """Reads the scenario of the run; raises RunFolderError if it is invalid."""
        try:
            return load_scenario(self.path / "scenario.yaml")
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{self.path} is not a run folder: {error}") from error

    def distributed_config(self) -> DistributedConfig:
        """Reads the settings of a distributed run; raises RunFolderError for other runs."""
        try:
            return DistributedConfig.model_validate(yaml.safe_load(self.distributed.read_text("utf-8")))
        except (OSError, yaml.YAMLError, ValidationError) as error:
            reason = format_errors(error, DistributedConfig) if isinstance(error, ValidationError) else error
            raise RunFolderError(f"{self.path} is not a run of paysim distributed: {reason}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the run against other processes and deletes temporary files of killed ones.

        Raises:
            RunFolderError: If another process has locked it.
        """
        with folder_lock(self.path):
            for folder in (self.path, self.checkpoints):
                remove_temporaries(folder)
            yield

    def last_checkpoint(self) -> Path | None:
        """Returns the checkpoint with the most timesteps, or None."""
        found = [folder for folder in self.checkpoints.glob("[0-9]*") if folder.is_dir()]
        return max(found, key=lambda folder: int(folder.name), default=None)

    def save_checkpoint(self, timesteps: int, files: Mapping[str, bytes]) -> None:
        """Writes a checkpoint atomically."""
        with atomic_folder(self.checkpoints / f"{timesteps:012d}") as folder:
            for name, content in files.items():
                write_atomically(folder / name, content)

    def write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        """Writes standard JSON, without NaN or infinity."""
        write_atomically(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())

    def write_episodes(self, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
        """Writes ``episodes.csv``."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        write_atomically(self.episodes, text.getvalue().encode())


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Holds an advisory lock on a folder; raises RunFolderError if it is locked."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(f"{folder}: another process is using this run") from None
        yield
    finally:
        os.close(descriptor)


def create_run_folder(
    out: Path | None,
    name: str,
    config: TrainConfig,
    scenario: Scenario,
    distributed: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Creates the folder of a new run with all inputs that define it.

    Args:
        out: Path of the folder; None for ``runs/<name>-seed<seed>``, with a number appended if it exists.
        name: Name of the configuration.
        config: The resolved configuration.
        scenario: The resolved scenario.
        distributed: Content of ``distributed.yaml``; None for a run without one.

    Raises:
        RunFolderError: If ``out`` exists or cannot be created.
    """
    base = out or Path("runs") / f"{name}-seed{config.seed}"
    path = next((path for path in ([base] if out else _numbered(base)) if not path.exists()), None)
    if path is None:
        raise RunFolderError(
            f"out = {base}: already exists; choose another, or resume it with --resume {base}"
        )
    try:
        with atomic_folder(path) as folder:
            _write_inputs(RunFolder(folder), config, scenario)
            if distributed is not None:
                write_atomically(RunFolder(folder).distributed, dump_yaml(distributed).encode())
    except OSError as error:
        raise RunFolderError(f"cannot create the run folder {path}: {error}") from error
    return RunFolder(path)


def versions() -> dict[str, Any]:
    """Returns command, commit, package versions and machine, for reproducing a result."""
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
        # Paths in a scenario file are relative to it, so the copies keep the run movable.
        original = Path(scenario.payments_file)
        payments = run.path / f"payments{original.suffix}"
        write_atomically(payments, original.read_bytes())
        scenario = scenario.model_copy(update={"payments_file": payments.name})
    scenario = scenario.model_copy(
        update={"agents": tuple(_with_network_copy(run, agent) for agent in scenario.agents)}
    )
    write_atomically(run.path / "config.yaml", dump_yaml(config.model_dump(mode="json")).encode())
    write_atomically(run.path / "scenario.yaml", dump_yaml(scenario.model_dump(mode="json")).encode())
    run.write_json(run.path / "versions.json", versions())
    run.checkpoints.mkdir()
    run.tensorboard.mkdir()


def _with_network_copy(run: RunFolder, agent: Agent) -> Agent:
    """Copies the weights of a bank's network policy, if any, into the run folder."""
    if not isinstance(agent.policy, NetworkPolicy):
        return agent
    copy = run.path / f"network_{agent.id}.safetensors"
    write_atomically(copy, Path(agent.policy.weights).read_bytes())
    return agent.model_copy(update={"policy": agent.policy.model_copy(update={"weights": copy.name})})
