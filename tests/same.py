"""Bitwise equality, and masks in one form."""

from __future__ import annotations

from typing import Any

import numpy as np


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Assert equal types, shapes, dtypes and bits at any depth."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, tuple | list):
        assert len(one) == len(other), where
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}/{index}")
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), where
        if one.dtype == object:
            assert_same(list(one), list(other), where)
        else:
            assert one.tobytes() == other.tobytes(), where
    else:
        assert one == other, where


def flat_masks(value: Any) -> Any:
    """Convert the masks of single environments to those of a vector environment.

    `SyncVectorEnv` keeps tuples of masks as objects, and None in rows without mask.
    """
    if isinstance(value, tuple | list):
        return type(value)(flat_masks(part) for part in value)
    if not isinstance(value, dict):
        return value
    return {key: _flat(part) if key == "action_mask" else flat_masks(part) for key, part in value.items()}


def _flat(masks: Any) -> Any:
    if isinstance(masks, tuple):
        return np.concatenate(masks)
    if masks.dtype != object:
        return masks
    rows = [None if mask is None else np.concatenate(mask) for mask in masks]
    empty = np.zeros_like(next(row for row in rows if row is not None))
    return np.stack([empty if row is None else row for row in rows])


def without_totals(info: dict[str, Any]) -> dict[str, Any]:
    """An info of a PettingZoo environment without the totals of the episode so far."""
    return {key: value for key, value in info.items() if not key.startswith("episode_")}
