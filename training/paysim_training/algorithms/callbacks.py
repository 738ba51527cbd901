"""What happens beside learning: metrics, pictures, entropy, checkpoints, the progress bar."""

from __future__ import annotations

import io
import json
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress, TaskID
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HParam, Image

from paysim_gym import Scenario
from paysim_gym._engine import COST_COMPONENTS, observation_fields
from paysim_gym.render import render_picture
from paysim_training.core.config import PICTURE_SEED, TRAINING_SEEDS_END, PpoConfig, TrainConfig
from paysim_training.core.day_recording import record_policy_day
from paysim_training.core.hparams import EVALUATION_SCALARS, hyperparameters
from paysim_training.core.run_folder import RunFolder
from paysim_training.core.task import constructor_arguments

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
        compared = [*EVALUATION_SCALARS, *(name for name in EPISODE_SCALARS if name.startswith("episode/"))]
        # TensorBoard shows the last value of each of these scalars; the zeros are shown nowhere.
        self.logger.record("hparams", HParam(hyperparameters(self._config), dict.fromkeys(compared, 0.0)))

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


class DecisionMetrics(BaseCallback):
    """Writes what a rollout decided, and how much of the masks there was to decide on.

    It notes the masks, which the rollout buffer lacks; so it comes after a callback that resets the rows.
    """

    def __init__(self) -> None:
        super().__init__()
        self._masks: list[NDArray[np.bool_]] = []

    def _on_rollout_start(self) -> None:
        self._masks = [self.training_env.unwrapped.action_masks()]

    def _on_step(self) -> bool:
        self._masks.append(self.training_env.unwrapped.action_masks())
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer
        columns = [name for name, *_ in observation_fields(buffer.actions.shape[-1])]
        openings = buffer.observations[..., columns.index("is_opening")] > 0
        # The last masks are those of the next rollout's first actions.
        masks = np.stack(self._masks[:-1])
        for name, value in decision_scalars(buffer.actions.astype(np.intp), masks, openings).items():
            self.logger.record(name, value)


class DayPictures(BaseCallback):
    """Shows the day of one seed under the policy of a rollout, which takes its likeliest actions there.

    The first rollout has a picture, the last, and each in which a multiple of `picture_every` is reached.

    Args:
        config: The run's configuration.
        scenario: What it trains on.
    """

    def __init__(self, config: TrainConfig, scenario: Scenario) -> None:
        super().__init__()
        self._config = config
        self._scenario = scenario
        self._before = 0

    def _on_rollout_start(self) -> None:
        self._before = self.num_timesteps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        every = self._config.picture_every
        is_end = self._before == 0 or self.num_timesteps >= self._config.timesteps
        if every is not None and (is_end or self._before // every < self.num_timesteps // every):
            arguments = constructor_arguments(self._config.env)
            day = record_policy_day(lambda env: self.model, self._scenario, PICTURE_SEED, **arguments)
            self.logger.record("day", Image(render_picture(day), "HWC"))


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
        self._start_segment()

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self._run.save_checkpoint(self.num_timesteps, saved_files(self.model))
            self._start_segment()

    def _on_step(self) -> bool:
        return True

    def _start_segment(self) -> None:
        self._next = self.model.num_timesteps + self._config.checkpoint_every
        seed = segment_seed(self._config, self.model.num_timesteps)
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


def decision_scalars(
    actions: NDArray[np.intp], masks: NDArray[np.bool_], openings: NDArray[np.bool_]
) -> dict[str, float]:
    """What was decided in some steps: TensorBoard name to value, without those that nothing was to decide on.

    Args:
        actions: Slot actions, of shape (..., slots).
        masks: What was legal, of shape (..., slots x choices).
        openings: Which steps committed a pool, of shape (...).
    """
    legal = masks.reshape(*actions.shape, -1)
    is_legal = np.take_along_axis(legal, actions[..., None], axis=-1)[..., 0]
    is_open = legal[..., 1]  # whoever may decide at all may do more than hold
    payments = is_open & ~openings[..., None]
    done = np.where(is_legal, actions, 0)[payments]
    committed = actions[..., 0][openings & is_open[..., 0]]
    scalars = {
        "masks/legal_actions": float(legal.mean()),
        "masks/illegal_actions_per_step": float((~is_legal).sum() / openings.size),
    }
    if not openings.all():
        scalars["masks/slots_with_payment"] = float(payments[~openings].mean())
    if done.size:
        shares = {"hold": done == 0, "release": done == 1, "split": done > 1}
        scalars |= {f"actions/{name}": float(chosen.mean()) for name, chosen in shares.items()}
    if committed.size:
        scalars["actions/pool_share"] = float(committed.mean() / (legal.shape[-1] - 1))
    return scalars


def segment_seed(config: TrainConfig, timesteps: int) -> int:
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
