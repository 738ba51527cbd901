"""Settings of an environment beside its scenario, checked before the engine sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from gymnasium.vector import AutoresetMode
from pydantic import AfterValidator, BaseModel, ConfigDict, StrictBool, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from paysim_gym.scenario.field_limits import Length, Real, Whole
from paysim_gym.validation_errors import format_errors

RewardKind = Literal["own", "system", "blend"]
ActionMode = Literal["slots", "fraction"]
Decides = Literal["both", "pool", "payments"]
Seeding = Literal["consecutive", "spread"]

DEFAULT_SLOTS = 8
DEFAULT_SPLIT_PARTS = (2, 4)


def to_builtin(value: Any) -> Any:
    """The value without numpy, inside lists and mappings too: Python's scalars, and lists for arrays."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple | range):
        return [to_builtin(part) for part in value]
    if isinstance(value, Mapping):
        return {key: to_builtin(part) for key, part in value.items()}
    return value


def _check_ascending(parts: tuple[int, ...]) -> tuple[int, ...]:
    if any(second <= first for first, second in pairwise(parts)):
        raise PydanticCustomError("ascending", "must be in ascending order")
    return parts


class EnvSettings(BaseModel):
    """What `PaymentVectorEnv` is given beside scenario, learner and modes; the engine has the same ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    slots: Annotated[int, Whole(1, 64)] = DEFAULT_SLOTS
    """Number of queued payments that can be decided on in a step."""
    split_parts: Annotated[
        tuple[Annotated[int, Whole(2, 100)], ...], Length(0, 16), AfterValidator(_check_ascending)
    ] = DEFAULT_SPLIT_PARTS
    """Numbers of parts that an action may split a payment into, ascending."""
    action_mode: ActionMode = "slots"
    """What an action decides: payment by payment, or which share of the queue's value to release."""
    decides: Decides = "both"
    """What the learner decides; the rest follows its bank's own policy."""
    reward: RewardKind = "own"
    """Whose cost is the (negative) reward."""
    reward_blend: Annotated[float, Real(0, 1)] = 0.5
    """Weight of the system's cost in a blend."""
    reward_scale: Annotated[float, Real(1e-6, 1e15)] | None = None
    """Cents of cost per unit of negative reward."""
    strict: StrictBool = False
    """Whether an illegal action raises."""
    max_episode_steps: Annotated[int, Whole(1, 2**32 - 1)] | None = None
    """Steps after which an episode is truncated."""
    num_envs: Annotated[int, Whole(1, 2**24)] = 1
    """Number of rows."""
    num_threads: Annotated[int, Whole(1, 1024)] | None = None
    """Engine threads."""
    seeding: Seeding = "consecutive"
    """How an integer seeds the rows."""

    @model_validator(mode="before")
    @classmethod
    def _take_numpy(cls, data: Any) -> Any:
        return to_builtin(data)

    def decision_json(self, learners: Sequence[str]) -> str:
        """The engine's settings of the decision process."""
        decision = self.model_dump(exclude={"num_envs", "num_threads", "seeding"})
        return json.dumps({"learners": learners, **decision})


def validate_env_arguments(**given: Any) -> EnvSettings:
    """Settings out of what a caller gave.

    Raises:
        ValueError: If any is wrong: one line for each, as `name = value: what is allowed`.
    """
    try:
        return EnvSettings.model_validate(given)
    except ValidationError as error:
        raise ValueError(format_errors(error, EnvSettings)) from None


def resolve_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """An autoreset mode out of itself or its string value.

    Raises:
        ValueError: If it is neither.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        values = ", ".join(repr(known.value) for known in AutoresetMode)
        raise ValueError(f"autoreset_mode = {mode!r}: must be an AutoresetMode or one of {values}") from None
