"""Training callbacks: metrics, images, entropy schedule, checkpoints and progress bar."""

from __future__ import annotations

import io
import json
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from gymnasium.spaces import Space
from numpy.typing import NDArray
from rich.progress import Progress, TaskID
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HParam, Image
from stable_baselines3.common.vec_env import VecEnv

from paysim_gym import Scenario
from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.envs.infos import COST_KEYS, EPISODE_PREFIX
from paysim_gym.envs.spaces import component_choices, masks_by_component, observation_names
from paysim_gym.render import render_picture
from paysim_training.core.config import PICTURE_SEED, TRAINING_SEEDS_END, PpoConfig, TrainConfig
from paysim_training.core.day_recording import record_policy_day
from paysim_training.core.hparams import EVALUATION_SCALARS, hyperparameters
from paysim_training.core.run_folder import RunFolder
from paysim_training.core.task import constructor_arguments

# TensorBoard tag -> total of an episode.
EPISODE_SCALARS = {
    "episode/cost_cents": "cost",
    "episode/settlement_rate": "settlement_rate",
    "episode/mean_delay_ticks": "mean_delay",
    "episode/liquidity_used_cents": "liquidity_used",
    **{f"cost_cents/{name}": key for name, key in zip(COST_COMPONENTS, COST_KEYS, strict=True)},
}
# Attributes of a model that belong to running episodes or to the wall clock.
_TRANSIENT_ATTRIBUTES = (
    *("_last_obs", "_last_original_obs", "_last_episode_starts", "_logger"),
    *("start_time", "ep_info_buffer", "ep_success_buffer", "_num_timesteps_at_start"),
)


class _RolloutCallback(BaseCallback):
    """Base of callbacks that act at the end of a rollout."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self._config = config

    def _on_step(self) -> bool:
        return True


class EpisodeMetrics(_RolloutCallback):
    """Logs mean episode metrics of each rollout, and the hyperparameters once."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self._ended: dict[str, list[float]] = {}

    def _on_training_start(self) -> None:
        metrics = [*EVALUATION_SCALARS, *(name for name in EPISODE_SCALARS if name.startswith("episode/"))]
        # TensorBoard shows the last logged value of these scalars; it ignores the zeros.
        self.logger.record("hparams", HParam(hyperparameters(self._config), dict.fromkeys(metrics, 0.0)))

    def _on_step(self) -> bool:
        for row in np.flatnonzero(self.locals["dones"]):
            info = self.locals["infos"][row]
            self._add("episode/reward", info["episode"]["r"])
            for name, key in EPISODE_SCALARS.items():
                self._add(name, info[f"{EPISODE_PREFIX}{key}"])
        return True

    def _on_rollout_end(self) -> None:
        for name, values in self._ended.items():
            self.logger.record(name, float(np.mean(values)))
        self._ended.clear()

    def _add(self, name: str, value: float) -> None:
        self._ended.setdefault(name, []).append(float(value))


class DecisionMetrics(BaseCallback):
    """Logs action frequencies and mask statistics of each rollout.

    It records the masks, which the rollout buffer lacks, and must therefore follow any callback that resets
    the rows.
    """

    def __init__(self) -> None:
        super().__init__()
        self._masks: list[NDArray[np.bool_]] = []

    def _on_rollout_start(self) -> None:
        self._masks = [_action_masks(self.training_env)]

    def _on_step(self) -> bool:
        self._masks.append(_action_masks(self.training_env))
        return True

    def _on_rollout_end(self) -> None:
        buffer = _ppo(self.model).rollout_buffer
        columns = observation_names(1)
        openings = buffer.observations[..., columns.index("is_opening")] > 0
        # The last masks belong to the first actions of the next rollout.
        masks = np.stack(self._masks[:-1])
        space, slots = self.model.action_space, self.training_env.get_attr("settings")[0].slots
        scalars = decision_scalars(buffer.actions.astype(np.intp), masks, openings, space, slots)
        for name, value in scalars.items():
            self.logger.record(name, value)


