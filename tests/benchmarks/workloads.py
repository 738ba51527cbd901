"""Workloads of the benchmarks.

Actions are sampled from the legal ones outside the time measured.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

import paysim_gym  # noqa: F401  registers the ids

DAY = 49
"""Steps from one start of the day to the next, in the NEXT_STEP mode."""
NUM_ENVS = 1024


def sample_legal(masks: NDArray[np.bool_], choices: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Uniform random legal actions, int64 of shape (num_envs, slots)."""
    flags = masks.reshape(len(masks), -1, choices)
    actions: NDArray[np.int64] = (generator.random(flags.shape, np.float32) * flags).argmax(-1)
    return actions


class Fleet:
    """`make_vec` of TwoBank."""

    def __init__(self, num_threads: int, num_envs: int = NUM_ENVS) -> None:
        self.env: Any = gym.make_vec("PaySim/TwoBank-v1", num_envs=num_envs, num_threads=num_threads)
        self.env.reset(seed=0)
        space = self.env.single_action_space
        assert isinstance(space, gym.spaces.MultiDiscrete)
        self._choices = int(space.nvec[0])
        self._generator = np.random.default_rng(0)

    def speed(self, days: int) -> float:
        """Ticks per second of all rows; steps that only reset rows are not counted."""
        spent = 0.0
        for _ in range(days * DAY):
            actions = sample_legal(self.env.unwrapped.action_masks(), self._choices, self._generator)
            start = perf_counter()
            self.env.step(actions)
            spent += perf_counter() - start
        return float(days * (DAY - 1) * self.env.num_envs / spent)


class CartPoles:
    """EnvPool's CartPole-v1, synchronous, on two threads."""

    def __init__(self, envpool: Any) -> None:
        self._env = envpool.make("CartPole-v1", env_type="gymnasium", num_envs=NUM_ENVS, num_threads=2)
        self._env.reset()
        self._actions = np.random.default_rng(0).integers(0, 2, (64, NUM_ENVS))

    def speed(self, steps: int) -> float:
        """Steps per second of all rows."""
        start = perf_counter()
        for step in range(steps):
            self._env.step(self._actions[step % len(self._actions)])
        return steps * NUM_ENVS / (perf_counter() - start)


class Single:
    """One environment, with the wrappers of `gym.make`."""

    def __init__(self, env_id: str, num_episodes: int = 20) -> None:
        self._env: Any = gym.make(env_id)
        self._env.action_space.seed(0)
        self._episodes = [self._record(seed) for seed in range(num_episodes)]

    def speed(self, steps: int) -> float:
        """Calls of `step` per second, in recorded episodes; resets are not timed."""
        spent, played = 0.0, 0
        while played < steps:
            for seed, actions in enumerate(self._episodes):
                self._env.reset(seed=seed)
                start = perf_counter()
                for action in actions:
                    self._env.step(action)
                spent += perf_counter() - start
                played += len(actions)
        return played / spent

    def _record(self, seed: int) -> list[Any]:
        """Random legal actions of an episode, which is reproducible from seed and actions."""
        _, self._info = self._env.reset(seed=seed)
        actions, is_over = [], False
        while not is_over:
            actions.append(self._sample())
            _, _, terminated, truncated, self._info = self._env.step(actions[-1])
            is_over = terminated or truncated
        return actions

    def _sample(self) -> Any:
        return self._env.action_space.sample(mask=self._info.get("action_mask"))


class Idle(VecEnv):
    """A `VecEnv` that does nothing, with the spaces of another."""

    def __init__(self, like: VecEnv) -> None:
        super().__init__(like.num_envs, like.observation_space, like.action_space)
        self._observations = np.stack([like.observation_space.sample() for _ in range(like.num_envs)])

    def reset(self) -> NDArray[np.float32]:
        return self._observations

    def step_async(self, actions: NDArray[np.int64]) -> None:
        pass

    def step_wait(self) -> Any:
        rewards, ended = np.zeros(self.num_envs, np.float32), np.zeros(self.num_envs, np.bool_)
        return self._observations, rewards, ended, [{} for _ in range(self.num_envs)]

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if attr_name != "render_mode":
            raise AttributeError(attr_name)
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs
