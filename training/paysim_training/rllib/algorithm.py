"""PPO from RLlib on fleets in many processes: the algorithm, its training, and the models it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_LEARNER_GROUP, COMPONENT_RL_MODULE
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME
from rich.console import Console
from stable_baselines3.common.logger import Logger, configure
from torch.utils.tensorboard.writer import SummaryWriter

from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym.files import write_atomically
from paysim_training.algorithms.callbacks import EPISODE_SCALARS, model_files, segment_seed
from paysim_training.algorithms.imitation import imitate
from paysim_training.algorithms.ppo import make_env, make_model, make_progress, policy_arguments
from paysim_training.core.config import ConfigError, DistributedConfig, TrainConfig
from paysim_training.core.run_folder import RunFolder
from paysim_training.core.task import constructor_arguments
from paysim_training.rllib.fleet_runner import EPISODES, SECONDS, FleetEnvRunner
from paysim_training.rllib.module import POLICY, QueueModule
from paysim_training.rllib.rollout import RolloutLearner, RolloutsToBatch

SHARED = "shared"
"""Name of the policy of all learners, where they have one."""
_PROBE_SECONDS = 5.0

# TensorBoard name, as Stable-Baselines3 has it -> name in the learner's results.
_LEARNER_SCALARS = {
    "train/loss": "total_loss",
    "train/policy_gradient_loss": "policy_loss",
    "train/value_loss": "vf_loss",
    "train/explained_variance": "vf_explained_var",
    "train/learning_rate": "default_optimizer_learning_rate",
}


def learn(run: RunFolder, console: Console, env_runners: int | None = None) -> None:
    """Train to the configured timesteps, from the last whole checkpoint if there is one; save the models.

    Args:
        run: The run; its config, scenario and spread say what to do.
        console: Where the progress bar goes.
        env_runners: How many to use instead of those it was begun with.

    Raises:
        ConfigError: If the rows cannot be divided among that many.
    """
    config, spread = run.config(), run.distributed_config()
    if env_runners is not None:
        spread = spread.model_copy(update={"env_runners": env_runners})
    torch.set_num_threads(config.torch_threads)
    algorithm = algorithm_config(config, run.scenario(), spread).build_algo()
    try:
        _train(algorithm, run, config, console)
        _save_models(algorithm, run, config)
    finally:
        algorithm.stop()
        with suppress(OSError):
            Path(algorithm.logdir).rmdir()  # RLlib makes it, and here nothing is written there


def algorithm_config(config: TrainConfig, scenario: Scenario, spread: DistributedConfig) -> PPOConfig:
    """RLlib's configuration of a run.

    Raises:
        ConfigError: If the rows cannot be divided among the env runners, or actions are no slots.
    """
    arguments = {**constructor_arguments(config.env), "scenario": scenario}
    named = arguments.get("learner")
    example = PaymentVectorEnv(len(named) if isinstance(named, list) else 1, **arguments)
    if example.settings.action_mode != "slots":
        raise ConfigError(f"action_mode = {example.settings.action_mode!r}: only slots can be learned here")
    policies = _policies(spread, example.learners)
    if spread.env_runners:
        arguments.setdefault("num_threads", 1)
    rows = spread.rows_per_runner(config)
    ppo = config.ppo
    spec = RLModuleSpec(
        module_class=QueueModule,
        observation_space=example.single_observation_space,
        action_space=example.single_action_space,
        model_config={POLICY: policy_arguments(config, example.settings.slots)},
    )
    settings = (
        PPOConfig()
        .environment(
            "paysim_gym:PaySim/Bank-v0",
            env_config={
                "arguments": arguments,
                "steps": ppo.steps_per_rollout,
                "discount": ppo.discount,
                "policies": policies,
                "seed": segment_seed(config, 0),
                "rows_per_seed": ppo.rows_per_seed,
            },
            disable_env_checking=True,
        )
        .env_runners(
            env_runner_cls=FleetEnvRunner,
            num_env_runners=spread.env_runners,
            num_envs_per_env_runner=rows,
            rollout_fragment_length=ppo.steps_per_rollout,
            # Without connectors they have no states to exchange.
            merge_env_runner_states=False,
            broadcast_env_runner_states=False,
        )
        .multi_agent(policies=set(policies), policy_mapping_fn=partial(_policy_of, policies=set(policies)))
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=dict.fromkeys(policies, spec)))
        .fault_tolerance(restart_failed_env_runners=True, env_runner_health_probe_timeout_s=_PROBE_SECONDS)
        .callbacks(on_env_runners_recreated=partial(_start_again, config=config))
        .debugging(seed=segment_seed(config, 0), log_level="ERROR")
    )
    return _with_learning(settings, config, len(policies))


def _policies(spread: DistributedConfig, banks: Sequence[str]) -> dict[str, int | None]:
    """Name of each policy to the number of its bank; None if it decides for all."""
    if spread.policies == "shared":
        return {SHARED: None}
    return {bank: number for number, bank in enumerate(banks)}


def _with_learning(settings: PPOConfig, config: TrainConfig, policies: int) -> PPOConfig:
    ppo, end = config.ppo, config.timesteps
    return settings.training(
        lr=[[0, ppo.learning_rate], [end, ppo.final_learning_rate]],
        gamma=ppo.discount,
        lambda_=ppo.gae_lambda,
        clip_param=ppo.clip_range,
        vf_clip_param=float("inf"),
        vf_loss_coeff=ppo.value_coefficient,
        entropy_coeff=[[0, ppo.entropy_coefficient], [end, ppo.final_entropy_coefficient]],
        use_kl_loss=False,
        grad_clip=ppo.max_gradient_norm,
        grad_clip_by="global_norm",
        num_epochs=ppo.epochs,
        # RLlib takes so many of each policy, which has its share of the rows.
        minibatch_size=max(2, ppo.batch_size // policies),
        train_batch_size_per_learner=config.num_envs * ppo.steps_per_rollout,
    ).learners(
        num_learners=0,
        learner_class=RolloutLearner,
        learner_config_dict={"adam_epsilon": ppo.adam_epsilon},
        learner_connector=partial(
            _connector,
            discount=ppo.discount,
            gae_lambda=ppo.gae_lambda,
            rows_per_seed=ppo.rows_per_seed,
            learners=config.env.num_learners // policies,
        ),
        add_default_connectors_to_learner_pipeline=False,
    )


def _connector(_observations: Any, _actions: Any, **settings: Any) -> RolloutsToBatch:
    return RolloutsToBatch(**settings)


def _policy_of(bank: str, *_: Any, policies: set[str], **__: Any) -> str:
    return bank if bank in policies else SHARED


def _start_again(*, algorithm: PPO, env_runner_indices: list[int], config: TrainConfig, **_: Any) -> None:
    """Give env runners that replace lost ones days that have not been played."""
    seed = segment_seed(config, timesteps_of(algorithm))
    algorithm.env_runner_group.foreach_env_runner(
        lambda env_runner: env_runner.start(seed),
        remote_worker_ids=env_runner_indices,
        local_env_runner=False,
    )


def timesteps_of(algorithm: PPO) -> int:
    """Steps of all rows since the beginning of the run."""
    return int(algorithm.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0))


def _train(algorithm: PPO, run: RunFolder, config: TrainConfig, console: Console) -> None:
    checkpoint = run.last_checkpoint()
    if checkpoint is not None:
        algorithm.restore_from_path(str(checkpoint.absolute()))
    elif config.warm_start is not None:
        with console.status(f"Imitating {config.warm_start.policy} on {config.warm_start.days} days"):
            _warm_start(algorithm, run, config)
    done = timesteps_of(algorithm)
    # Tells TensorBoard to forget what an interrupted run wrote after its last checkpoint.
    SummaryWriter(str(run.tensorboard), purge_step=done + 1).close()
    logger = configure(str(run.tensorboard), ["tensorboard"])
    next_checkpoint = _start_segment(algorithm, config)
    try:
        with make_progress(console) as progress:
            bar = progress.add_task("Training", total=config.timesteps, completed=done, cost="?")
            while done < config.timesteps:
                if done >= next_checkpoint:
                    with run.new_folder(run.checkpoints / f"{done:012d}") as folder:
                        algorithm.save_to_path(str(folder.absolute()))
                    next_checkpoint = _start_segment(algorithm, config)
                result = algorithm.train()
                done = timesteps_of(algorithm)
                cost = _log(logger, result, done)
                progress.update(bar, completed=done)
                if cost is not None:
                    progress.update(bar, cost=f"{cost / 100:,.2f}")
    finally:
        logger.close()


def _start_segment(algorithm: PPO, config: TrainConfig) -> int:
    """Begin the stretch after a checkpoint from nothing but the checkpoint; where the next one is due."""
    done = timesteps_of(algorithm)
    seed = segment_seed(config, done)
    np.random.seed(seed)  # by which RLlib shuffles minibatches
    algorithm.env_runner_group.foreach_env_runner(lambda env_runner: env_runner.start(seed))
    return done + config.checkpoint_every


def _warm_start(algorithm: PPO, run: RunFolder, config: TrainConfig) -> None:
    env = make_env(config, run.scenario())
    model = make_model(config, env)
    run.write_json(run.warm_start, imitate(model, config, run.scenario()))
    weights = {f"policy.{name}": values.numpy() for name, values in model.policy.state_dict().items()}
    policies = list(algorithm.config.policies)
    learned = {COMPONENT_RL_MODULE: dict.fromkeys(policies, weights)}
    # RLlib's set_weights asks an env runner for a method that those of its current API do not have.
    algorithm.set_state({COMPONENT_LEARNER_GROUP: {COMPONENT_LEARNER: learned}})
    # The critic has learned in the units that these rewards have.
    moments = model.get_vec_normalize_env().ret_rms
    algorithm.learner_group.foreach_learner(
        lambda learner: learner.normalisers.update({policy: moments.copy() for policy in policies})
    )
    env.close()


def _log(logger: Logger, result: Mapping[str, Any], timesteps: int) -> float | None:
    """Write what an iteration brought to TensorBoard; the mean cost of its episodes, if any ended."""
    played = result.get(ENV_RUNNER_RESULTS, {})
    sums: dict[str, float] = {}
    for bank, figures in played.get(EPISODES, {}).items():
        if not figures["count"] > 0:  # NaN, if no episode has ended since the last time
            continue
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) + value
        if len(played[EPISODES]) > 1:
            logger.record(f"bank_cost_cents/{bank}", figures["cost"] / figures["count"])
    count = sums.get("count", 0)
    if count:
        for name, key in {"episode/reward": "reward", **EPISODE_SCALARS}.items():
            logger.record(name, sums[key] / count)
    seconds = played.get(SECONDS, {})
    if seconds:
        for part in ("environment", "policy"):
            logger.record(f"time/{part}_share", seconds[part] / seconds["all"])
    learned = {
        name: found for name, found in result.get(LEARNER_RESULTS, {}).items() if "policy_loss" in found
    }
    for policy, figures in learned.items():
        where = "" if len(learned) == 1 else f"/{policy}"
        for name, key in _LEARNER_SCALARS.items():
            logger.record(f"{name}{where}", float(figures[key]))
        logger.record(f"train/entropy_loss{where}", -float(figures["entropy"]))
    logger.dump(timesteps)
    return sums["cost"] / count if count else None


def _save_models(algorithm: PPO, run: RunFolder, config: TrainConfig) -> None:
    """Save each policy as Stable-Baselines3 would, had it trained it."""
    env = make_env(config, run.scenario())
    models = {}
    for policy in algorithm.config.policies:
        model = make_model(config, env)
        model.policy.load_state_dict(algorithm.get_module(policy).policy.state_dict())
        model.num_timesteps = timesteps_of(algorithm)
        models[policy] = model_files(model)["model.zip"]
    env.close()
    if SHARED in models:
        write_atomically(run.model, models[SHARED])
        return
    with run.new_folder(run.bank_models) as folder:
        for bank, content in models.items():
            write_atomically(Path(folder) / f"{bank}.zip", content)
