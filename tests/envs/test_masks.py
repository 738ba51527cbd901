"""Masks in the forms that Gymnasium, PettingZoo and sb3-contrib take."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.vector import SyncVectorEnv

from paysim_gym import PaymentEnv, PaymentVectorEnv
from paysim_gym.envs.parallel import parallel_env
from paysim_gym.envs.spaces import MaskFormat

MODES = [{"action_mode": "slots"}, {"action_mode": "fraction"}, {"slots": 3, "split_parts": [2]}]
SCENARIOS = ["two_bank", "liquidity_pool"]


def size(space: Any) -> int:
    """Number of flags of a flat mask."""
    return int(space.nvec.sum() if isinstance(space, MultiDiscrete) else space.n)


@pytest.mark.parametrize("arguments", MODES, ids=str)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_single_environments_sample_legal_actions(scenario: str, arguments: dict[str, Any]) -> None:
    env = PaymentEnv(scenario, strict=True, **arguments)
    env.action_space.seed(0)
    for seed in range(3):
        _, info = env.reset(seed=seed)
        over = False
        while not over:
            mask: Any = info["action_mask"]
            assert type(mask) is (np.ndarray if isinstance(env.action_space, Discrete) else tuple)
            assert all(part.dtype == np.int8 for part in mask)
            flat = env.action_masks()
            assert flat.dtype == np.bool_
            assert flat.shape == (size(env.action_space),)
            assert np.array_equal(
                flat, np.concatenate(np.atleast_2d(mask) if isinstance(mask, np.ndarray) else mask)
            )
            _, _, over, _, info = env.step(env.action_space.sample(mask=mask))
        assert info["illegal_actions"] == 0


@pytest.mark.parametrize("arguments", MODES, ids=str)
def test_agents_of_pettingzoo_sample_legal_actions(arguments: dict[str, Any]) -> None:
    env = parallel_env("five_bank", ["CORE_A", "SMALL_C"], strict=True, **arguments)
    for agent in env.possible_agents:
        env.action_space(agent).seed(0)
    _, infos = env.reset(seed=0)
    while env.agents:
        masks = env.action_masks()
        for agent, info in infos.items():
            assert np.array_equal(np.hstack(info["action_mask"]), masks[agent])
        *_, infos = env.step(
            {agent: env.action_space(agent).sample(mask=infos[agent]["action_mask"]) for agent in env.agents}
        )


@pytest.mark.parametrize("arguments", MODES, ids=str)
def test_a_fleet_has_one_array_of_flags(arguments: dict[str, Any]) -> None:
    env = PaymentVectorEnv(4, strict=True, autoreset_mode="SameStep", **arguments)
    flags = size(env.single_action_space)
    _, infos = env.reset(seed=0)
    for _ in range(60):
        masks = infos["action_mask"]
        assert (masks.dtype, masks.shape) == (np.int8, (4, flags))
        assert np.array_equal(masks, env.action_masks())
        actions = [env.single_action_space.sample(mask=env.mask_format.split(mask)) for mask in masks]
        *_, infos = env.step(np.array(actions))


@pytest.mark.parametrize("space", [Discrete(5), MultiDiscrete([2, 5, 3]), MultiDiscrete([4])], ids=str)
def test_components_may_have_different_numbers_of_values(space: Any) -> None:
    mask_format = MaskFormat(space)
    assert mask_format.size == size(space)
    space.seed(0)
    for chosen in (space.sample() for _ in range(20)):
        flags = np.asarray(gym.spaces.flatten(space, chosen), np.bool_)
        assert np.array_equal(space.sample(mask=mask_format.split(flags)), chosen)


def test_gymnasium_batches_masks() -> None:
    """Gymnasium keeps tuples of masks as objects, row by row."""
    for env_id, is_tuple in (("PaySim/TwoBank-v1", True), ("PaySim/TwoBankFraction-v1", False)):
        env = SyncVectorEnv([partial(gym.make, env_id)] * 2)
        _, infos = env.reset(seed=0)
        assert (infos["action_mask"].dtype == object) is is_tuple
        assert infos["_action_mask"].all()
