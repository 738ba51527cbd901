"""Datasets of Minari."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import pytest
from numpy.typing import NDArray

import paysim_gym
from paysim_gym import PaymentEnv
from paysim_gym.envs.env_arguments import ActionMode
from paysim_gym.envs.infos import COST_KEYS
from paysim_gym.envs.minari import PaymentStepData

EPISODES = 3


# Minari leaves temporary folders to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")


@pytest.fixture(autouse=True)
def _datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    yield
    gc.collect()


def flat(mask: Any) -> NDArray[np.int8]:
    return np.concatenate(mask) if isinstance(mask, tuple) else mask


def collect(env: gym.Env[Any, Any], policy: dict[str, Any]) -> tuple[minari.MinariDataset, list[Any]]:
    """A dataset of a few days, and what the environment returned on them."""
    collector = minari.DataCollector(env, step_data_callback=PaymentStepData, record_infos=True)
    payment_env: Any = env.unwrapped
    played = []
    for seed in range(EPISODES):
        first, info = collector.reset(seed=seed)
        episode: list[Any] = [(first, None, None, None, None, info)]
        over = False
        while not over:
            action = payment_env.scripted_actions(policy)
            observation, reward, terminated, truncated, info = collector.step(action)
            episode.append((observation, action, reward, terminated, truncated, info))
            over = terminated or truncated
        played.append(episode)
    dataset = collector.create_dataset(
        "paysim/rules-v0",
        algorithm_name="rules",
        author="PaySim Gym",
        author_email="none",
        code_permalink="none",
        description="days of a rule",
        eval_env=env,
        ref_min_score=0.0,
    )
    collector.close()
    return dataset, played


@pytest.mark.parametrize("action_mode", ["slots", "fraction"])
def test_a_dataset_is_what_was_played(action_mode: ActionMode) -> None:
    env = gym.make("PaySim/TwoBank-v1", action_mode=action_mode)
    _, played = collect(env, {"type": "hold_until_deadline"})
    dataset = minari.load_dataset("paysim/rules-v0")
    assert dataset.total_episodes == EPISODES
    assert dataset.total_steps == sum(len(episode) - 1 for episode in played)
    assert dataset.observation_space == env.observation_space
    assert dataset.action_space == env.action_space
    for stored, episode in zip(dataset.iterate_episodes(), played, strict=True):
        observations, actions, rewards, terminated, truncated, infos = zip(*episode, strict=True)
        assert np.array_equal(stored.observations, np.stack(observations))
        assert np.array_equal(stored.actions, np.stack(actions[1:]))
        assert np.array_equal(stored.rewards, np.array(rewards[1:]))
        assert stored.terminations.tolist() == list(terminated[1:])
        assert stored.truncations.tolist() == list(truncated[1:])
        assert stored.infos is not None
        assert stored.infos.keys() == {"action_mask", "illegal_actions", *COST_KEYS}
        assert np.array_equal(stored.infos["action_mask"], np.stack([flat(i["action_mask"]) for i in infos]))
        for key in ("illegal_actions", *COST_KEYS):
            assert stored.infos[key].dtype == np.int64
            assert stored.infos[key].tolist() == [info[key] for info in infos]
        costs = sum(stored.infos[key].sum() for key in COST_KEYS)
        assert costs == infos[-1]["episode_cost"] > 0
        assert float(stored.rewards.sum()) == pytest.approx(-costs / env.unwrapped.reward_scale_cents)  # type: ignore[attr-defined]


def test_the_environment_comes_back_from_the_dataset() -> None:
    dataset, _ = collect(gym.make("PaySim/TwoBank-v1"), {"type": "release_all"})
    env = dataset.recover_environment()
    assert isinstance(env.unwrapped, PaymentEnv)
    (episode, *_) = dataset.iterate_episodes()
    observation, _ = env.reset(seed=0)
    assert np.array_equal(observation, episode.observations[0])
    for action, expected in zip(episode.actions, episode.rewards, strict=True):
        _, reward, *_ = env.step(action)
        assert reward == expected


def test_infos_of_wrappers_and_truncated_episodes_are_stored() -> None:
    """RecordEpisodeStatistics adds a key at an episode's end only."""
    env = gym.wrappers.RecordEpisodeStatistics(gym.make("PaySim/TwoBank-v1", max_episode_steps=5))
    dataset, played = collect(env, {"type": "release_all"})
    assert all("episode" in episode[-1][5] for episode in played)
    assert [len(episode) for episode in dataset.iterate_episodes()] == [5] * EPISODES
    assert all(episode.truncations[-1] for episode in dataset.iterate_episodes())


def test_without_the_callback_the_totals_break_the_infos() -> None:
    """What the callback is for."""
    collector = minari.DataCollector(gym.make("PaySim/TwoBank-v1"), record_infos=True)
    collector.reset(seed=0)
    hold = np.zeros(8, np.int64)
    for _ in range(paysim_gym.load_scenario("two_bank").ticks_per_day - 1):
        collector.step(hold)
    with pytest.raises(ValueError, match="episode_cost"):
        collector.step(hold)
    collector.close()
