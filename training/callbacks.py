"""What happens beside learning: episode metrics, entropy, checkpoints, the progress bar."""

from __future__ import annotations

import io
import json
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from rich.progress import Progress, TaskID
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HParam

from paysim_gym._engine import COST_COMPONENTS
from training.config import TRAINING_SEEDS_END, PpoConfig, TrainConfig
from training.run_folder import RunFolder

# TensorBoard name -> name in the terminal info's `episode_totals`.
EPISODE_SCALARS = {
    "episode/cost_cents": "cost",
    "episode/settlement_rate": "settlement_rate",
    "episode/mean_delay_ticks": "mean_delay",
    "episode/liquidity_used_cents": "liquidity_used",
    **{f"cost_cents/{component}": f"cost_{component}" for component in COST_COMPONENTS},
}
_PASSING = (
    *("_last_obs", "_last_original_obs", "_last_episode_starts", "_logger"),
    *("start_time", "ep_info_buffer", "ep_success_buffer", "_num_timesteps_at_start"),
)


class EpisodeMetrics(BaseCallback):
    """Writes the means over the episodes that ended in a rollout, and once the hyperparameters.

    Args:
        config: The run's configuration.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self._config = config
        self._ended: dict[str, list[float]] = {}

    def _on_training_start(self) -> None:
        ppo = {f"ppo/{key}": _scalar(value) for key, value in self._config.ppo.model_dump().items()}
        hyperparameters = {**ppo, "num_envs": self._config.num_envs, "seed": self._config.seed}
        metrics = dict.fromkeys(EPISODE_SCALARS, 0.0)
        self.logger.record("hparams", HParam(hyperparameters, metrics))

    def _on_step(self) -> bool:
        for row in np.flatnonzero(self.locals["dones"]):
            info = self.locals["infos"][row]
            self._add("episode/reward", info["episode"]["r"])
            for name, key in EPISODE_SCALARS.items():
                self._add(name, info["episode_totals"][key])
        return True

    def _on_rollout_end(self) -> None:
        for name, values in self._ended.items():
            self.logger.record(name, float(np.mean(values)))
        self._ended.clear()

    def _add(self, name: str, value: float) -> None:
        self._ended.setdefault(name, []).append(float(value))


class EntropyDecay(BaseCallback):
    """Takes the entropy coefficient to its final value in a straight line.

    Args:
        config: The run's configuration.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self._config = config

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.model.ent_coef = entropy_coefficient(
            self._config.ppo, self.num_timesteps / self._config.timesteps
        )


class Checkpoints(BaseCallback):
    """Saves checkpoints, and starts the stretch that follows each from nothing but the checkpoint.

    A stretch seeds demand and exploration from the configured seed and the timesteps so far. A run that is
    resumed from a checkpoint therefore ends with the parameters of the run that was never interrupted.

    Args:
        run: Where to save.
        config: The run's configuration.
    """

    def __init__(self, run: RunFolder, config: TrainConfig) -> None:
        super().__init__()
        self._run = run
        self._config = config
        self._next = 0

    def _on_training_start(self) -> None:
        self._start_stretch()

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self._run.save_checkpoint(self.num_timesteps, saved_files(self.model))
            self._start_stretch()

    def _on_step(self) -> bool:
        return True

    def _start_stretch(self) -> None:
        self._next = self.model.num_timesteps + self._config.checkpoint_every
        seed = stretch_seed(self._config, self.model.num_timesteps)
        self.model.set_random_seed(seed)
        self.model.observation_space.seed(seed)  # never sampled from, but saved
        self.model._last_obs = self.training_env.reset()
        self.model._last_episode_starts = np.ones(self._config.num_envs, dtype=bool)


class ProgressBar(BaseCallback):
    """Moves a rich progress bar and shows the mean cost of the last rollout's episodes on it.

    Args:
        progress: The bar, with a text column for the field ``cost``.
        task: Its task.
    """

    def __init__(self, progress: Progress, task: TaskID) -> None:
        super().__init__()
        self._progress = progress
        self._task = task

    def _on_step(self) -> bool:
        self._progress.update(self._task, completed=self.num_timesteps)
        return True

    def _on_rollout_end(self) -> None:
        cost = self.logger.name_to_value.get("episode/cost_cents")
        if cost is not None:
            self._progress.update(self._task, cost=f"{cost / 100:,.2f}")


def entropy_coefficient(ppo: PpoConfig, share: float) -> float:
    """The entropy coefficient once a share of the training is over."""
    change = ppo.final_entropy_coefficient - ppo.entropy_coefficient
    return ppo.entropy_coefficient + min(1.0, share) * change


def stretch_seed(config: TrainConfig, timesteps: int) -> int:
    """The seed of the stretch that starts after some timesteps; row i uses the i-th seed from it on."""
    return int(np.random.default_rng([config.seed, timesteps]).integers(TRAINING_SEEDS_END - config.num_envs))


def saved_files(model: BaseAlgorithm) -> dict[str, bytes]:
    """A model and its reward normaliser as files: the same bytes whenever it has learned the same.

    Left out are what belongs to the episodes under way, and what tells when the model learned.
    """
    buffer = io.BytesIO()
    model.save(buffer, exclude=list(_PASSING))
    returns = model.get_vec_normalize_env().ret_rms
    normaliser = {key: float(getattr(returns, key)) for key in ("mean", "var", "count")}
    return {
        "model.zip": _without_times(buffer.getvalue()),
        "normaliser.json": json.dumps(normaliser).encode(),
    }


def _without_times(archive: bytes) -> bytes:
    """A model as Stable-Baselines3 saves it, without the dates of its files and addresses in memory."""
    buffer = io.BytesIO()
    with ZipFile(io.BytesIO(archive)) as saved, ZipFile(buffer, "w") as written:
        for name in saved.namelist():
            content = saved.read(name)
            if name == "data":
                content = json.dumps({key: _loaded_part(value) for key, value in json.loads(content).items()})
            written.writestr(ZipInfo(name), content)
    return buffer.getvalue()


def _loaded_part(value: Any) -> Any:
    """Of an object in the archive what loading reads; the rest describes it to people, by address."""
    if isinstance(value, dict) and ":serialized:" in value:
        return {key: value[key] for key in (":type:", ":serialized:")}
    return value


def _scalar(value: Any) -> float | str:
    return value if isinstance(value, int | float) else "x".join(map(str, value))
