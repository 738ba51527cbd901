"""Distributed PPO: the RLlib configuration, the training loop and the saved models."""

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
from paysim_gym.files import atomic_folder, write_atomically
from paysim_training.algorithms.callbacks import EPISODE_SCALARS, model_files, segment_seed
from paysim_training.algorithms.imitation import imitate
from paysim_training.algorithms.ppo import (
    check_trainable,
    make_env,
    make_model,
    make_progress,
    policy_arguments,
)
from paysim_training.core.config import DistributedConfig, TrainConfig
from paysim_training.core.run_folder import RunFolder
from paysim_training.core.task import constructor_arguments
from paysim_training.rllib.fleet_runner import EPISODES, SECONDS, FleetEnvRunner
from paysim_training.rllib.module import QUEUE_POLICY, QueueModule
from paysim_training.rllib.rollout import RolloutLearner, RolloutsToBatch

SHARED = "shared"
"""Name of a policy that all learners share."""
_PROBE_SECONDS = 5.0

# Stable-Baselines3's TensorBoard name -> key in the learner's results.
_LEARNER_SCALARS = {
    "train/loss": "total_loss",
    "train/policy_gradient_loss": "policy_loss",
    "train/value_loss": "vf_loss",
    "train/explained_variance": "vf_explained_var",
    "train/learning_rate": "default_optimizer_learning_rate",
}


def learn(run: RunFolder, console: Console, env_runners: int | None = None) -> None:
    """Train to the configured timesteps and save the models.

    Training resumes from the last checkpoint, if there is one.

    Args:
        run: The run folder, with its config, scenario and distribution.
        console: Receives the progress bar.
        env_runners: Overrides the run's number of env runners.

    Raises:
        ConfigError: If the rows cannot be divided among that many env runners.
    """
    config, distribution = run.config(), run.distributed_config()
    if env_runners is not None:
        distribution = distribution.model_copy(update={"env_runners": env_runners})
    torch.set_num_threads(config.torch_threads)
    algorithm = algorithm_config(config, run.scenario(), distribution).build_algo()
    try:
        _train(algorithm, run, config, console)
        _save_models(algorithm, run, config)
    finally:
        algorithm.stop()
        with suppress(OSError):
            Path(algorithm.logdir).rmdir()  # RLlib creates it, and nothing is written to it


def algorithm_config(config: TrainConfig, scenario: Scenario, distribution: DistributedConfig) -> PPOConfig:
    """Build RLlib's configuration of a run.

    Raises:
        ConfigError: If the rows cannot be divided among the env runners, or the policy cannot express the
            actions.
    """
    arguments = {**constructor_arguments(config.env), "scenario": scenario}
    named = arguments.get("learner")
    example = PaymentVectorEnv(len(named) if isinstance(named, list) else 1, **arguments)
    check_trainable(example.settings)
    policies = _policies(distribution, example.learners)
    if distribution.env_runners:
        arguments.setdefault("num_threads", 1)
    rows = distribution.rows_per_runner(config)
    ppo = config.ppo
    spec = module_spec(config, example)
    settings = (
        PPOConfig()
        .environment(
            "paysim_gym:PaySim/Bank-v1",
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
            num_env_runners=distribution.env_runners,
            num_envs_per_env_runner=rows,
            rollout_fragment_length=ppo.steps_per_rollout,
            # Without connectors, env runners have no state to merge or broadcast.
            merge_env_runner_states=False,
            broadcast_env_runner_states=False,
        )
        .multi_agent(policies=set(policies), policy_mapping_fn=partial(_policy_name, policies=set(policies)))
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=dict.fromkeys(policies, spec)))
        .fault_tolerance(restart_failed_env_runners=True, env_runner_health_probe_timeout_s=_PROBE_SECONDS)
        .callbacks(on_env_runners_recreated=partial(_reset_recreated, config=config))
        .debugging(seed=segment_seed(config, 0), log_level="ERROR")
    )
    return _with_ppo(settings, config, len(policies))


def module_spec(config: TrainConfig, env: PaymentVectorEnv) -> RLModuleSpec:
    """The policy network of a run, for the spaces of an environment."""
    return RLModuleSpec(
        module_class=QueueModule,
        observation_space=env.single_observation_space,
        action_space=env.single_action_space,
        model_config={QUEUE_POLICY: policy_arguments(config, env.settings.slots)},
    )


def _policies(distribution: DistributedConfig, banks: Sequence[str]) -> dict[str, int | None]:
    """Policy name -> index of its learner, or None for all learners."""
    if distribution.policies == "shared":
        return {SHARED: None}
    return {bank: index for index, bank in enumerate(banks)}


def _with_ppo(settings: PPOConfig, config: TrainConfig, policies: int) -> PPOConfig:
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
        # RLlib draws minibatches per policy, and each policy has only its share of the rows.
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


def _policy_name(bank: str, *_: Any, policies: set[str], **__: Any) -> str:
    return bank if bank in policies else SHARED


