"""Checks of what `reset` and `step` are given."""

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


def check_seed(seed: object) -> int:
    """The seed as a Python int.

    Raises:
        ValueError: If it is not an integer between 0 and 2**64 - 1.
    """
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and 0 <= seed <= MAX_SEED:
        return int(seed)
    raise ValueError(f"seed = {format_value(seed)}: must be an integer between 0 and {MAX_SEED}")


def check_state(state: object) -> bytes:
    """The saved state, whose bytes the engine checks.

    Raises:
        ValueError: If it is not bytes.
    """
    if isinstance(state, bytes):
        return state
    raise ValueError(f"state = {format_value(state)}: must be the bytes that save_state gave")


def row_seeds(seed: Seeds, num_envs: int, seeding: Seeding = "consecutive") -> list[int | None]:
    """The seed of each row; None goes on to the row's next episode.

    Args:
        seed: As `PaymentVectorEnv.reset` takes it.
        num_envs: Number of rows.
        seeding: Whether an int s seeds row i with s + i, or the rows with `spread_seeds`.

    Raises:
        ValueError: If a seed is wrong, or there is not one for each row.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, np.ndarray) and seed.ndim != 1:
        raise ValueError(f"seed = {seed!r}: an array must have shape ({num_envs},)")
    if isinstance(seed, Sequence | np.ndarray):
        if len(seed) != num_envs:
            raise ValueError(f"seed has {len(seed)} entries: must have one for each of {num_envs} rows")
        return [None if lane is None else check_seed(lane) for lane in seed]
    if seeding == "spread":
        return [*spread_seeds(seed, num_envs)]
    return [check_seed(check_seed(seed) + row) for row in range(num_envs)]


def spread_seeds(seed: int, count: int, worker: int = 0) -> list[int]:
    """Seeds that another seed or worker does not share, drawn by `numpy.random.SeedSequence`.

    Args:
        seed: Between 0 and 2**64 - 1.
        count: How many are drawn; fewer are the first of more.
        worker: Number of the process that draws, for processes that draw from one seed.

    Raises:
        ValueError: If the seed is not an integer between 0 and 2**64 - 1.
    """
    sequence = np.random.SeedSequence(check_seed(seed), spawn_key=(worker,))
    return [int(drawn) for drawn in sequence.generate_state(count, np.uint64)]


def check_options(options: object) -> Mapping[str, Any]:
    """The options of a reset; none are an empty mapping.

    Raises:
        ValueError: If they are not a mapping.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValueError(f"options = {format_value(options)}: must be a mapping or None")
    return options


def rows_to_reset(options: object, num_envs: int) -> NDArray[np.bool_]:
    """Rows that `options["reset_mask"]` names, all without it: contiguous bool of shape (num_envs,).

    Raises:
        ValueError: If the options are not a mapping, or the mask is not as described or names no row.
    """
    mask = check_options(options).get("reset_mask")
    if mask is None:
        return np.ones(num_envs, np.bool_)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        raise ValueError(f"reset_mask = {mask!r}: must be a bool array of shape ({num_envs},)")
    if not mask.any():
        raise ValueError(f"reset_mask = {mask!r}: must name at least one row")
    return np.ascontiguousarray(mask)


def check_shape(actions: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Refuse actions of another shape.

    Raises:
        ValueError: If the shapes differ.
    """
    if actions.shape != shape:
        raise ValueError(f"actions have shape {actions.shape}: must be {shape}")


def check_actions(
    actions: object, shape: tuple[int, ...], learners: Sequence[str], choices: int
) -> NDArray[np.int64]:
    """The actions as the engine takes them, which checks their range.

    Args:
        actions: Integers of the given shape.
        shape: (num_envs, slots), or (num_envs,) where an action is one number.
        learners: The banks that act in the rows of a system, for the error message.
        choices: Number of values an action can have, for the error message.

    Returns:
        Contiguous int64 of that shape.

    Raises:
        ValueError: If the shape or the type is wrong.
        ActionError: If an action is beyond int64, which a cast would turn into another action.
    """
    array = np.asarray(actions)
    kind = array.dtype.kind
    if kind not in "iu":
        raise ValueError(f"actions have dtype {array.dtype}: must be integers")
    check_shape(array, shape)
    if kind == "u" and array.dtype == np.uint64 and (array > np.iinfo(np.int64).max).any():
        place = tuple(np.argwhere(array > np.iinfo(np.int64).max)[0])
        slot = place[1] if len(place) > 1 else 0
        system, learner = divmod(int(place[0]), len(learners))
        raise ActionError(
            f"environment {system}, bank {learners[learner]}, slot {slot}: action {array[place]} "
            f"must be between 0 and {choices - 1}"
        )
    return np.ascontiguousarray(array, np.int64)
