"""Joint training: all banks learn at once, with one model or with one each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed
from torch import Tensor

from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym.envs.export import export_network
from paysim_gym.envs.infos import EPISODE_COST
from paysim_gym.envs.sb3 import PaymentVecEnv
from paysim_gym.files import atomic_folder, remove_temporaries
from paysim_training.algorithms.callbacks import entropy_coefficient, model_files
from paysim_training.algorithms.ppo import make_model
from paysim_training.core.config import TRAINING_SEEDS_END, EnvConfig, TrainConfig, dump_yaml
from paysim_training.core.run_folder import RunFolderError
from paysim_training.core.task import constructor_arguments
from paysim_training.studies.strategic.learner_envs import SharedVecEnv

Kind = Literal["shared", "independent"]
Callback = Callable[[int, Mapping[str, float]], None]
"""Called with the number of ticks so far and each bank's mean cost in cents of the days just ended."""


@dataclass(frozen=True)
class LearnedProfile:
    """Folder of a jointly trained strategy profile: a frozen network for each bank.

    Attributes:
        path: The folder. It is created when training ends.
        kind: One shared model for all banks, or independent models.
    """

    path: Path
    kind: Kind

    def model_name(self, bank: str) -> str:
        """Name of the bank's model."""
        return "all" if self.kind == "shared" else bank

    def policy(self, bank: str) -> dict[str, Any]:
        """The policy of a bank, in the form of a scenario."""
        weights = self.path.absolute() / f"{self.model_name(bank)}.safetensors"
        return {"type": "network", "weights": str(weights)}

    def model_files(self, bank: str) -> dict[str, bytes]:
        """Files of a checkpoint at 0 timesteps: the bank's model and reward normaliser."""
        folder = self.path / self.model_name(bank)
        return {name: (folder / name).read_bytes() for name in ("model.zip", "normaliser.json")}

    def curve(self) -> dict[str, Any]:
        """Learning curve of the costs, and the processor time of the training."""
        content: dict[str, Any] = json.loads((self.path / "curve.json").read_text(encoding="utf-8"))
        return content

    def is_trained(self, config: TrainConfig) -> bool:
        """Whether the folder exists; raises RunFolderError if it has another configuration."""
        if not self.path.exists():
            return False
        try:
            found = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise RunFolderError(f"{self.path} is not a folder of jointly trained banks: {error}") from error
        if found != config.model_dump(mode="json"):
            raise RunFolderError(
                f"{self.path} is of another configuration: remove it, or choose another --out"
            )
        return True


def train_jointly(
    profile: LearnedProfile, config: TrainConfig, scenario: Scenario, callback: Callback
) -> None:
    """Train the policies of all banks at once and save them.

    Training is deterministic in the configuration.

    Args:
        profile: The profile to create; its folder is written atomically.
        config: `num_envs` systems play `timesteps` ticks, rounded up to whole rollouts. Models differ only in
            their seeds.
        scenario: The scenario; the policies of its banks are ignored.
        callback: Called after every rollout in which a day ended.
    """
    started = time.process_time()
    torch.set_num_threads(config.torch_threads)
    banks = [agent.id for agent in scenario.agents]
    groups = [banks] if profile.kind == "shared" else [[bank] for bank in banks]
    shared = make_shared_env(config, scenario, banks)
    seeds = np.random.SeedSequence(config.seed).generate_state(len(groups) + 2).tolist()
    models = [
        make_model(with_learners(config, group).model_copy(update={"seed": seed}), shared.learner_env(group))
        for seed, group in zip(seeds[2:], groups, strict=True)
    ]
    shared.reset_rows(seeds[0] % (TRAINING_SEEDS_END - shared.env.num_envs))
    set_random_seed(seeds[1])
    curve: dict[str, Any] = {"ticks": [], "cost_cents": {bank: [] for bank in banks}}

    def record(ticks: int, costs: Mapping[str, float]) -> None:
        curve["ticks"].append(ticks)
        for bank, cost in costs.items():
            curve["cost_cents"][bank].append(round(cost, 2))
        callback(ticks, costs)

    learn_jointly(models, shared, config, record)
    curve["cpu_seconds"] = round(time.process_time() - started, 1)
    names = [profile.model_name(group[0]) for group in groups]
    _save(profile, config, curve, dict(zip(names, models, strict=True)))
    shared.env.close()