def _reset_recreated(*, algorithm: PPO, env_runner_indices: list[int], config: TrainConfig, **_: Any) -> None:
    seed = segment_seed(config, timesteps_of(algorithm))
    algorithm.env_runner_group.foreach_env_runner(
        lambda env_runner: env_runner.reset_fleet(seed),
        remote_worker_ids=env_runner_indices,
        local_env_runner=False,
    )


def timesteps_of(algorithm: PPO) -> int:
    """Timesteps of all rows since the start of the run."""
    return int(algorithm.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0))


def _train(algorithm: PPO, run: RunFolder, config: TrainConfig, console: Console) -> None:
    checkpoint = run.last_checkpoint()
    if checkpoint is not None:
        algorithm.restore_from_path(str(checkpoint.absolute()))
    elif config.warm_start is not None:
        with console.status(f"Imitating {config.warm_start.policy} on {config.warm_start.days} days"):
            _warm_start(algorithm, run, config)
    done = timesteps_of(algorithm)
    # Makes TensorBoard discard what an interrupted run wrote after its last checkpoint.
    SummaryWriter(str(run.tensorboard), purge_step=done + 1).close()
    logger = configure(str(run.tensorboard), ["tensorboard"])
    next_checkpoint = _start_segment(algorithm, config)
    try:
        with make_progress(console) as progress:
            bar = progress.add_task("Training", total=config.timesteps, completed=done, cost="?")
            while done < config.timesteps:
                if done >= next_checkpoint:
                    with atomic_folder(run.checkpoints / f"{done:012d}") as folder:
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
    """Reseed everything reproducibly, and return the timestep of the next checkpoint."""
    done = timesteps_of(algorithm)
    seed = segment_seed(config, done)
    np.random.seed(seed)  # RLlib shuffles minibatches with NumPy's global generator
    algorithm.env_runner_group.foreach_env_runner(lambda env_runner: env_runner.reset_fleet(seed))
    return done + config.checkpoint_every


def _warm_start(algorithm: PPO, run: RunFolder, config: TrainConfig) -> None:
    env = make_env(config, run.scenario())
    model = make_model(config, env)
    run.write_json(run.warm_start, imitate(model, config, run.scenario()))
    weights = {f"policy.{name}": values.numpy() for name, values in model.policy.state_dict().items()}
    policies = list(algorithm.config.policies)
    learned = {COMPONENT_RL_MODULE: dict.fromkeys(policies, weights)}
    # Algorithm.set_weights calls a method that env runners of the current API stack lack.
    algorithm.set_state({COMPONENT_LEARNER_GROUP: {COMPONENT_LEARNER: learned}})
    # The critic was fitted to returns scaled by these moments.
    normaliser = model.get_vec_normalize_env()
    assert normaliser is not None
    moments = normaliser.ret_rms
    algorithm.learner_group.foreach_learner(
        lambda learner: learner.normalisers.update({policy: moments.copy() for policy in policies})
    )
    env.close()


def _log(logger: Logger, result: Mapping[str, Any], timesteps: int) -> float | None:
    """Log an iteration to TensorBoard, and return the mean cost in cents, if any."""
    sampled = result.get(ENV_RUNNER_RESULTS, {})
    cost = _log_episodes(logger, sampled.get(EPISODES, {}))
    seconds = sampled.get(SECONDS, {})
    if seconds:
        for part in ("environment", "policy"):
            logger.record(f"time/{part}_share", seconds[part] / seconds["all"])
    learned = {
        name: losses for name, losses in result.get(LEARNER_RESULTS, {}).items() if "policy_loss" in losses
    }
    for policy, losses in learned.items():
        suffix = "" if len(learned) == 1 else f"/{policy}"
        for name, key in _LEARNER_SCALARS.items():
            logger.record(f"{name}{suffix}", float(losses[key]))
        logger.record(f"train/entropy_loss{suffix}", -float(losses["entropy"]))
    logger.dump(timesteps)
    return cost


def _log_episodes(logger: Logger, episodes: Mapping[str, Mapping[str, float]]) -> float | None:
    sums: dict[str, float] = {}
    for bank, totals in episodes.items():
        if not totals["count"] > 0:  # NaN if no episode ended since the last call
            continue
        for name, value in totals.items():
            sums[name] = sums.get(name, 0.0) + value
        if len(episodes) > 1:
            logger.record(f"bank_cost_cents/{bank}", totals["cost"] / totals["count"])
    count = sums.get("count", 0)
    if not count:
        return None
    for name, key in {"episode/reward": "reward", **EPISODE_SCALARS}.items():
        logger.record(name, sums[key] / count)
    return sums["cost"] / count


def _save_models(algorithm: PPO, run: RunFolder, config: TrainConfig) -> None:
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
    with atomic_folder(run.bank_models) as folder:
        for bank, content in models.items():
            write_atomically(Path(folder) / f"{bank}.zip", content)
