"""``paysim sweep``: search the hyperparameters of a configuration."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from paysim_gym.cli.terminal import ArgumentError, interrupt_hint
from paysim_gym.files import write_atomically
from paysim_training.core.config import ConfigError, dump_yaml
from paysim_training.core.ray_tasks import WorkerLostError, cluster
from paysim_training.studies.sweep.search import best_config, make_sweep, make_table, open_study, search
from paysim_training.studies.sweep.trials import run_trials, run_trials_on_ray

Config = Annotated[
    str, typer.Option(help="Name of a bundled configuration, or a YAML file.", show_default=False)
]
Storage = Annotated[Path, typer.Option(help="SQLite database to create or to resume.", show_default=False)]
Trials = Annotated[int, typer.Option(min=1, help="Number of trials, including those before an interruption.")]
Timesteps = Annotated[
    int | None, typer.Option(help="Training steps of each trial.", show_default="the config's")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the search; training keeps that of the config.")]
Out = Annotated[
    Path | None, typer.Option(help="File for the best configuration.", show_default="STORAGE with .yaml")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue with the trials in the storage.")]
Together = Annotated[
    int, typer.Option(min=1, help="Trials drawn at a time; they do not learn from each other.")
]
OnRay = Annotated[bool, typer.Option("--ray", help="Run the trials that are drawn together in Ray tasks.")]
Address = Annotated[
    str | None,
    typer.Option(help="Address of a running Ray cluster, such as auto; implies --ray.", show_default=False),
]


def sweep(
    *,
    config: Config,
    storage: Storage,
    trials: Trials = 50,
    timesteps: Timesteps = None,
    seed: Seed = 0,
    out: Out = None,
    resume: Resume = False,
    together: Together = 1,
    ray: OnRay = False,
    address: Address = None,
) -> None:
    """Search for better hyperparameters and write the best configuration.

    Trials train on the training seeds and are scored on the tuning days. The first trial is the given
    configuration. A trial is pruned if its cost is above the median of the earlier trials at the same step.
    With --together 8, eight trials are drawn before any of them runs: they use less information, but --ray
    runs them in parallel. Where trials run does not change the results.

    [bold]Examples[/bold]

    paysim sweep --config two_bank --trials 30 --timesteps 500000 --storage sweep.db

    paysim sweep --config two_bank --trials 60 --timesteps 500000 --storage sweep.db --resume

    paysim sweep --config two_bank --trials 64 --together 16 --ray --storage sweep.db
    """
    console = Console()
    best = out or storage.with_suffix(".yaml")
    ray = ray or address is not None
    _check_paths(storage, best, resume=resume)
    with interrupt_hint("Give the same command with --resume to continue."):
        inputs = make_sweep(config, timesteps, seed)
        run_all = run_trials_on_ray if ray else run_trials
        with cluster(address) if ray else nullcontext(), open_study(storage, inputs) as study:
            try:
                search(study, inputs, trials, together, run_all, console)
            except WorkerLostError as error:
                raise ArgumentError(str(error)) from error
            write_atomically(best, dump_yaml(best_config(study, inputs)).encode())
            console.print(make_table(study, inputs))
    console.print(f"The best configuration is in {best}. To train it:", soft_wrap=True)
    console.print(f"  paysim train --config {best}", soft_wrap=True)


def _check_paths(storage: Path, best: Path, *, resume: bool) -> None:
    for name, path in (("storage", storage), ("out", best)):
        if not path.absolute().parent.is_dir():
            raise ConfigError(f"{name} = {str(path)!r}: there is no folder {str(path.parent)!r}")
    if best.absolute() == storage.absolute():
        raise ConfigError(f"out = {str(best)!r}: must not be the storage")
    if storage.exists() and not resume:
        raise ConfigError(f"storage = {str(storage)!r}: already exists; --resume continues it")
    if resume and not storage.is_file():
        raise ConfigError(f"storage = {str(storage)!r}: there is no such file to resume")
