"""Train PPO with RLlib, on one machine or a cluster: ``paysim distributed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import gymnasium
import typer
from pydantic import ValidationError
from rich.console import Console

from paysim_training.core.config import (
    CONFIG_FOLDER,
    ConfigError,
    DistributedConfig,
    TrainConfig,
    load_config,
    parse_config,
)
from paysim_training.core.ray_tasks import cluster
from paysim_training.core.run_folder import RunFolder, RunFolderError, create_run_folder
from paysim_training.core.task import resolve_env
from paysim_training.evaluate import evaluate_run

TASK = "PaySim/TwoBank-v0"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command()
def main(
    task: Annotated[
        str | None,
        typer.Option(help="Id of the environment; the suite's have their configurations.", show_default=TASK),
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="As of paysim_training.train, instead of a task.", show_default=False)
    ] = None,
    bank: Annotated[
        list[str] | None,
        typer.Option(help="A bank that learns; repeat it for several.", show_default="the scenario's"),
    ] = None,
    policies: Annotated[
        Literal["shared", "separate"] | None,
        typer.Option(
            help="Of several banks: one network for all of them, or one for each.", show_default="shared"
        ),
    ] = None,
    num_env_runners: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that play; 0: the learner's own.", show_default="1"),
    ] = None,
    num_envs: Annotated[
        int | None, typer.Option(help="Rows of all env runners together.", show_default="the config's")
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Rollouts to train on, each of all rows.", show_default="the config's"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of network, exploration and training demand.", show_default="the config's"),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of a running Ray cluster, such as auto.", show_default="a Ray of its own, here"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to make.", show_default="runs/TASK-seedSEED, numbered if taken"),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Finish this interrupted run, as it was configured.", show_default=False),
    ] = None,
) -> None:
    r"""Train PPO with RLlib, and compare it with every scripted policy as paysim_training.train does.

    Each env runner plays a share of the rows as one native fleet; the learner is this process. A lost env
    runner is replaced. The run folder is that of paysim_training.train, with RLlib's checkpoints, and
    distributed.yaml; paysim evaluate reads it. --resume takes --address and --num-env-runners.

    [bold]Examples[/bold]

    paysim distributed --num-env-runners 2

    paysim distributed --task PaySim/FiveBank-v0 --bank CORE_A --bank CORE_B --policies separate

    paysim distributed --task PaySim/DeadlineLumps-v0 --num-env-runners 64 --num-envs 65536 \
        --address auto --out /shared/lumps
    """
    console = Console()
    run = None
    try:
        if resume is None:
            chosen = _configure(task, config, bank, num_envs, iterations, seed)
            run = _new_run(chosen, _spread(num_env_runners, policies or "shared"), out)
            num_env_runners = None
        elif any(
            given is not None for given in (task, config, bank, policies, num_envs, iterations, seed, out)
        ):
            raise ConfigError("--resume takes --address and --num-env-runners only: what is learned stays")
        else:
            run = RunFolder(resume)
        _finish(run, console, num_env_runners, address)
    except (ConfigError, RunFolderError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        then = f" Continue with: paysim distributed --resume {run.path}" if run else ""
        console.print(f"Stopped.{then}", soft_wrap=True)
        raise typer.Exit(130) from None
    console.print(f"Everything is in {run.path}. To see how it learned:", soft_wrap=True)
    console.print(f"  tensorboard --logdir {run.tensorboard}", soft_wrap=True)


def _finish(run: RunFolder, console: Console, env_runners: int | None, address: str | None) -> None:
    """Do what a run still lacks: train to the end, and evaluate."""
    run.config(), run.scenario()
    runners = run.distributed_config().env_runners if env_runners is None else env_runners
    with run.locked():
        if not run.is_trained:
            with cluster(address, processors=max(1, runners)):
                from paysim_training.rllib.algorithm import (
                    learn,  # brings RLlib, which --help must not wait for
                )

                learn(run, console, runners)
        evaluate_run(run, console)


def _configure(
    task: str | None,
    config: str | None,
    banks: list[str] | None,
    num_envs: int | None,
    iterations: int | None,
    seed: int | None,
) -> tuple[str, TrainConfig]:
    """A name, and the configuration with everything that the command line says."""
    if task and config:
        raise ConfigError("--task and --config: give one of them")
    name, loaded = (Path(config).stem, load_config(config)) if config else _of_task(task or TASK)
    content = loaded.model_dump(exclude_unset=True)
    if banks:
        env = loaded.env.model_dump()
        env["kwargs"]["learner"] = banks[0] if len(banks) == 1 else banks
        content["env"] = env
    content |= {key: value for key, value in (("num_envs", num_envs), ("seed", seed)) if value is not None}
    chosen = parse_config(content)
    if iterations is not None:
        rollout = chosen.num_envs * chosen.ppo.steps_per_rollout
        chosen = parse_config({**content, "timesteps": iterations * rollout})
    return name, chosen


def _of_task(task: str) -> tuple[str, TrainConfig]:
    """The configuration of a task in the folder of configurations, or the defaults on it."""
    scenario = gymnasium.registry[task].kwargs["scenario"] if task in gymnasium.registry else ""
    path = CONFIG_FOLDER / f"{scenario}.yaml"
    if path.is_file():
        found = load_config(path)
        if found.env.id == task:
            return scenario, found
    return task.rpartition("/")[2], parse_config({"env": {"id": task}})


def _spread(env_runners: int | None, policies: str) -> DistributedConfig:
    try:
        return DistributedConfig.model_validate(
            {"policies": policies, **({} if env_runners is None else {"env_runners": env_runners})}
        )
    except ValidationError as error:
        raise ConfigError(f"num_env_runners = {env_runners}: {error.errors()[0]['msg']}") from None


def _new_run(named: tuple[str, TrainConfig], spread: DistributedConfig, out: Path | None) -> RunFolder:
    name, config = named
    env, scenario = resolve_env(config.env, allow_several_learners=True)
    resolved = config.model_copy(update={"env": env})
    spread.rows_per_runner(resolved)
    return create_run_folder(out, name, resolved, scenario, spread.model_dump())


if __name__ == "__main__":
    app()
