"""The group baseline of advantages of rows that play the same day."""

from __future__ import annotations

import numpy as np
import pytest
from paysim_training.core.config import ConfigError, parse_config

from paysim_gym import PaymentVectorEnv, load_scenario

pytest.importorskip("stable_baselines3")

from paysim_training.algorithms.paired_advantages import PairedRolloutBuffer, subtract_group_mean

from paysim_gym.envs.sb3 import PaymentVecEnv


def test_an_advantage_is_relative_to_the_other_rows_of_the_day() -> None:
    advantages = np.array([[5.0, 1.0, 10.0, 10.0], [0.0, 2.0, 3.0, -3.0]], np.float32)
    expected = [[4.0, -4.0, 0.0, 0.0], [-2.0, 2.0, 6.0, -6.0]]
    np.testing.assert_array_equal(subtract_group_mean(advantages, 2), np.array(expected, np.float32))
    three = subtract_group_mean(np.array([[6.0, 0.0, 3.0]], np.float32), 3)
    np.testing.assert_array_equal(three, np.array([[4.5, -4.5, 0.0]], np.float32))


def test_a_constant_of_the_day_cancels_out() -> None:
    generator = np.random.default_rng(0)
    advantages = generator.normal(size=(24, 32))
    of_the_day = np.repeat(generator.normal(scale=100, size=(24, 4)), 8, axis=1)
    with_day, alone = subtract_group_mean(advantages + of_the_day, 8), subtract_group_mean(advantages, 8)
    np.testing.assert_allclose(with_day, alone, atol=1e-11)


@pytest.mark.parametrize(
    ("rows_per_seed", "learners", "expected"),
    [
        (1, 1, [[1.0, 3.0, 2.0, 8.0], [0.0, 0.0, 2.0, 8.0]]),
        (2, 1, [[-2.0, 2.0, -6.0, 6.0], [0.0, 0.0, -6.0, 6.0]]),
        (2, 2, [[-1.0, -5.0, 1.0, 5.0], [-2.0, -8.0, 2.0, 8.0]]),
    ],
)
def test_the_buffer_changes_advantages_but_not_the_critic_targets(
    rows_per_seed: int, learners: int, expected: list[list[float]]
) -> None:
    import torch

    env = _env(4, 1)
    buffer = PairedRolloutBuffer(
        2,
        env.observation_space,
        env.action_space,
        n_envs=4,
        gamma=1.0,
        gae_lambda=1.0,
        rows_per_seed=rows_per_seed,
        learners=learners,
    )
    buffer.reset()
    for rewards in ([1.0, 3.0, 0.0, 0.0], [0.0, 0.0, 2.0, 8.0]):
        zeros = np.zeros(4, np.float32)
        observations, actions = np.zeros((4, *buffer.obs_shape), np.float32), np.zeros((4, buffer.action_dim))
        buffer.add(
            observations, actions, np.array(rewards, np.float32), zeros, torch.zeros(4), torch.zeros(4)
        )
    buffer.compute_returns_and_advantage(torch.zeros(4), np.ones(4, np.bool_))
    np.testing.assert_array_equal(buffer.returns, [[1.0, 3.0, 2.0, 8.0], [0.0, 0.0, 2.0, 8.0]])
    np.testing.assert_array_equal(buffer.advantages, expected)


def test_each_learner_has_its_own_baseline() -> None:
    two_banks = np.array([[1.0, 10.0, 3.0, 40.0, 5.0, 50.0, 5.0, 70.0]], np.float32)
    expected = np.array([[-2.0, -30.0, 2.0, 30.0, 0.0, -20.0, 0.0, 20.0]], np.float32)
    np.testing.assert_array_equal(subtract_group_mean(two_banks, 2, learners=2), expected)
    fleet = PaymentVectorEnv(12, "five_bank", ["CORE_A", "SMALL_C", "SMALL_D"], autoreset_mode="SameStep")
    env = PaymentVecEnv(fleet, rows_per_seed=2)
    assert env.seed(7) == [7, 8, 9, 7, 8, 9, 10, 11, 12, 10, 11, 12]
    first, second, third, fourth = env.reset().reshape(4, 3, -1)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(third, fourth)
    assert not np.array_equal(first, third)
    with pytest.raises(
        ValueError, match="rows_per_seed = 3: must be a divisor of num_envs = 12 / 3 learners"
    ):
        PaymentVecEnv(fleet, rows_per_seed=3)
    env.close()


def test_rows_of_a_seed_play_the_same_days_under_any_actions() -> None:
    env = _env(4, 2)
    assert env.seed(7) == [7, 7, 8, 8]
    env.reset()
    arrived = []
    for _ in range(3):
        is_over = False
        while not is_over:
            actions = np.zeros((4, *env.action_space.sample().shape), np.int64)
            actions[1::2] = 1  # the second of each pair releases everything, the first nothing
            _, _, dones, infos = env.step(actions)
            is_over = bool(dones.all())
        arrived.append([info["episode_arrived_value"] for info in infos])
        assert infos[0]["episode_cost"] != infos[1]["episode_cost"]
    first, second, third, fourth = np.array(arrived).T.tolist()
    assert first == second != third == fourth
    env.close()


def test_groups_fill_the_rows() -> None:
    with pytest.raises(ValueError, match="rows_per_seed = 3: must be a divisor of num_envs = 4"):
        _env(4, 3)
    with pytest.raises(ConfigError, match=r"ppo.rows_per_seed = 3 must be a divisor of num_envs = 1024"):
        parse_config({"ppo": {"rows_per_seed": 3}})


def _env(num_envs: int, rows_per_seed: int) -> PaymentVecEnv:
    fleet = PaymentVectorEnv(num_envs, load_scenario("two_bank"), autoreset_mode="SameStep")
    return PaymentVecEnv(fleet, rows_per_seed=rows_per_seed)