def learn_jointly(
    models: Sequence[PPO], shared: SharedVecEnv, config: TrainConfig, callback: Callback
) -> None:
    """Alternate between collecting a rollout of all models and updating each model.

    Args:
        models: Models on learner environments of `shared`, which together cover all of its rows.
        shared: The fleet.
        config: As in `train_jointly`.
        callback: As in `train_jointly`.
    """
    systems = config.num_envs
    rollouts = -(-config.timesteps // (systems * config.ppo.steps_per_rollout))
    for model in models:
        model.set_logger(Logger(folder=None, output_formats=[]))
        model._setup_learn(model.n_steps * model.n_envs * rollouts)
    for rollout in range(1, rollouts + 1):
        costs = collect_rollouts(models, shared)
        for model in models:
            model.ent_coef = entropy_coefficient(config.ppo, rollout / rollouts)
            model._update_current_progress_remaining(rollout, rollouts)
            model.train()
        if costs:
            learners = shared.env.vector_env.learners
            means = np.concatenate(costs).reshape(-1, len(learners)).mean(axis=0).tolist()
            callback(
                rollout * systems * config.ppo.steps_per_rollout, dict(zip(learners, means, strict=True))
            )


def collect_rollouts(models: Sequence[PPO], shared: SharedVecEnv) -> list[NDArray[np.int64]]:
    """Fill the rollout buffers of all models, in lockstep.

    Args:
        models: As in `learn_jointly`, after `_setup_learn`.
        shared: The fleet.

    Returns:
        For each tick in which days ended, their costs in cents, int64 of shape (rows,).
    """
    for model in models:
        model.policy.set_training_mode(False)
        model.rollout_buffer.reset()
    ended = []
    for _ in range(models[0].n_steps):
        decisions = [_decide(model) for model in models]
        for model, (actions, _, _) in zip(models, decisions, strict=True):
            assert model.env is not None
            model.env.step_async(actions.numpy())
        for model, decision in zip(models, decisions, strict=True):
            _store_transition(model, decision)
        if shared.infos[0]:  # days end at the same tick in all systems
            ended.append(np.array([info[EPISODE_COST] for info in shared.infos], np.int64))
    for model in models:
        with torch.no_grad():
            values = model.policy.predict_values(torch.as_tensor(model._last_obs))
        assert model._last_episode_starts is not None
        model.rollout_buffer.compute_returns_and_advantage(values, model._last_episode_starts)
    return ended


def _decide(model: PPO) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        actions, values, log_probs = model.policy(torch.as_tensor(model._last_obs))
    return actions, values, log_probs


def _store_transition(model: PPO, decision: tuple[Tensor, Tensor, Tensor]) -> None:
    """Add a transition to the rollout buffer, as `OnPolicyAlgorithm.collect_rollouts` does."""
    actions, values, log_probs = decision
    last_observations, episode_starts = model._last_obs, model._last_episode_starts
    assert model.env is not None
    assert isinstance(last_observations, np.ndarray)
    assert episode_starts is not None
    observations, rewards, dones, _ = model.env.step_wait()
    assert isinstance(observations, np.ndarray)
    model.rollout_buffer.add(last_observations, actions.numpy(), rewards, episode_starts, values, log_probs)
    model._last_obs, model._last_episode_starts = observations, dones
    model.num_timesteps += model.n_envs


def make_shared_env(config: TrainConfig, scenario: Scenario, banks: list[str]) -> SharedVecEnv:
    """The fleet of a configuration, with these banks as learners."""
    arguments = constructor_arguments(with_learners(config, banks).env)
    rows = config.num_envs * len(banks)
    fleet = PaymentVectorEnv(rows, scenario, autoreset_mode="SameStep", **arguments)
    return SharedVecEnv(PaymentVecEnv(fleet, rows_per_seed=config.ppo.rows_per_seed))


def with_learners(config: TrainConfig, banks: list[str]) -> TrainConfig:
    """The configuration with these banks as learners."""
    env = config.env
    return config.model_copy(update={"env": EnvConfig(id=env.id, kwargs={**env.kwargs, "learner": banks})})


def _save(
    profile: LearnedProfile, config: TrainConfig, curve: Mapping[str, Any], models: Mapping[str, PPO]
) -> None:
    remove_temporaries(profile.path.parent, profile.path.name)
    with atomic_folder(profile.path) as folder:
        for name, model in models.items():
            (folder / name).mkdir()
            export_network(model, folder / f"{name}.safetensors")
            model.num_timesteps = 0
            model.observation_space.seed(config.seed)  # never sampled from, but saved with the model
            for file, content in model_files(model).items():
                (folder / name / file).write_bytes(content)
        (folder / "curve.json").write_text(json.dumps(curve) + "\n", encoding="utf-8")
        (folder / "config.yaml").write_text(dump_yaml(config.model_dump(mode="json")), encoding="utf-8")
