"""Stable-Baselines3's PPO on a fleet of payment systems: model, training and evaluation policy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import TensorBoardOutputFormat, configure
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym.cli.terminal import progress_bar
from paysim_gym.envs.env_arguments import EnvSettings
from paysim_gym.envs.export import export_network
from paysim_gym.envs.sb3 import PaymentVecEnv
from paysim_gym.envs.spaces import observation_names
from paysim_gym.evaluation import PolicyFactory
from paysim_gym.files import write_atomically
from paysim_training.algorithms.callbacks import (
    Checkpoints,
    DayPictures,
    DecisionMetrics,
    EntropyDecay,
    EpisodeMetrics,
    ProgressBar,
    model_files,
    segment_seed,
)
from paysim_training.algorithms.imitation import imitate
from paysim_training.algorithms.paired_advantages import PairedRolloutBuffer
from paysim_training.algorithms.queue_policy import QueuePolicy
from paysim_training.core.config import ConfigError, TrainConfig
from paysim_training.core.joint_evaluation import PerLearnerPolicy
from paysim_training.core.run_folder import RunFolder
from paysim_training.core.task import constructor_arguments


def learn(
    run: RunFolder, console: Console, callbacks: Sequence[BaseCallback] = (), title: str = "Training"
) -> None:
    """Trains a run to its configured timesteps and saves the model.

    Training resumes from the last checkpoint if there is one.

    Args:
        run: The run with its config and scenario.
        console: Console for the progress bar.
        callbacks: Further callbacks; one whose `_on_step` returns False ends the training.
        title: Title of the progress bar.
    """
    config = run.config()
    torch.set_num_threads(config.torch_threads)
    env = make_env(config, run.scenario())
    model = _load_or_make(run, config, env)
    if config.warm_start is not None and model.num_timesteps == 0:
        with console.status(f"Imitating {config.warm_start.policy} on {config.warm_start.days} days"):
            run.write_json(run.warm_start, imitate(model, config, run.scenario()))
    model.set_logger(configure(str(run.tensorboard), ["tensorboard"]))
    # Makes TensorBoard discard what an interrupted run wrote after its last checkpoint.
    start = Event(step=model.num_timesteps + 1, session_log=SessionLog(status=SessionLog.START))
    (output,) = model.logger.output_formats
    assert isinstance(output, TensorBoardOutputFormat)
    output.writer._get_file_writer().add_event(start)
    try:
        with make_progress(console) as progress:
            done = model.num_timesteps
            task = progress.add_task(title, total=config.timesteps, completed=done, cost="?")
            standard = [
                EpisodeMetrics(config),
                EntropyDecay(config),
                Checkpoints(run, config),
                DecisionMetrics(),
                DayPictures(config, run.scenario()),
                ProgressBar(progress, task),
            ]
            model.learn(config.timesteps - done, [*standard, *callbacks], reset_num_timesteps=False)
    finally:
        model.logger.close()
        env.close()
    write_atomically(run.model, model_files(model)["model.zip"])


def make_model(config: TrainConfig, env: VecEnv) -> PPO:
    """Creates an untrained model.

    Args:
        config: Hyperparameters and seed.
        env: The training environment, a `PaymentVecEnv` or a wrapped one; rewards are normalised for the
            model.

    Raises:
        ConfigError: If the policy cannot express the environment's actions.
    """
    check_trainable(env.get_attr("settings")[0])
    ppo = config.ppo
    return PPO(
        QueuePolicy,
        _normalised(config, env),
        learning_rate=LinearSchedule(ppo.learning_rate, ppo.final_learning_rate, 1.0),
        n_steps=ppo.steps_per_rollout,
        rollout_buffer_class=PairedRolloutBuffer,
        rollout_buffer_kwargs=_buffer_arguments(config),
        batch_size=ppo.batch_size,
        n_epochs=ppo.epochs,
        gamma=ppo.discount,
        gae_lambda=ppo.gae_lambda,
        clip_range=ppo.clip_range,
        ent_coef=ppo.entropy_coefficient,
        vf_coef=ppo.value_coefficient,
        max_grad_norm=ppo.max_gradient_norm,
        policy_kwargs=policy_arguments(config, env.get_attr("settings")[0].slots),
        seed=segment_seed(config, 0),
        device="cpu",
    )


def export_policy(run: RunFolder, path: Path) -> None:
    """Exports a run's policy to weights for a scenario's network policy.

    The scenario refers to them with `policy: {type: network, weights: path}`.

    Args:
        run: A trained run.
        path: Path of the weights; an existing file is replaced.
    """
    env = make_env(run.config(), run.scenario())
    export_network(PPO.load(run.model, device="cpu"), path, env)
    env.close()


class LearnedPolicy:
    """A trained model that plays deterministically; satisfies `paysim_gym.evaluation.Policy`.

    Args:
        run: A trained run.
        model: Path of one of its models; None for a run with one model.
    """

    def __init__(self, run: RunFolder, model: Path | None = None) -> None:
        torch.set_num_threads(run.config().torch_threads)
        self._model = PPO.load(model or run.model, device="cpu")

    def predict(
        self,
        observation: NDArray[np.float32],
        state: Any = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.int64], Any]:
        """Returns the actions for a batch of observations, float32 of shape (num_envs, size)."""
        actions, state = self._model.predict(observation, state, episode_start, deterministic=True)
        return actions, state


def learned_policy(run: RunFolder) -> PolicyFactory:
    """Returns a factory of the run's trained policy or policies."""
    if run.model.is_file():
        policy = LearnedPolicy(run)
        return lambda env: policy
    policies = {path.stem: LearnedPolicy(run, path) for path in run.bank_models.glob("*.zip")}
    return lambda env: PerLearnerPolicy(env.learners, policies)


