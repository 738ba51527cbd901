"""Returned arrays are owned by the caller, who may keep and modify them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from paysim_gym import PaymentEnv, PaymentVectorEnv


def arrays(value: Any) -> Iterator[NDArray[Any]]:
    """All arrays in the results of an environment."""
    if isinstance(value, np.ndarray):
        yield value
        if value.dtype == object:
            value = [item for item in value if item is not None]
        else:
            return
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from arrays(part)


def jsonable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: jsonable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(part) for part in value]
    return value


@pytest.mark.parametrize("mode", AutoresetMode)
def test_returned_arrays_belong_to_the_caller(mode: AutoresetMode, small_scenario: dict[str, Any]) -> None:
    env = PaymentVectorEnv(3, small_scenario, autoreset_mode=mode)
    given = list(arrays(env.reset(seed=0)))
    for step in range(14):
        if step == 12 and mode is AutoresetMode.DISABLED:
            given += arrays(env.reset())
        given += arrays(env.step(np.ones((3, 8), np.int64)))
        given += [env.action_masks(), env.action_masks()]
    assert all(array.flags.writeable for array in given)
    assert not any(
        np.shares_memory(one, other)
        for index, one in enumerate(given)
        for other in given[:index]
        if object not in (one.dtype, other.dtype)
    )


@pytest.mark.parametrize("rows", [None, 2], ids=["single", "fleet"])
def test_writing_into_them_changes_nothing(rows: int | None, small_scenario: dict[str, Any]) -> None:
    twins: list[Any] = [
        PaymentVectorEnv(rows, small_scenario) if rows else PaymentEnv(small_scenario) for _ in range(2)
    ]
    actions = np.ones((rows, 8) if rows else 8, np.int64)
    spoilt, expected = [env.reset(seed=0) for env in twins]
    for _ in range(12):
        assert json.dumps(jsonable(spoilt)) == json.dumps(jsonable(expected))
        for array in [*arrays(spoilt), twins[0].action_masks()]:
            array[...] = 7
        assert np.array_equal(twins[0].action_masks(), twins[1].action_masks())
        spoilt, expected = [env.step(actions) for env in twins]
