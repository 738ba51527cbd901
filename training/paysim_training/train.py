"""Train PPO and compare it with the scripted policies: ``paysim train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from paysim_training.core.config import ConfigError, load_config
from paysim_training.core.run_folder import RunFolder, RunFolderError, create_run_folder
from paysim_training.core.task import resolve_env

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command()
def main(
    config: Annotated[
        str,
        typer.Option(
            help="A file in training/paysim_training/configs, without .yaml, or the path of your own."
        ),
    ] = "two_bank",
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of network, exploration and training demand.", show_default="the config's"),
    ] = None,
    timesteps: Annotated[
        int | None, typer.Option(help="Ticks to train on, all rows together.", show_default="the config's")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to make.", show_default="runs/CONFIG-seedSEED, numbered if taken"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Finish this interrupted run, as it was configured.", show_default=False),
    ] = None,
) -> None:
    """Train PPO, then print its cost beside every scripted policy's on the same unseen days.

    Without arguments: the bank of PaySim/TwoBank-v0, in under three minutes on two cores.
    All that a run leaves is in one folder, which reproduces it: config.yaml, scenario.yaml (with the
    payments file and the networks that it names, if any), versions.json, model.zip, checkpoints/,
    tensorboard/, episodes.csv, metrics.json, table.txt, cost.png, day.png.

    [bold]Examples[/bold]

    paysim train

    paysim train --seed 1 --timesteps 500000 --out runs/short

    paysim train --resume runs/short

    paysim evaluate runs/short
    """
    console = Console()
    try:
        if resume is None:
            run = _new_run(config, seed, timesteps, out)
        elif (config, seed, timesteps, out) != ("two_bank", None, None, None):
            raise ConfigError("--resume takes no other option: a run is finished as it was configured")
        else:
            run = RunFolder(resume)
        finish(run, console)
    except (ConfigError, RunFolderError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


def finish(run: RunFolder, console: Console) -> None:
    """Do what a run still lacks: train to the end, evaluate, and say where everything is.

    Raises:
        RunFolderError: If the folder is not a run, or another process is at work on it.
    """
    run.config(), run.scenario()
    with run.locked():
        _finish(run, console)
    console.print(f"Everything is in {run.path}. To see how it learned:", soft_wrap=True)
    console.print(f"  tensorboard --logdir {run.tensorboard}", soft_wrap=True)


def _finish(run: RunFolder, console: Console) -> None:
    if run.distributed.is_file() and not run.is_trained:
        raise RunFolderError(
            f"{run.path} was begun by paysim_training.distributed: finish it with "
            f"paysim distributed --resume {run.path}"
        )
    try:
        if not run.is_trained:
            from paysim_training.algorithms.ppo import (
                learn,  # brings torch, which --help and errors must not wait for
            )

            learn(run, console)
        from paysim_training.evaluate import evaluate_run

        evaluate_run(run, console)
    except KeyboardInterrupt:
        console.print(f"Stopped. Continue with: paysim train --resume {run.path}", soft_wrap=True)
        raise typer.Exit(130) from None


def _new_run(config: str, seed: int | None, timesteps: int | None, out: Path | None) -> RunFolder:
    loaded = load_config(config, seed=seed, timesteps=timesteps)
    env, scenario = resolve_env(loaded.env)
    return create_run_folder(out, Path(config).stem, loaded.model_copy(update={"env": env}), scenario)


if __name__ == "__main__":
    app()
