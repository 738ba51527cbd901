"""Banks that learn at the same time: one model for all of them, or one for each."""

from __future__ import annotations

import json
import os
import shutil
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
from paysim_gym.envs.sb3 import PaymentVecEnv
from paysim_gym.files import write_atomically
from paysim_training.algorithms.callbacks import entropy_coefficient, model_files
from paysim_training.algorithms.ppo import make_model
from paysim_training.core.config import TRAINING_SEEDS_END, EnvConfig, TrainConfig, dump_yaml
from paysim_training.core.run_folder import RunFolderError
from paysim_training.core.task import constructor_arguments
from paysim_training.studies.strategic.learner_envs import SharedFleet

Kind = Literal["shared", "independent"]
Watch = Callable[[int, Mapping[str, float]], None]
"""Called with the ticks so far and each bank's mean cost in cents of the days that ended since."""


@dataclass(frozen=True)
class LearnedProfile:
    """The folder of banks that learned together: a network for each, frozen.

    Attributes:
        path: The folder; it is there once training has ended.
        kind: One model for all banks, or one for each.
    """

    path: Path
    kind: Kind

    def name(self, bank: str) -> str:
        """The model that plays a bank."""
        return "all" if self.kind == "shared" else bank

    def policy(self, bank: str) -> dict[str, Any]:
        """The policy of a bank, as in a scenario."""
        weights = self.path.absolute() / f"{self.name(bank)}.safetensors"
        return {"type": "network", "weights": str(weights)}

    def model_files(self, bank: str) -> dict[str, bytes]:
        """A bank's model and its reward normaliser, as a checkpoint at 0 timesteps."""
        folder = self.path / self.name(bank)
        return {name: (folder / name).read_bytes() for name in ("model.zip", "normaliser.json")}

    def curve(self) -> dict[str, Any]:
        """How costs changed while they learned, and the processor time that it took."""
        content: dict[str, Any] = json.loads((self.path / "curve.json").read_text(encoding="utf-8"))
        return content

    def is_of(self, config: TrainConfig) -> bool:
        """Whether it is there.

        Raises:
            RunFolderError: If what is there was trained otherwise.
        """
        if not self.path.exists():
            return False
        try:
            found = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise RunFolderError(f"{self.path} holds no learned banks: {error}") from error
        if found != config.model_dump(mode="json"):
            raise RunFolderError(
                f"{self.path} is of another configuration: remove it, or choose another --out"
            )
        return True


def train_together(profile: LearnedProfile, config: TrainConfig, scenario: Scenario, watch: Watch) -> None:
    """Let all banks learn at once; the same configuration gives the same networks.

    Args:
        profile: What to make. Its folder appears whole, or not at all.
        config: `num_envs` systems play `timesteps` ticks, a whole number of rollouts. The models differ in
            their seeds alone.
        scenario: Where; its banks' own policies do not matter.
        watch: Called after every rollout in which a day ended.
    """
    started = time.process_time()
    torch.set_num_threads(config.torch_threads)
    banks = [agent.id for agent in scenario.agents]
    groups = [banks] if profile.kind == "shared" else [[bank] for bank in banks]
    fleet = make_fleet(config, scenario, banks)
    seeds = np.random.SeedSequence(config.seed).generate_state(len(groups) + 2).tolist()
    models = [
        make_model(of_banks(config, group).model_copy(update={"seed": seed}), fleet.seats(group))
        for seed, group in zip(seeds[2:], groups, strict=True)
    ]
    fleet.start(seeds[0] % (TRAINING_SEEDS_END - fleet.env.num_envs))
    set_random_seed(seeds[1])
    curve: dict[str, Any] = {"ticks": [], "cost_cents": {bank: [] for bank in banks}}

    def note(ticks: int, costs: Mapping[str, float]) -> None:
        curve["ticks"].append(ticks)
        for bank, cost in costs.items():
            curve["cost_cents"][bank].append(round(cost, 2))
        watch(ticks, costs)

    learn_together(models, fleet, config, note)
    curve["cpu_seconds"] = round(time.process_time() - started, 1)
    _save(
        profile, config, curve, dict(zip((profile.name(group[0]) for group in groups), models, strict=True))
    )
    fleet.env.close()