def make_env(config: TrainConfig, scenario: Scenario) -> VecMonitor:
    """Creates the training fleet of a configuration as a Stable-Baselines3 `VecEnv`."""
    arguments = constructor_arguments(config.env)
    fleet = PaymentVectorEnv(config.num_envs, scenario, autoreset_mode="SameStep", **arguments)
    return VecMonitor(PaymentVecEnv(fleet, rows_per_seed=config.ppo.rows_per_seed))


def _load_or_make(run: RunFolder, config: TrainConfig, env: VecMonitor) -> PPO:
    checkpoint = run.last_checkpoint()
    if checkpoint is None:
        return make_model(config, env)
    normalised = _normalised(config, env)
    vars(normalised.ret_rms).update(json.loads((checkpoint / "normaliser.json").read_text()))
    # A model that was trained with several learners may be resumed with one.
    changed = {"rollout_buffer_kwargs": _buffer_arguments(config)}
    return PPO.load(checkpoint / "model.zip", env=normalised, device="cpu", custom_objects=changed)


def _buffer_arguments(config: TrainConfig) -> dict[str, int]:
    return {"rows_per_seed": config.ppo.rows_per_seed, "learners": config.env.num_learners}


def check_trainable(settings: EnvSettings) -> None:
    """Raises ConfigError for actions that `QueuePolicy` cannot express."""
    for name, allowed in (("action_mode", ("slots",)), ("decides", ("both", "payments"))):
        if (value := getattr(settings, name)) not in allowed:
            raise ConfigError(f"{name} = {value!r}: must be {' or '.join(map(repr, allowed))} for training")


def policy_arguments(config: TrainConfig, slots: int) -> dict[str, Any]:
    """Returns the arguments of `QueuePolicy` other than spaces and learning rate."""
    ppo = config.ppo
    columns = observation_names(slots)
    return {
        "slots": slots,
        "slot_columns": sum(name.startswith("slot_0_") for name in columns),
        "opening_column": columns.index("is_opening"),
        "hidden_size": ppo.slot_hidden_size,
        "split_bias": ppo.split_bias,
        "sees_before": ppo.sees_slots_before,
        "net_arch": {"pi": [], "vf": list(ppo.critic_layers)},
        "optimizer_kwargs": {"eps": ppo.adam_epsilon},
    }


def _normalised(config: TrainConfig, env: VecEnv) -> VecNormalize:
    return VecNormalize(env, norm_obs=False, gamma=config.ppo.discount, clip_reward=np.inf)


def make_progress(console: Console) -> Progress:
    """Creates a progress bar in timesteps with a text field ``cost``."""
    steps = "{task.completed:,.0f} of {task.total:,.0f} steps, cost {task.fields[cost]} per episode"
    return progress_bar(console, steps)
