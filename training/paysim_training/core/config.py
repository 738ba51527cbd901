"""The configuration schema of a training run, with defaults and limits.

Every reported result has one YAML file in ``training/paysim_training/configs``; omitted keys have the
defaults below. Demand seeds of different uses are disjoint: training seeds lie below 2**32, tuning seeds
start at 2**41, evaluation seeds at 2**42, and the day that is plotted during training has seed 2**64 - 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from paysim_gym.validation_errors import format_errors

TRAINING_SEEDS_END = 2**32
PICTURE_SEED = 2**64 - 1  # beyond every SeedRange
CONFIG_FOLDER = Path(__file__).parents[1] / "configs"

Count = Annotated[int, Field(ge=1, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ConfigError(ValueError):
    """An invalid configuration; the message has one line ``path = value: reason`` per error."""


class Frozen(BaseModel):
    """Base of immutable models that reject unknown keys."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class EnvConfig(Frozen):
    """A registered environment id and constructor arguments that override those of the id."""

    id: str = "PaySim/TwoBank-v1"
    kwargs: dict[str, JsonValue] = {}

    @property
    def num_learners(self) -> int:
        """Number of learners per system."""
        named = self.kwargs.get("learner")
        return len(named) if isinstance(named, list) and named else 1


class PpoConfig(Frozen):
    """Hyperparameters of PPO (Schulman et al. 2017) in Stable-Baselines3.

    The effect of a release on the cost of a day is small compared with the randomness of demand, and it
    shows within a few hours. Hence the defaults: a short horizon (`discount`, `gae_lambda`), many rows with
    few steps each, and a gradient limit at which the critic's large gradients do not suppress the actor's.

    `split_bias` is subtracted from the initial logits of splits, so that exploration does not start by
    splitting everything. With `sees_slots_before` a slot's network also sees the sums over the slots ahead
    of it. `rows_per_seed` neighbouring rows (of each learner) play the same days, and their common random
    variation is subtracted from their advantages (`paysim_training.algorithms.paired_advantages`). Learning
    rate and entropy coefficient change linearly to their final values.
    """

    steps_per_rollout: Count = 16
    batch_size: Annotated[int, Field(ge=2, strict=True)] = 2048
    epochs: Count = 3
    learning_rate: Positive = 3e-3
    final_learning_rate: NonNegative = 3e-4
    adam_epsilon: Positive = 1e-8
    discount: Fraction = 0.9
    gae_lambda: Fraction = 0.3
    clip_range: Positive = 0.2
    entropy_coefficient: NonNegative = 0.0
    final_entropy_coefficient: NonNegative = 0.0
    value_coefficient: NonNegative = 0.1
    max_gradient_norm: Positive = 20.0
    rows_per_seed: Count = 1
    slot_hidden_size: Count = 32
    split_bias: NonNegative = 2.0
    sees_slots_before: bool = False
    critic_layers: tuple[Count, ...] = (64, 64)


class WarmStart(Frozen):
    """Behaviour cloning before reinforcement learning (`paysim_training.algorithms.imitation`).

    The demonstrator is a rule with parameters tuned on the tuning seeds, `best_rule` (the best of all rules
    there) or `hindsight` (the plan with perfect foresight). `days` are drawn from the training seeds.
    """

    policy: Literal[
        "best_rule",
        "hindsight",
        "release_all",
        "hold_until_deadline",
        "liquidity_aware",
        "split_large",
        "myopic",
    ] = "best_rule"
    days: Count = 512
    epochs: Count = 100
    batch_size: Count = 512
    learning_rate: Positive = 3e-3


class SeedRange(Frozen):
    """A range of consecutive seeds, one per episode."""

    first_seed: Annotated[int, Field(ge=TRAINING_SEEDS_END, lt=2**63, strict=True)]
    episodes: Annotated[int, Field(ge=2, le=1_000_000, strict=True)]

    @property
    def seeds(self) -> range:
        """The seeds, in order."""
        return range(self.first_seed, self.first_seed + self.episodes)


class TrainConfig(Frozen):
    """A training run; with the scenario it determines the result on a given machine.

    TensorBoard shows an image of a day every `picture_every` timesteps, none if that is null. With more than
    one of `torch_threads` the last digits may vary with the load of the machine.
    """

    description: str = ""
    env: EnvConfig = EnvConfig()
    ppo: PpoConfig = PpoConfig()
    warm_start: WarmStart | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 0
    num_envs: Annotated[int, Field(ge=1, le=65_536, strict=True)] = 1024
    timesteps: Count = 3_000_000
    checkpoint_every: Count = 491_520
    picture_every: Count | None = 500_000
    torch_threads: Annotated[int, Field(ge=1, le=256, strict=True)] = 1
    evaluation: SeedRange = SeedRange(first_seed=2**42, episodes=1000)
    tuning: SeedRange = SeedRange(first_seed=2**41, episodes=200)

    @model_validator(mode="after")
    def _seeds_are_disjoint(self) -> Self:
        evaluation, tuning = self.evaluation.seeds, self.tuning.seeds
        if evaluation.start < tuning.stop and tuning.start < evaluation.stop:
            raise ValueError(f"evaluation seeds {evaluation} and tuning seeds {tuning} must not overlap")
        return self

    @model_validator(mode="after")
    def _batches_fill_the_rollout(self) -> Self:
        rollout = self.num_envs * self.ppo.steps_per_rollout
        if rollout % self.ppo.batch_size:
            raise ValueError(
                f"num_envs x ppo.steps_per_rollout = {rollout} must be a multiple of "
                f"ppo.batch_size = {self.ppo.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _groups_fill_the_rows(self) -> Self:
        rows, learners = self.ppo.rows_per_seed, self.env.num_learners
        if self.num_envs % (rows * learners):
            each = f" / {learners} learners" if learners > 1 else ""
            raise ValueError(
                f"ppo.rows_per_seed = {rows} must be a divisor of num_envs = {self.num_envs}{each}"
            )
        return self


class DistributedConfig(Frozen):
    """Settings of a distributed run beside its `TrainConfig`.

    With `separate` policies each learner has its own network; with `shared` all learners use one.
    """

    env_runners: Annotated[int, Field(ge=0, le=100_000, strict=True)] = 1
    policies: Literal["shared", "separate"] = "shared"

    def rows_per_runner(self, config: TrainConfig) -> int:
        """Returns the number of rows that each env runner plays.

        Raises:
            ConfigError: If the rows cannot be divided evenly, separate policies have only one learner, or
                there are several learners and a warm start.
        """
        learners, rows_per_seed = config.env.num_learners, config.ppo.rows_per_seed
        if learners == 1 and self.policies == "separate":
            raise ConfigError("policies = 'separate': requires several learners")
        if learners > 1 and config.warm_start is not None:
            raise ConfigError("warm_start: must be omitted with several learners")
        runners = max(1, self.env_runners)
        if config.num_envs % (runners * learners * rows_per_seed):
            raise ConfigError(
                f"num_envs = {config.num_envs}: must be a multiple of "
                f"{runners} env runners x {learners} learners x {rows_per_seed} rows per seed"
            )
        return config.num_envs // runners


def load_config(source: str | Path, **overrides: Any) -> TrainConfig:
    """Reads a configuration file.

    Args:
        source: Name of a bundled configuration, or path of a YAML file.
        overrides: Top-level keys that replace those of the file; None keeps the file's value.

    Raises:
        ConfigError: If there is no such file, or it is not a valid configuration.
    """
    path = CONFIG_FOLDER / f"{source}.yaml"
    if not path.is_file():
        path = Path(source)
    if not path.is_file():
        bundled = ", ".join(sorted(file.stem for file in CONFIG_FOLDER.glob("*.yaml")))
        raise ConfigError(f"config = {str(source)!r}: must be a YAML file, or one of: {bundled}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(content, dict | None):
        raise ConfigError(f"{path}: must hold keys and values, not a {type(content).__name__}")
    chosen = {key: value for key, value in overrides.items() if value is not None}
    return parse_config({**(content or {}), **chosen})


def parse_config(content: Mapping[str, Any]) -> TrainConfig:
    """Validates a configuration; raises ConfigError with one line per error."""
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(format_errors(error, TrainConfig, "config")) from error


def dump_yaml(content: Mapping[str, Any]) -> str:
    """Serialises plain data as YAML; keys keep their order."""
    return yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