def learn_together(models: Sequence[PPO], fleet: SharedFleet, config: TrainConfig, watch: Watch) -> None:
    """Collect a rollout of all models at once, then let each learn from its own; again and again.

    Args:
        models: Their environments are the seats of `fleet`, which together are all of its rows.
        fleet: What they play.
        config: As in `train_together`.
        watch: As there.
    """
    systems = config.num_envs
    rollouts = -(-config.timesteps // (systems * config.ppo.steps_per_rollout))
    for model in models:
        model.set_logger(Logger(folder=None, output_formats=[]))
        model._setup_learn(model.n_steps * model.n_envs * rollouts)
    for rollout in range(1, rollouts + 1):
        costs = collect_together(models, fleet)
        for model in models:
            model.ent_coef = entropy_coefficient(config.ppo, rollout / rollouts)
            model._update_current_progress_remaining(rollout, rollouts)
            model.train()
        if costs:
            learners = fleet.env.vector_env.learners
            means = np.concatenate(costs).reshape(-1, len(learners)).mean(axis=0).tolist()
            watch(rollout * systems * config.ppo.steps_per_rollout, dict(zip(learners, means, strict=True)))


def collect_together(models: Sequence[PPO], fleet: SharedFleet) -> list[NDArray[np.int64]]:
    """Fill every model's rollout buffer with what its own rows did and got, all in the same ticks.

    Args:
        models: As in `learn_together`, set up to learn.
        fleet: What they play.

    Returns:
        For each tick in which days ended, their cost in cents, int64 of shape (rows,).
    """
    for model in models:
        model.policy.set_training_mode(False)
        model.rollout_buffer.reset()
    ended = []
    for _ in range(models[0].n_steps):
        decisions = [_decide(model) for model in models]
        for model, (actions, _, _) in zip(models, decisions, strict=True):
            model.env.step_async(actions.numpy())
        for model, decision in zip(models, decisions, strict=True):
            _take(model, decision)
        if fleet.infos[0]:  # all systems share the clock
            ended.append(np.array([info["episode_totals"]["cost"] for info in fleet.infos], np.int64))
    for model in models:
        with torch.no_grad():
            values = model.policy.predict_values(torch.as_tensor(model._last_obs))
        model.rollout_buffer.compute_returns_and_advantage(values, model._last_episode_starts)
    return ended


def _decide(model: PPO) -> tuple[Tensor, Tensor, Tensor]:
    """Actions, values and log-probabilities for what the model observes now."""
    with torch.no_grad():
        return model.policy(torch.as_tensor(model._last_obs))


def _take(model: PPO, decision: tuple[Tensor, Tensor, Tensor]) -> None:
    """Keep what a model's decision brought, as `OnPolicyAlgorithm.collect_rollouts` does."""
    actions, values, log_probs = decision
    observations, rewards, dones, _ = model.env.step_wait()
    model.rollout_buffer.add(
        model._last_obs, actions.numpy(), rewards, model._last_episode_starts, values, log_probs
    )
    model._last_obs, model._last_episode_starts = observations, dones
    model.num_timesteps += model.n_envs


def make_fleet(config: TrainConfig, scenario: Scenario, banks: list[str]) -> SharedFleet:
    """The systems of a configuration, in which these banks learn."""
    arguments = constructor_arguments(of_banks(config, banks).env)
    rows = config.num_envs * len(banks)
    fleet = PaymentVectorEnv(rows, scenario, autoreset_mode="SameStep", **arguments)
    return SharedFleet(PaymentVecEnv(fleet, rows_per_seed=config.ppo.rows_per_seed))


def of_banks(config: TrainConfig, banks: list[str]) -> TrainConfig:
    """The configuration of a model that decides for these banks."""
    env = config.env
    return config.model_copy(update={"env": EnvConfig(id=env.id, kwargs={**env.kwargs, "learner": banks})})


def _save(
    profile: LearnedProfile, config: TrainConfig, curve: Mapping[str, Any], models: Mapping[str, PPO]
) -> None:
    hidden = profile.path.with_name(f".{profile.path.name}.{os.getpid()}.tmp")
    for leftover in hidden.parent.glob(f".{profile.path.name}.*.tmp"):
        shutil.rmtree(leftover)
    for name, model in models.items():
        (hidden / name).mkdir(parents=True)
        export_network(model, hidden / f"{name}.safetensors")
        model.num_timesteps = 0
        model.observation_space.seed(config.seed)  # never sampled from, but saved
        for file, content in model_files(model).items():
            write_atomically(hidden / name / file, content)
    write_atomically(hidden / "curve.json", (json.dumps(curve) + "\n").encode())
    write_atomically(hidden / "config.yaml", dump_yaml(config.model_dump(mode="json")).encode())
    hidden.rename(profile.path)
