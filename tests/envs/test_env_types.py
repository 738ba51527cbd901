"""Errors for wrapped environments and for those of another type."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.wrappers.vector import NormalizeObservation, RecordEpisodeStatistics
from paysim_agents import ScriptedAgent
from paysim_agents.planner import Planner
from paysim_agents.tree import Leaf, Tree, TreeAgent
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from paysim_gym import PaymentEnv, PaymentVectorEnv
from paysim_gym.envs import PaymentParallelVectorEnv
from paysim_gym.envs.export import export_network
from paysim_gym.envs.parallel import parallel_env
from paysim_gym.envs.sb3 import PaymentVecEnv

RELEASE_ALL = {"type": "release_all"}
HOLD = Tree(
    split_parts=(2, 4),
    amount_scale_cents=1,
    ticks_per_day=1,
    slots=1,
    payments=Leaf(action=0, decisions=1, agreement=1),
)
NOT_FLEETS: list[tuple[Any, str]] = [
    (lambda: PaymentEnv(), "PaymentEnv: must be a PaymentVectorEnv, as"),
    (lambda: gym.make("PaySim/TwoBank-v1"), "PaymentEnv: must be a PaymentVectorEnv, as"),
    (lambda: gym.make_vec("PaySim/TwoBank-v1", 2, "sync"), "SyncVectorEnv: must be a PaymentVectorEnv, as"),
    (lambda: parallel_env("five_bank"), "PaymentParallelEnv: must be a PaymentVectorEnv, as"),
    (lambda: PaymentParallelVectorEnv(2), "PaymentParallelVectorEnv: must be a PaymentVectorEnv, as"),
    (lambda: DummyVecEnv([PaymentEnv]), "DummyVecEnv: must be a PaymentVectorEnv, as"),
    (lambda: gym.make("CartPole-v1"), "CartPoleEnv: must be a PaymentVectorEnv, as"),
    (lambda: "two_bank", "str: must be a PaymentVectorEnv, as"),
    (
        lambda: RecordEpisodeStatistics(NormalizeObservation(PaymentVectorEnv(2))),
        "RecordEpisodeStatistics over NormalizeObservation over PaymentVectorEnv: must be a PaymentVectorEnv "
        "without wrappers: pass ",
    ),
]
TAKERS: list[tuple[str, Any]] = [
    ("vector_env", PaymentVecEnv),
    ("env", lambda env: Planner(env, [RELEASE_ALL])),
    ("env", lambda env: TreeAgent(env, HOLD)),
]


@pytest.mark.parametrize(("argument", "take"), TAKERS, ids=["PaymentVecEnv", "Planner", "TreeAgent"])
@pytest.mark.parametrize(("make", "message"), NOT_FLEETS, ids=lambda part: part if part is str else "")
def test_a_fleet_without_wrappers_is_needed(argument: str, take: Any, make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)) as caught:
        take(make())
    assert str(caught.value).startswith(f"{argument} = ")


def test_the_error_says_what_to_do() -> None:
    fleet = PaymentVectorEnv(2, autoreset_mode="SameStep")
    with pytest.raises(TypeError, match="wrappers of Stable-Baselines3, such as VecMonitor"):
        PaymentVecEnv(RecordEpisodeStatistics(fleet))  # type: ignore[arg-type]
    PaymentVecEnv(RecordEpisodeStatistics(fleet).unwrapped)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"gym.make_vec\(id, num_envs\) makes it"):
        PaymentVecEnv(PaymentEnv())  # type: ignore[arg-type]


def test_scripted_agents_act_under_wrappers() -> None:
    fleet = RecordEpisodeStatistics(PaymentVectorEnv(2, autoreset_mode="SameStep"))
    venv = VecNormalize(PaymentVecEnv(PaymentVectorEnv(2, autoreset_mode="SameStep")))
    for env in (gym.make("PaySim/TwoBank-v1"), fleet, venv, DummyVecEnv([PaymentEnv])):
        observations: Any = env.reset()
        first = observations[0] if isinstance(observations, tuple) else observations
        assert ScriptedAgent(env, RELEASE_ALL).predict(first)[0].shape == env.action_space.shape or (2, 8)


@pytest.mark.parametrize(
    "make",
    [
        lambda: gym.make("CartPole-v1"),
        lambda: DummyVecEnv([lambda: gym.make("CartPole-v1")]),
        lambda: parallel_env("five_bank"),
        lambda: PaymentParallelVectorEnv(2),
        lambda: "two_bank",
    ],
)
def test_scripted_agents_name_other_environments(make: Any) -> None:
    with pytest.raises(TypeError, match=r"^env = \w+: must be a PaymentEnv, a PaymentVectorEnv or a VecEnv"):
        ScriptedAgent(make(), RELEASE_ALL)


def test_export_names_wrappers_and_models(tmp_path: Any) -> None:
    model = PPO("MlpPolicy", PaymentVecEnv(PaymentVectorEnv(2, autoreset_mode="SameStep")))
    file = tmp_path / "network.safetensors"
    export_network(model, file)
    for env in (
        NormalizeObservation(PaymentVectorEnv(2)),
        RecordEpisodeStatistics(NormalizeObservation(PaymentVectorEnv(2))),
    ):
        with pytest.raises(
            ValueError, match="env has a VectorObservationWrapper: no wrapper but VecNormalize"
        ):
            export_network(model, file, env)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^model = str: must be a model of Stable-Baselines3"):
        export_network("model.zip", file)  # type: ignore[arg-type]
