"""Validation of what `reset` and `step` are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_gym._engine import ActionError
from paysim_gym.envs.env_arguments import Seeding
from paysim_gym.validation_errors import format_value

Seeds = int | Sequence[int | None] | None

MAX_SEED = 2**64 - 1


def validate_seed(seed: object) -> int:
    """Return the seed as an int, or raise a ValueError outside [0, 2**64)."""
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and 0 <= seed <= MAX_SEED:
        return int(seed)
    raise ValueError(f"seed = {format_value(seed)}: must be an integer between 0 and {MAX_SEED}")


def validate_state(state: object) -> bytes:
    """Return the saved state; raises ValueError unless bytes. The engine validates its content."""
    if isinstance(state, bytes):
        return state
    raise ValueError(f"state = {format_value(state)}: must be the bytes that save_state returned")


def validate_seeds(seed: Seeds, num_envs: int, seeding: Seeding = "consecutive") -> list[int | None]:
    """Return the seed of each row; None starts the row's next episode.

    Args:
        seed: As `PaymentVectorEnv.reset` takes it.
        num_envs: Number of rows.
        seeding: Whether an int s seeds row i with s + i, or the rows with `spread_seeds`.

    Raises:
        ValueError: If a seed is invalid, or there is not one for each row.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, np.ndarray) and seed.ndim != 1:
        raise ValueError(f"seed = {seed!r}: an array must have shape ({num_envs},)")
    if isinstance(seed, Sequence | np.ndarray):
        if len(seed) != num_envs:
            raise ValueError(f"seed has {len(seed)} entries: must have one for each of {num_envs} rows")
        return [None if row_seed is None else validate_seed(row_seed) for row_seed in seed]
    if seeding == "spread":
        return [*spread_seeds(seed, num_envs)]
    return [validate_seed(validate_seed(seed) + row) for row in range(num_envs)]


def spread_seeds(seed: int, count: int, worker: int = 0) -> list[int]:
    """Draw seeds that no other seed or worker shares, with `numpy.random.SeedSequence`.

    Args:
        seed: Between 0 and 2**64 - 1.
        count: Number of seeds; fewer are a prefix of more.
        worker: Number of the process that draws, for processes that draw from one seed.

    Raises:
        ValueError: If the seed is not an integer between 0 and 2**64 - 1.
    """
    sequence = np.random.SeedSequence(validate_seed(seed), spawn_key=(worker,))
    return [int(drawn) for drawn in sequence.generate_state(count, np.uint64)]


def validate_options(options: object) -> Mapping[str, Any]:
    """Return the options of a reset, by default empty; raises ValueError unless a mapping."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValueError(f"options = {format_value(options)}: must be a mapping or None")
    return options


def validate_reset_mask(options: object, num_envs: int) -> NDArray[np.bool_]:
    """Return `options["reset_mask"]`, or all rows: contiguous bool of shape (num_envs,).

    Raises:
        ValueError: If the options are not a mapping, or the mask has the wrong type or shape or no row.
    """
    mask = validate_options(options).get("reset_mask")
    if mask is None:
        return np.ones(num_envs, np.bool_)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        raise ValueError(f"reset_mask = {mask!r}: must be a bool array of shape ({num_envs},)")
    if not mask.any():
        raise ValueError(f"reset_mask = {mask!r}: must name at least one row")
    return np.ascontiguousarray(mask)


def validate_agents(actions: Mapping[str, Any], agents: Sequence[str]) -> None:
    """Raise a ValueError unless there is an action for every agent and no other."""
    if set(actions) != set(agents):
        given = ", ".join(map(str, actions)) or "(none)"
        raise ValueError(f"actions have keys {given}: must be {', '.join(agents)}")


def validate_shape(actions: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise a ValueError for actions of another shape."""
    if actions.shape != shape:
        raise ValueError(f"actions have shape {actions.shape}: must be {shape}")


def validate_actions(
    actions: object, shape: tuple[int, ...], learners: Sequence[str], components: Mapping[str, int]
) -> NDArray[np.int64]:
    """Return the actions as the engine takes them; the engine validates their range.

    Args:
        actions: Integers of the given shape.
        shape: (num_envs, components), or (num_envs,) where an action is one number.
        learners: The banks that act in the rows of a system, for the error message.
        components: Name of each component to its number of choices, for the error message.

    Returns:
        Contiguous int64 of that shape.

    Raises:
        ValueError: If the shape or the type is wrong.
        ActionError: If an action exceeds int64, which a cast would turn into another action.
    """
    array = np.asarray(actions)
    if array.dtype.kind not in "iu":
        raise ValueError(f"actions have dtype {array.dtype}: must be integers")
    validate_shape(array, shape)
    if array.dtype == np.uint64 and (array > np.iinfo(np.int64).max).any():
        index = tuple(np.argwhere(array > np.iinfo(np.int64).max)[0])
        name, choices = list(components.items())[index[1] if len(index) > 1 else 0]
        system, learner = divmod(int(index[0]), len(learners))
        raise ActionError(
            f"environment {system}, bank {learners[learner]}, {name}: action {array[index]} "
            f"must be between 0 and {choices - 1}"
        )
    return np.ascontiguousarray(array, np.int64)
