"""``paysim distributed``: train PPO with RLlib, on one machine or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import gymnasium
import typer
from pydantic import ValidationError
from rich.console import Console

from paysim_gym.cli.runner import run_command
from paysim_gym.cli.terminal import interrupt_hint
from paysim_gym.validation_errors import format_error
from paysim_training.core.config import (
    CONFIG_FOLDER,
    ConfigError,
    DistributedConfig,
    TrainConfig,
    load_config,
    parse_config,
)
from paysim_training.core.ray_tasks import cluster
from paysim_training.core.run_folder import RunFolder, create_run_folder
from paysim_training.core.task import resolve_env
from paysim_training.evaluate import evaluate_run
from paysim_training.train import Resume, Seed, print_location

TASK = "PaySim/TwoBank-v1"

Task = Annotated[
    str | None,
    typer.Option(help="Environment id; the tasks of the suite have their own config.", show_default=TASK),
]
Config = Annotated[
    str | None,
    typer.Option(
        help="Name of a bundled configuration, or a YAML file, instead of a task.", show_default=False
    ),
]
Banks = Annotated[
    list[str] | None,
    typer.Option(help="Bank that learns; repeat it for several.", show_default="the scenario's"),
]
Policies = Annotated[
    Literal["shared", "separate"] | None,
    typer.Option(help="One network for all learning banks, or one for each.", show_default="shared"),
]
EnvRunners = Annotated[
    int | None,
    typer.Option(min=0, help="Env runner processes; 0 steps in the learner's process.", show_default="1"),
]
NumEnvs = Annotated[
    int | None,
    typer.Option(help="Environments, summed over all env runners.", show_default="the config's"),
]
Iterations = Annotated[
    int | None,
    typer.Option(min=1, help="Rollouts of all environments to train on.", show_default="the config's"),
]
Address = Annotated[
    str | None,
    typer.Option(help="Address of a running Ray cluster, such as auto.", show_default="a local Ray"),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Run folder to create.", show_default="runs/TASK-seedSEED, numbered if it exists"),
]


def distributed(
    *,
    task: Task = None,
    config: Config = None,
    bank: Banks = None,
    policies: Policies = None,
    num_env_runners: EnvRunners = None,
    num_envs: NumEnvs = None,
    iterations: Iterations = None,
    seed: Seed = None,
    address: Address = None,
    out: Out = None,
    resume: Resume = None,
) -> None:
    r"""Train PPO with RLlib and compare it with every scripted policy.

    Each env runner steps its share of the environments as one native fleet; the learner is this process. A
    lost env runner is restarted. The run folder is that of paysim train, with RLlib's checkpoints and
    distributed.yaml; paysim evaluate reads it. --resume takes --address and --num-env-runners only.

    [bold]Examples[/bold]

    paysim distributed --num-env-runners 2

    paysim distributed --task PaySim/FiveBank-v1 --bank CORE_A --bank CORE_B --policies separate

    paysim distributed --task PaySim/DeadlineLumps-v1 --num-env-runners 64 --num-envs 65536 \
        --address auto --out /shared/lumps
    """
    if resume is None:
        name, chosen = _configure(task, config, bank, num_envs, iterations, seed)
        run = _create_run(name, chosen, _distribution(num_env_runners, policies or "shared"), out)
        num_env_runners = None
    elif any(given is not None for given in (task, config, bank, policies, num_envs, iterations, seed, out)):
        raise ConfigError("--resume takes --address and --num-env-runners only: the config stays the same")
    else:
        run = RunFolder(resume)
    console = Console()
    with interrupt_hint(f"Continue with: paysim distributed --resume {run.path}"):
        _finish(run, console, num_env_runners, address)
    print_location(run, console)


def _finish(run: RunFolder, console: Console, env_runners: int | None, address: str | None) -> None:
    run.config(), run.scenario()
    runners = run.distributed_config().env_runners if env_runners is None else env_runners
    with run.locked():
        if not run.is_trained:
            with cluster(address, processors=max(1, runners)):
                from paysim_training.rllib.algorithm import learn  # RLlib would slow down --help

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
    """Return a name for the run and its configuration, including the options."""
    if task and config:
        raise ConfigError("--task and --config: give one of them")
    name, loaded = (Path(config).stem, load_config(config)) if config else _task_config(task or TASK)
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


def _task_config(task: str) -> tuple[str, TrainConfig]:
    """Return the bundled configuration of a task, or the default one on its environment."""
    scenario = gymnasium.registry[task].kwargs["scenario"] if task in gymnasium.registry else ""
    path = CONFIG_FOLDER / f"{scenario}.yaml"
    if path.is_file():
        found = load_config(path)
        if found.env.id == task:
            return scenario, found
    return task.rpartition("/")[2], parse_config({"env": {"id": task}})


def _distribution(env_runners: int | None, policies: str) -> DistributedConfig:
    try:
        return DistributedConfig.model_validate(
            {"policies": policies, **({} if env_runners is None else {"env_runners": env_runners})}
        )
    except ValidationError as error:
        raise ConfigError(format_error({**error.errors()[0], "loc": ("num_env_runners",)})) from None


def _create_run(
    name: str, config: TrainConfig, distribution: DistributedConfig, out: Path | None
) -> RunFolder:
    env, scenario = resolve_env(config.env, allow_several_learners=True)
    resolved = config.model_copy(update={"env": env})
    distribution.rows_per_runner(resolved)
    return create_run_folder(out, name, resolved, scenario, distribution.model_dump())


if __name__ == "__main__":
    run_command(distributed)