class DayPictures(_RolloutCallback):
    """Logs an image of a fixed day under the deterministic current policy.

    Images are logged in the first and the last rollout, and whenever a multiple of `picture_every` timesteps
    is reached.

    Args:
        config: The run's configuration.
        scenario: The run's scenario.
    """

    def __init__(self, config: TrainConfig, scenario: Scenario) -> None:
        super().__init__(config)
        self._scenario = scenario
        self._before = 0

    def _on_rollout_start(self) -> None:
        self._before = self.num_timesteps

    def _on_rollout_end(self) -> None:
        every = self._config.picture_every
        is_first_or_last = self._before == 0 or self.num_timesteps >= self._config.timesteps
        if every is not None and (is_first_or_last or self._before // every < self.num_timesteps // every):
            arguments = constructor_arguments(self._config.env)
            day = record_policy_day(lambda env: self.model, self._scenario, PICTURE_SEED, **arguments)
            self.logger.record("day", Image(render_picture(day), "HWC"))


class EntropyDecay(_RolloutCallback):
    """Changes the entropy coefficient linearly to its final value."""

    def _on_rollout_end(self) -> None:
        progress = self.num_timesteps / self._config.timesteps
        _ppo(self.model).ent_coef = entropy_coefficient(self._config.ppo, progress)


class Checkpoints(_RolloutCallback):
    """Saves checkpoints and starts a new segment of training after each.

    A segment depends only on the checkpoint: demand and exploration are reseeded from the configured seed
    and the number of timesteps, and all episodes are reset. A resumed run therefore ends with the same
    parameters as an uninterrupted one.

    Args:
        run: Folder for the checkpoints.
        config: The run's configuration.
    """

    def __init__(self, run: RunFolder, config: TrainConfig) -> None:
        super().__init__(config)
        self._run = run
        self._next = 0

    def _on_training_start(self) -> None:
        self._start_segment()

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self._run.save_checkpoint(self.num_timesteps, model_files(_ppo(self.model)))
            self._start_segment()

    def _start_segment(self) -> None:
        self._next = self.model.num_timesteps + self._config.checkpoint_every
        seed = segment_seed(self._config, self.model.num_timesteps)
        self.model.set_random_seed(seed)
        self.model.observation_space.seed(seed)  # not sampled from, but saved
        observations = self.training_env.reset()
        assert isinstance(observations, np.ndarray)
        self.model._last_obs = observations
        self.model._last_episode_starts = np.ones(self._config.num_envs, dtype=bool)


class ProgressBar(BaseCallback):
    """Updates a progress bar with timesteps and the last rollout's mean episode cost.

    Args:
        progress: A progress bar with a text column for the field ``cost``.
        task: The task of the progress bar.
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


def entropy_coefficient(ppo: PpoConfig, progress: float) -> float:
    """Returns the entropy coefficient after a fraction of the training."""
    change = ppo.final_entropy_coefficient - ppo.entropy_coefficient
    return ppo.entropy_coefficient + min(1.0, progress) * change


def decision_scalars(
    actions: NDArray[np.intp],
    masks: NDArray[np.bool_],
    openings: NDArray[np.bool_],
    space: Space[Any],
    slots: int,
) -> dict[str, float]:
    """Computes action frequencies and mask statistics.

    Args:
        actions: Actions of shape (..., components): one per slot, then the share of a pool if there is one.
        masks: Flat masks of shape (..., mask size).
        openings: Opening steps, in which a pool is committed, of shape (...).
        space: The action space of one learner.
        slots: Number of slots.

    Returns:
        TensorBoard tags to values; statistics without any decision are omitted.
    """
    choices, legal = component_choices(space), masks_by_component(masks, space)
    is_legal = np.take_along_axis(legal, actions[..., None], axis=-1)[..., 0]
    has_choice = legal[..., 1]
    payments = has_choice[..., :slots]
    executed = np.where(is_legal, actions, 0)[..., :slots][payments]
    committed = actions[..., slots:][has_choice[..., slots:]]
    scalars = {
        "masks/legal_actions": float(masks[..., : choices[:slots].sum()].mean()),
        "masks/illegal_actions_per_step": float((~is_legal).sum() / openings.size),
    }
    if not openings.all():
        scalars["masks/slots_with_payment"] = float(payments[~openings].mean())
    if executed.size:
        shares = {"hold": executed == 0, "release": executed == 1, "split": executed > 1}
        scalars |= {f"actions/{name}": float(chosen.mean()) for name, chosen in shares.items()}
    if committed.size:
        scalars["actions/pool_share"] = float(committed.mean() / (choices[-1] - 1))
    return scalars


def segment_seed(config: TrainConfig, timesteps: int) -> int:
    """Returns the first seed of a segment; row i adds i."""
    return int(np.random.default_rng([config.seed, timesteps]).integers(TRAINING_SEEDS_END - config.num_envs))


def model_files(model: BaseAlgorithm) -> dict[str, bytes]:
    """Serialises a model and its reward normaliser to reproducible bytes, by file name.

    State of running episodes and wall-clock times are left out.
    """
    buffer = io.BytesIO()
    model.save(buffer, exclude=list(_TRANSIENT_ATTRIBUTES))
    normaliser = model.get_vec_normalize_env()
    assert normaliser is not None
    moments = {key: float(getattr(normaliser.ret_rms, key)) for key in ("mean", "var", "count")}
    return {
        "model.zip": _reproducible_archive(buffer.getvalue()),
        "normaliser.json": json.dumps(moments).encode(),
    }


def _reproducible_archive(archive: bytes) -> bytes:
    """Removes file dates and memory addresses from a saved Stable-Baselines3 model."""
    buffer = io.BytesIO()
    with ZipFile(io.BytesIO(archive)) as saved, ZipFile(buffer, "w") as written:
        for name in saved.namelist():
            content = saved.read(name)
            if name == "data":
                entries = {key: _without_description(value) for key, value in json.loads(content).items()}
                content = json.dumps(entries).encode()
            written.writestr(ZipInfo(name), content)
    return buffer.getvalue()


def _action_masks(env: VecEnv) -> NDArray[np.bool_]:
    inner: Any = env.unwrapped
    masks: NDArray[np.bool_] = inner.action_masks()
    return masks


def _ppo(model: BaseAlgorithm) -> PPO:
    assert isinstance(model, PPO)
    return model


def _without_description(value: Any) -> Any:
    """Keeps only the parts of a serialised object that loading reads."""
    if isinstance(value, dict) and ":serialized:" in value:
        return {key: value[key] for key in (":type:", ":serialized:")}
    return value
