"""The Stable-Baselines3 environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from paysim_agents import ScriptedAgent
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

from paysim_gym import PaymentVectorEnv
from paysim_gym.envs.sb3 import PaymentVecEnv


@pytest.fixture
def venv(small_scenario: dict[str, Any]) -> PaymentVecEnv:
    return PaymentVecEnv(PaymentVectorEnv(3, small_scenario, autoreset_mode="SameStep"))


def hold(venv: Any) -> Any:
    return venv.step(np.zeros((venv.num_envs, 8), np.int64))


@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])
def test_only_same_step_is_taken(mode: str) -> None:
    with pytest.raises(ValueError, match="SameStep"):
        PaymentVecEnv(PaymentVectorEnv(2, autoreset_mode=mode))


def test_only_ends_have_infos(venv: PaymentVecEnv) -> None:
    venv.seed(0)
    venv.reset()
    for _ in range(11):
        _, _, dones, infos = hold(venv)
        assert not dones.any()
        assert infos == [{}, {}, {}]
    observations, rewards, dones, infos = hold(venv)
    assert rewards.dtype == np.float32
    assert dones.all()
    for row, info in enumerate(infos):
        totals = {key for key in info if key.startswith("episode_")}
        assert info.keys() - totals == {"terminal_observation", "TimeLimit.truncated"}
        assert info["TimeLimit.truncated"] is False
        assert venv.observation_space.contains(info["terminal_observation"])
        assert not np.array_equal(info["terminal_observation"], observations[row])
        assert info["episode_cost"] > 0


def test_step_limit_is_told_apart_from_an_end(small_scenario: dict[str, Any]) -> None:
    env = PaymentVectorEnv(2, small_scenario, autoreset_mode="SameStep", max_episode_steps=5)
    venv = PaymentVecEnv(env)
    venv.reset()
    for _ in range(5):
        _, _, dones, infos = hold(venv)
    assert dones.all()
    assert [info["TimeLimit.truncated"] for info in infos] == [True, True]


def test_seed_waits_for_the_next_reset(venv: PaymentVecEnv) -> None:
    assert venv.seed(7) == [7, 8, 9]
    first = venv.reset()
    assert np.array_equal(first, venv.vector_env.reset(seed=7)[0])
    second = venv.reset()
    assert not np.array_equal(first, second)
    venv.seed(7)
    assert np.array_equal(first, venv.reset())


def test_attributes_are_one_for_each_row(venv: PaymentVecEnv) -> None:
    assert venv.get_attr("learner") == ["BANK_A"] * 3
    assert venv.get_attr("render_mode", indices=[0, 2]) == [None, None]
    assert venv.has_attr("action_masks")
    assert not venv.has_attr("surprise")
    with pytest.raises(AttributeError):
        venv.get_attr("surprise")
    venv.set_attr("note", "kept")
    assert venv.get_attr("note", indices=1) == ["kept"]
    with pytest.raises(ValueError, match="indices"):
        venv.set_attr("note", "lost", indices=[0])


def test_methods_answer_row_by_row(venv: PaymentVecEnv) -> None:
    venv.reset()
    masks = venv.env_method("action_masks")
    assert np.array_equal(masks, venv.action_masks())
    assert venv.action_masks().shape == (3, 32)
    actions = venv.env_method("scripted_actions", {"type": "release_all"}, indices=[2])
    assert np.array_equal(actions, venv.vector_env.scripted_actions({"type": "release_all"})[[2]])
    for name in ("surprise", "reset", "close"):
        with pytest.raises(AttributeError, match=f"method_name = '{name}': must be one of action_masks, "):
            venv.env_method(name)


def test_states_are_saved_and_restored_row_by_row(venv: PaymentVecEnv) -> None:
    venv.seed(0)
    venv.reset()
    saved = venv.env_method("save_state")
    assert len(set(saved)) == 3
    first = hold(venv)[0]
    venv.env_method("restore_state", saved[1], indices=[0, 1])
    again = hold(venv)[0]
    assert np.array_equal(again[0], first[1])
    assert np.array_equal(again[1], first[1])
    assert not np.array_equal(again[2], first[2])


def test_rows_of_several_learners_are_pairs(small_scenario: dict[str, Any]) -> None:
    fleet = PaymentVectorEnv(4, small_scenario, ["BANK_B", "BANK_A"], autoreset_mode="SameStep")
    venv = PaymentVecEnv(fleet)
    assert venv.num_envs == 4
    venv.seed(3)
    first = venv.reset()
    assert np.array_equal(first, fleet.reset(seed=[3, 4, 5, 6])[0])
    for _ in range(12):
        _, rewards, dones, infos = hold(venv)
    assert dones.all()
    assert len({info["episode_cost"] for info in infos}) == 4
    assert rewards.shape == (4,)


def test_no_row_is_wrapped(venv: PaymentVecEnv) -> None:
    assert venv.env_is_wrapped(gym.Wrapper) == [False] * 3
    assert venv.env_is_wrapped(gym.Wrapper, indices=0) == [False]


def test_waiting_without_a_step_is_an_error(venv: PaymentVecEnv) -> None:
    venv.reset()
    with pytest.raises(RuntimeError, match="step_async"):
        venv.step_wait()


def test_monitor_reports_the_return(venv: PaymentVecEnv) -> None:
    monitored = VecMonitor(venv)
    monitored.reset()
    returns = np.zeros(3)
    for _ in range(12):
        _, rewards, _, infos = hold(monitored)
        returns += rewards
    for row, info in enumerate(infos):
        assert info["episode"]["l"] == 12
        assert info["episode"]["r"] == pytest.approx(returns[row], rel=1e-5)
        cost = info["episode_cost"]
        assert returns[row] == pytest.approx(-cost / venv.vector_env.reward_scales_cents["BANK_A"], rel=1e-5)


def test_normaliser_sees_terminal_observations(venv: PaymentVecEnv) -> None:
    normalised = VecNormalize(venv)
    normalised.reset()
    for _ in range(12):
        observations, rewards, _, infos = hold(normalised)
    assert np.isfinite(observations).all()
    assert np.isfinite(rewards).all()
    assert np.isfinite([info["terminal_observation"] for info in infos]).all()


@pytest.mark.parametrize(
    "wrap", [lambda venv: venv, VecMonitor, lambda venv: VecNormalize(venv, norm_reward=False)]
)
def test_evaluate_policy_takes_a_scripted_agent(venv: PaymentVecEnv, wrap: Any) -> None:
    wrapped = wrap(venv)
    wrapped.seed(0)
    agent = ScriptedAgent(wrapped, {"type": "release_all"})
    rewards: Any
    rewards, lengths = evaluate_policy(
        agent, wrapped, n_eval_episodes=6, return_episode_rewards=True, warn=False
    )
    assert lengths == [12] * 6
    assert len(set(rewards)) > 1
    assert max(rewards) <= 0


def test_ppo_learns_from_it_without_a_complaint(venv: PaymentVecEnv) -> None:
    model = PPO("MlpPolicy", VecNormalize(VecMonitor(venv)), n_steps=24, batch_size=36, n_epochs=1, seed=0)
    model.learn(144)
    assert model.num_timesteps == 144
