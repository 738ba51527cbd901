"""Gymnasium's wrappers around the single and the vector environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import vector as vector_wrappers
from same import assert_same, flat_masks

from paysim_gym import PaymentEnv, PaymentVectorEnv

ENV_ID = "PaySim/TwoBank-v1"
TICKS = 48
ROWS = 3

Wrap = Callable[[Any], Any]
VECTOR_WRAPPERS: list[Wrap] = [
    vector_wrappers.RecordEpisodeStatistics,
    vector_wrappers.NormalizeObservation,
    vector_wrappers.NormalizeReward,
    vector_wrappers.FlattenObservation,
    lambda env: vector_wrappers.RescaleObservation(env, np.float32(0), np.float32(1)),
    vector_wrappers.DictInfoToList,
    lambda env: vector_wrappers.ClipReward(env, -1.0, 0.0),
    lambda env: vector_wrappers.TransformReward(env, lambda reward: reward / 2),
]


def without_clock(value: Any) -> Any:
    """Infos without the duration of an episode."""
    if isinstance(value, dict):
        return {key: without_clock(part) for key, part in value.items() if key not in ("t", "_t")}
    if isinstance(value, list | tuple):
        return type(value)(without_clock(part) for part in value)
    return value


def comparable(returned: Any) -> Any:
    """What is returned, without durations and with masks in one form."""
    return without_clock(flat_masks(returned))


def random_actions(steps: int, shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(1).integers(4, size=(steps, *shape))


class TestSingle:
    def test_statistics_are_those_of_the_episode(self) -> None:
        env = wrappers.RecordEpisodeStatistics(gym.make(ENV_ID))
        env.reset(seed=0)
        rewards = []
        for action in random_actions(TICKS, (8,)):
            _, reward, over, _, info = env.step(action)
            rewards.append(float(reward))
        assert over
        assert info["episode"]["l"] == TICKS
        assert info["episode"]["r"] == pytest.approx(sum(rewards), rel=1e-12)
        cost = -sum(rewards) * env.unwrapped.reward_scale_cents  # type: ignore[attr-defined]
        assert cost == pytest.approx(info["episode_cost"], rel=1e-9)

    def test_observations_and_rewards_are_normalised(self) -> None:
        env = wrappers.NormalizeReward(wrappers.NormalizeObservation(gym.make(ENV_ID)))
        observations = [env.reset(seed=0)[0]]
        rewards = []
        for _ in range(10):
            for action in random_actions(TICKS, (8,)):
                observation, reward, over, _, _ = env.step(action)
                observations.append(observation)
                rewards.append(float(reward))
            assert over
            observations.append(env.reset()[0])
        late = np.array(observations[5 * TICKS :])
        assert np.isfinite(late).all()
        assert np.abs(late.mean(axis=0)).max() < 1.0
        assert 0.01 < np.std(rewards) < 10

    @pytest.mark.parametrize(
        "wrap",
        [
            wrappers.FlattenObservation,
            lambda env: wrappers.RescaleObservation(env, np.float32(0), np.float32(1)),
            lambda env: wrappers.TimeAwareObservation(wrappers.TimeLimit(env, TICKS)),
            lambda env: wrappers.FrameStackObservation(env, 4),
            lambda env: wrappers.DelayObservation(env, 2),
            lambda env: wrappers.TimeLimit(env, 5),
        ],
        ids=["flatten", "rescale", "time", "stack", "delay", "limit"],
    )
    def test_observations_stay_inside_the_wrapped_space(self, wrap: Wrap) -> None:
        env = wrap(gym.make(ENV_ID))
        observation, _ = env.reset(seed=0)
        for action in random_actions(TICKS, (8,)):
            assert env.observation_space.contains(observation)
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                observation, _ = env.reset()

    def test_gym_make_limits_and_checks_as_asked(self) -> None:
        env = gym.make(ENV_ID, max_episode_steps=3)
        env.reset(seed=0)
        ends = [env.step(action)[2:4] for action in random_actions(3, (8,))]
        assert ends == [(False, False), (False, False), (False, True)]


def native_and_sync(mode: AutoresetMode) -> tuple[VectorEnv[Any, Any, Any], VectorEnv[Any, Any, Any]]:
    return PaymentVectorEnv(ROWS, autoreset_mode=mode), SyncVectorEnv(
        [PaymentEnv] * ROWS, autoreset_mode=mode
    )


class TestVector:
    @pytest.mark.parametrize("wrap", VECTOR_WRAPPERS)
    def test_wrapped_fleet_equals_wrapped_sync_vector_env(self, wrap: Wrap) -> None:
        native, sync = (wrap(env) for env in native_and_sync(AutoresetMode.NEXT_STEP))
        assert_same(comparable(native.reset(seed=3)), comparable(sync.reset(seed=3)))
        for step, actions in enumerate(random_actions(3 * TICKS, (ROWS, 8))):
            ours, theirs = native.step(actions), sync.step(actions)
            assert_same(comparable(ours), comparable(theirs), f"step {step}")

    def test_statistics_are_those_of_the_episode(self) -> None:
        env = vector_wrappers.RecordEpisodeStatistics(PaymentVectorEnv(ROWS))
        env.reset(seed=0)
        for actions in random_actions(TICKS, (ROWS, 8)):
            *_, infos = env.step(actions)
        assert infos["episode"]["l"].tolist() == [TICKS] * ROWS
        costs = -infos["episode"]["r"] * env.unwrapped.reward_scales_cents["BANK_A"]  # type: ignore[attr-defined]
        assert costs == pytest.approx(infos["episode_cost"], rel=1e-6)


class TestMakeVec:
    def test_modes_are_those_of_gymnasium(self) -> None:
        native = gym.make_vec(ENV_ID, num_envs=ROWS, vectorization_mode="vector_entry_point")
        sync = gym.make_vec(ENV_ID, num_envs=ROWS, vectorization_mode="sync")
        assert isinstance(native, PaymentVectorEnv)
        assert isinstance(sync, SyncVectorEnv)
        assert native.spec is not None
        assert native.spec.id == ENV_ID
        assert_same(native.reset(seed=0), flat_masks(sync.reset(seed=0)))
        for actions in random_actions(2 * TICKS, (ROWS, 8)):
            assert_same(native.step(actions), flat_masks(sync.step(actions)))

    @pytest.mark.parametrize("mode", AutoresetMode)
    def test_autoreset_is_chosen_by_value(self, mode: AutoresetMode) -> None:
        env = gym.make_vec(ENV_ID, num_envs=ROWS, autoreset_mode=mode.value)
        assert env.metadata["autoreset_mode"] is mode
        assert env.reset(seed=0)[0].shape == env.observation_space.shape
