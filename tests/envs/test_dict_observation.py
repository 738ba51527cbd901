"""The wrapper that separates bank, slots and mask, and the names of the columns."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as vector_wrappers
from same import assert_same, flat_masks
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import paysim_gym
from paysim_gym import PaymentEnv, PaymentVectorEnv
from paysim_gym.envs import DictObservation, VectorDictObservation
from paysim_gym.envs.parallel import parallel_env
from paysim_gym.evaluation import evaluate

STEPS = 100


@pytest.mark.parametrize("slots", [1, 3])
def test_names_are_those_of_the_fields(slots: int) -> None:
    fields = paysim_gym.observation_fields(slots)
    names = tuple(field.name for field in fields)
    single = PaymentEnv(slots=slots)
    assert single.observation_names == names
    assert PaymentVectorEnv(2, slots=slots).observation_names == names
    assert parallel_env("five_bank", slots=slots).observation_names == names
    space = single.observation_space
    assert isinstance(space, gym.spaces.Box)
    assert [field.low for field in fields] == space.low.tolist()
    assert [field.high for field in fields] == space.high.tolist()
    assert all(field.unit and field.doc for field in fields)


@pytest.mark.parametrize("arguments", [{}, {"action_mode": "fraction"}, {"slots": 1}], ids=str)
def test_the_parts_are_those_of_the_flat_observation(arguments: dict[str, Any]) -> None:
    flat, parted = PaymentEnv(**arguments), DictObservation(PaymentEnv(**arguments))
    bank = sum(not name.startswith("slot_") for name in flat.observation_names)
    flat.action_space.seed(0)
    one: Any = flat.reset(seed=0)
    other: Any = parted.reset(seed=0)
    for _ in range(48):
        assert parted.observation_space.contains(other[0])
        assert list(other[0]) == ["bank", "slots", "action_mask"]
        assert other[0]["slots"].shape[0] == flat.settings.slots
        assert len(other[0]["bank"]) == bank
        assert_same(np.concatenate([other[0]["bank"], other[0]["slots"].ravel()]), one[0])
        assert_same(other[0]["action_mask"], np.hstack(one[-1]["action_mask"]))
        assert_same(other[1:], one[1:])
        action = flat.action_space.sample()
        one, other = flat.step(action), parted.step(action)


def test_bounds_are_those_of_the_columns() -> None:
    space = DictObservation(PaymentEnv(slots=2)).observation_space
    fields = paysim_gym.observation_fields(2)
    low = np.concatenate([space["bank"].low, space["slots"].low.ravel()])  # type: ignore[index]
    high = np.concatenate([space["bank"].high, space["slots"].high.ravel()])  # type: ignore[index]
    assert low.tolist() == [field.low for field in fields]
    assert high.tolist() == [field.high for field in fields]


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.filterwarnings("ignore:Your observation slots has an unconventional shape")
@pytest.mark.parametrize(
    "arguments", [{}, {"scenario": "liquidity_pool", "action_mode": "fraction"}], ids=str
)
def test_public_checkers_pass(arguments: dict[str, Any]) -> None:
    gymnasium_check_env(DictObservation(PaymentEnv(**arguments)), skip_render_check=True)
    sb3_check_env(DictObservation(PaymentEnv(**arguments)))


@pytest.mark.parametrize("algorithm", [PPO, MaskablePPO])
def test_multi_input_policies_train_and_are_evaluated(algorithm: Any) -> None:
    env = DictObservation(gym.make("PaySim/TwoBank-v1"))
    model = algorithm("MultiInputPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0).learn(128)
    (cost,) = evaluate(model, "two_bank", [5]).cost
    observation, info = env.reset(seed=5)
    over = False
    while not over:
        masks = {"action_masks": env.unwrapped.action_masks()} if algorithm is MaskablePPO else {}  # type: ignore[attr-defined]
        action, _ = model.predict(observation, deterministic=True, **masks)
        observation, _, over, _, info = env.step(action)
    assert info["episode_cost"] == cost


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_wrapped_fleet_equals_wrapped_singles(mode: AutoresetMode) -> None:
    native = VectorDictObservation(PaymentVectorEnv(3, autoreset_mode=mode))
    sync = SyncVectorEnv([lambda: DictObservation(PaymentEnv())] * 3, autoreset_mode=mode)
    assert native.single_observation_space == sync.single_observation_space
    assert native.observation_space == sync.observation_space
    native.action_space.seed(0)
    assert_same(native.reset(seed=1), flat_infos(sync.reset(seed=1)))
    for _ in range(STEPS):
        actions = native.action_space.sample()
        assert_same(native.step(actions), flat_infos(sync.step(actions)))


def flat_infos(returned: Any) -> Any:
    return (*returned[:-1], flat_masks(returned[-1]))


def test_only_payment_environments_are_wrapped() -> None:
    with pytest.raises(ValueError, match="CartPoleEnv: must be a PaymentEnv"):
        DictObservation(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="a wrapper changed it"):
        DictObservation(gym.wrappers.FrameStackObservation(PaymentEnv(), 2))
    with pytest.raises(ValueError, match="CartPoleVectorEnv: must be a PaymentVectorEnv"):
        VectorDictObservation(gym.make_vec("CartPole-v1", num_envs=2))
    rescaled = vector_wrappers.RescaleObservation(PaymentVectorEnv(2), np.float32(0), np.float32(1))
    with pytest.raises(ValueError, match="a wrapper changed it"):
        VectorDictObservation(rescaled)
