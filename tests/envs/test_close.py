"""Closed environments refuse to go on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError

from paysim_gym import PaymentEnv, PaymentVectorEnv
from paysim_gym.envs.parallel import parallel_env

ENVIRONMENTS: dict[str, tuple[Callable[[], Any], Any]] = {
    "single": (lambda: PaymentEnv(render_mode="ansi"), np.zeros(8, np.int64)),
    "made": (
        lambda: gym.make("PaySim/TwoBank-v1", render_mode="ansi").unwrapped,
        np.zeros(8, np.int64),
    ),
    "vector": (lambda: PaymentVectorEnv(2, render_mode="ansi"), np.zeros((2, 8), np.int64)),
    "parallel": (
        lambda: parallel_env("five_bank", ["CORE_A", "SMALL_C"], render_mode="ansi"),
        dict.fromkeys(["CORE_A", "SMALL_C"], np.zeros(8, np.int64)),
    ),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("resets", [True, False])
def test_a_closed_environment_raises(name: str, resets: bool) -> None:
    make, actions = ENVIRONMENTS[name]
    env = make()
    if resets:
        env.reset(seed=0)
        env.step(actions)
    env.close()
    env.close()
    for call in (lambda: env.step(actions), env.reset, lambda: env.reset(seed=1), env.render):
        with pytest.raises(ClosedEnvironmentError, match="the environment is closed: make a new one"):
            call()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_copy_of_a_closed_environment_is_closed(name: str) -> None:
    make, _ = ENVIRONMENTS[name]
    env = make()
    env.reset(seed=0)
    env.close()
    with pytest.raises(ClosedEnvironmentError):
        copy.deepcopy(env).reset()


def test_a_saved_state_outlives_its_environment() -> None:
    env = PaymentEnv()
    env.reset(seed=0)
    state = env.save_state()
    env.close()
    for call in (env.save_state, lambda: env.restore_state(state)):
        with pytest.raises(ClosedEnvironmentError):
            call()
    other = PaymentEnv()
    other.reset(seed=1)
    other.restore_state(state)
    assert other.save_state() == state
