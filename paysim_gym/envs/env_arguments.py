"""Constructor arguments of environments, validated before the engine sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypedDict, Unpack

import numpy as np
from gymnasium.vector import AutoresetMode
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StrictBool,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from paysim_gym._engine import SHARES
from paysim_gym.scenario.field_limits import FloatRange, IntRange, LengthRange
from paysim_gym.validation_errors import format_errors

RewardKind = Literal["own", "system", "blend"]
ActionMode = Literal["slots", "fraction"]
Decides = Literal["both", "pool", "payments", "nothing"]
Seeding = Literal["consecutive", "spread"]

DEFAULT_SLOTS = 8
DEFAULT_SPLIT_PARTS = (2, 4)


class EnvArguments(TypedDict, total=False):
    """Keyword arguments of every environment; `EnvSettings` has their meaning and defaults."""

    slots: int
    split_parts: Sequence[int]
    action_mode: ActionMode
    decides: Decides
    pool_shares: int
    reward: RewardKind
    reward_blend: float
    reward_scale: float | None
    strict: bool


class FleetArguments(EnvArguments, total=False):
    """Keyword arguments of environments of several rows; `EnvSettings` has their meaning and defaults."""

    max_episode_steps: int | None
    num_threads: int | None
    seeding: Seeding


def _check_ascending(parts: tuple[int, ...]) -> tuple[int, ...]:
    if any(second <= first for first, second in pairwise(parts)):
        raise PydanticCustomError("ascending", "must be in ascending order")
    return parts


class EnvSettings(BaseModel):
    """Validated arguments of an environment; the engine has the same ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    slots: Annotated[int, IntRange(1, 64)] = DEFAULT_SLOTS
    """Number of queued payments that one action decides on."""
    split_parts: Annotated[
        tuple[Annotated[int, IntRange(2, 100)], ...], LengthRange(0, 16), AfterValidator(_check_ascending)
    ] = DEFAULT_SPLIT_PARTS
    """Numbers of parts that an action may split a payment into, ascending."""
    action_mode: ActionMode = "slots"
    """Whether an action decides payment by payment (`slots`) or which share of the queue's value to release
    (`fraction`)."""
    decides: Decides = "both"
    """What the learner decides: its pool, its payments, both or nothing. Its bank's own policy decides the
    rest."""
    pool_shares: Annotated[int, IntRange(2, 101)] = SHARES
    """Number of shares of its pool that a learner chooses from: 0, 1 / (n - 1), ..., 1; 21 in the `fraction`
    mode."""
    reward: RewardKind = "own"
    """Whose cost is the negative reward: the learner's, all banks', or a blend of the two."""
    reward_blend: Annotated[float, FloatRange(0, 1)] = 0.5
    """Weight of the system's cost in a blend."""
    reward_scale: Annotated[float, FloatRange(1e-6, 1e15)] | None = None
    """Cents of cost per unit of negative reward; if None, chosen from the scenario."""
    strict: StrictBool = False
    """Whether an illegal action raises instead of acting as hold."""
    max_episode_steps: Annotated[int, IntRange(1, 2**32 - 1)] | None = None
    """Steps after which an episode is truncated, as by Gymnasium's `TimeLimit`."""
    num_envs: Annotated[int, IntRange(1, 2**24)] = 1
    """Number of rows."""
    num_threads: Annotated[int, IntRange(1, 1024)] | None = None
    """Engine threads; if None, one per processor for a large fleet, and one for a small fleet or in a worker
    process."""
    seeding: Seeding = "consecutive"
    """How an int seeds the rows: row i with `seed + i`, as Gymnasium does (`consecutive`), or with numbers
    drawn from it, which do not overlap those of `seed + 1` (`spread`)."""

    @field_validator("pool_shares")
    @classmethod
    def _check_pool_shares(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("action_mode") == "fraction" and value != SHARES:
            raise PydanticCustomError("pool_shares", f"must be {SHARES} in the fraction mode")
        return value

    @model_validator(mode="before")
    @classmethod
    def _convert_numpy(cls, data: Any) -> Any:
        return to_builtin(data)

    def within(self, episode_steps: int) -> Self:
        """Leave out a step limit that lies beyond the end of the episode."""
        if self.max_episode_steps is None or self.max_episode_steps <= episode_steps:
            return self
        return self.model_copy(update={"max_episode_steps": None})

    def decision_json(self, learners: Sequence[str]) -> str:
        """The engine's configuration of the decision process."""
        decision = self.model_dump(exclude={"num_envs", "num_threads", "seeding"})
        return json.dumps({"learners": learners, **decision})


def validate_env_arguments(num_envs: int = 1, **arguments: Unpack[FleetArguments]) -> EnvSettings:
    """Validate the arguments of an environment.

    Raises:
        TypeError: If there is no such argument.
        ValueError: If values are invalid: one line for each, as `name = value: what is allowed`.
    """
    check_names(arguments, FleetArguments)
    try:
        return EnvSettings.model_validate({"num_envs": num_envs, **arguments})
    except ValidationError as error:
        raise ValueError(format_errors(error, EnvSettings)) from None


def check_names(arguments: Mapping[str, object], allowed: type[EnvArguments]) -> None:
    """Raise a TypeError for keyword arguments that a TypedDict does not have."""
    for name in arguments:
        if name not in allowed.__annotations__:
            names = ", ".join(allowed.__annotations__)
            raise TypeError(f"unexpected keyword argument {name!r}; allowed: {names}")


def to_builtin(value: Any) -> Any:
    """Convert NumPy scalars and arrays, also nested ones, to Python scalars and lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple | range):
        return [to_builtin(part) for part in value]
    if isinstance(value, Mapping):
        return {key: to_builtin(part) for key, part in value.items()}
    return value


def resolve_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Return the autoreset mode for a mode or its string value; otherwise raise ValueError."""
    try:
        return AutoresetMode(mode)
    except ValueError:
        values = ", ".join(repr(known.value) for known in AutoresetMode)
        raise ValueError(f"autoreset_mode = {mode!r}: must be an AutoresetMode or one of {values}") from None
