"""``paysim train``: train PPO and compare it with the scripted policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from paysim_gym.cli.runner import run_command
from paysim_gym.cli.terminal import interrupt_hint
from paysim_training.core.config import ConfigError, load_config
from paysim_training.core.run_folder import RunFolder, RunFolderError, create_run_folder
from paysim_training.core.task import resolve_env

Config = Annotated[str, typer.Option(help="Name of a bundled configuration, or a YAML file.")]
Seed = Annotated[
    int | None,
    typer.Option(help="Seed of network, exploration and training demand.", show_default="the config's"),
]
Timesteps = Annotated[
    int | None,
    typer.Option(help="Training steps, summed over all environments.", show_default="the config's"),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Run folder to create.", show_default="runs/CONFIG-seedSEED, numbered if it exists"),
]
Resume = Annotated[
    Path | None, typer.Option(help="Resume this interrupted run with its own config.", show_default=False)
]


def train(
    *,
    config: Config = "two_bank",
    seed: Seed = None,
    timesteps: Timesteps = None,
    out: Out = None,
    resume: Resume = None,
) -> None:
    """Train PPO and compare it with every scripted policy on unseen days.

    Without arguments it trains the bank of PaySim/TwoBank-v1, in under three minutes on two cores.
    The run folder reproduces the run: config.yaml, scenario.yaml (with the payments file and the networks
    that it names, if any), versions.json, model.zip, checkpoints/, tensorboard/, episodes.csv, metrics.json,
    table.txt, cost.png, day.png.

    [bold]Examples[/bold]

    paysim train

    paysim train --seed 1 --timesteps 500000 --out runs/short

    paysim train --resume runs/short

    paysim evaluate runs/short
    """
    if resume is None:
        run = _create_run(config, seed, timesteps, out)
    elif (config, seed, timesteps, out) != ("two_bank", None, None, None):
        raise ConfigError("--resume takes no other option: a run is resumed with its own config")
    else:
        run = RunFolder(resume)
    finish(run, Console())


def finish(run: RunFolder, console: Console) -> None:
    """Train and evaluate a run; finished steps are skipped.

    Raises:
        RunFolderError: If the folder is not a run, or another process is using it.
    """
    run.config(), run.scenario()
    with run.locked(), interrupt_hint(f"Continue with: paysim train --resume {run.path}"):
        if run.distributed.is_file() and not run.is_trained:
            raise RunFolderError(
                f"{run.path} was started by paysim distributed: resume it with "
                f"paysim distributed --resume {run.path}"
            )
        if not run.is_trained:
            from paysim_training.algorithms.ppo import learn  # torch would slow down --help

            learn(run, console)
        from paysim_training.evaluate import evaluate_run

        evaluate_run(run, console)
    print_location(run, console)


def print_location(run: RunFolder, console: Console) -> None:
    """Print the run folder and the command that shows the learning curves."""
    console.print(f"Everything is in {run.path}. To see how it learned:", soft_wrap=True)
    console.print(f"  tensorboard --logdir {run.tensorboard}", soft_wrap=True)


def _create_run(config: str, seed: int | None, timesteps: int | None, out: Path | None) -> RunFolder:
    loaded = load_config(config, seed=seed, timesteps=timesteps)
    env, scenario = resolve_env(loaded.env)
    return create_run_folder(out, Path(config).stem, loaded.model_copy(update={"env": env}), scenario)


if __name__ == "__main__":
    run_command(train)
