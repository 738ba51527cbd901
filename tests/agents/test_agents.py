"""Scripted agents and their tuning."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics
from paysim_agents import ScriptedAgent, candidate_grid, scripted, tune
from paysim_agents.tuning import RULE_TYPES, tune_rules
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from paysim_gym import PaymentEnv, PaymentVectorEnv, load_scenario
from paysim_gym.envs.sb3 import PaymentVecEnv
from paysim_gym.evaluation import evaluate


@pytest.mark.parametrize(
    "make",
    [
        PaymentEnv,
        lambda: gym.make("PaySim/TwoBank-v1"),
        lambda: Monitor(gym.make("PaySim/TwoBank-v1")),
        lambda: RecordEpisodeStatistics(gym.make("PaySim/TwoBank-v1")),
    ],
)
def test_agent_acts_in_a_single_environment(make: Any) -> None:
    env = make()
    agent = ScriptedAgent(env, {"type": "release_all"})
    observation, _ = env.reset(seed=0)
    for _ in range(10):
        action, state = agent.predict(observation)
        assert env.action_space.contains(action)
        assert state is None
        observation, _, _, _, info = env.step(action)
        assert info["illegal_actions"] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: PaymentVectorEnv(3, strict=True),
        lambda: gym.wrappers.vector.RecordEpisodeStatistics(PaymentVectorEnv(3)),
    ],
)
def test_agent_acts_in_a_vector_environment(make: Any) -> None:
    env = make()
    agent = ScriptedAgent(env, {"type": "liquidity_aware", "buffer": 100_000_00})
    observations, _ = env.reset(seed=0)
    for _ in range(100):
        actions, _ = agent.predict(observations)
        assert env.action_space.contains(actions)
        observations, *_ = env.step(actions)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PaymentVecEnv(PaymentVectorEnv(3, autoreset_mode="SameStep")),
        lambda: DummyVecEnv([lambda: Monitor(PaymentEnv())] * 3),
    ],
)
def test_agent_acts_in_a_vec_env(make: Any) -> None:
    env = make()
    env.seed(0)
    agent = ScriptedAgent(env, {"type": "random"})
    observations = env.reset()
    actions, _ = agent.predict(observations)
    assert actions.shape == (3, 8)


def test_evaluate_policy_takes_a_single_environment(small_scenario: dict[str, Any]) -> None:
    env: Any = Monitor(PaymentEnv(small_scenario))
    env.reset(seed=0)
    agent = ScriptedAgent(env, {"type": "release_all"})
    rewards: Any
    rewards, lengths = evaluate_policy(agent, env, n_eval_episodes=3, return_episode_rewards=True)
    assert lengths == [12, 12, 12]
    assert len(set(rewards)) == 3


@pytest.mark.parametrize("rule_type", RULE_TYPES)
def test_agent_costs_what_the_engine_charges_for_that_policy(
    rule_type: str, small_scenario: dict[str, Any]
) -> None:
    policy = {"type": rule_type}
    scenario = small_scenario | {"seed": 4}
    outside = evaluate(scripted(policy), scenario, seeds=[4], slots=64, split_parts=[2])

    from paysim_gym import Orchestrator

    first, *others = scenario["agents"]
    orchestrator = Orchestrator(scenario | {"agents": [first | {"policy": policy}, *others]})
    while not orchestrator.is_over:
        orchestrator.tick()
    costs = orchestrator.get_state()["agents"][0]["costs"]
    assert outside.cost[0] == sum(costs.values()) > 0
    assert outside.cost_overdraft[0] == costs["overdraft"]


def test_release_all_releases_what_the_mask_allows() -> None:
    env = PaymentEnv()
    env.reset(seed=0)
    releasable = env.action_masks().reshape(8, 4)[:, 1]
    assert np.array_equal(env.scripted_actions({"type": "release_all"}), releasable.astype(np.int64))


@pytest.mark.parametrize("rule_type", RULE_TYPES)
def test_grids_are_playable(rule_type: str, small_scenario: dict[str, Any]) -> None:
    grid = candidate_grid(rule_type, small_scenario, "BANK_A")
    assert all(policy["type"] == rule_type for policy in grid)
    assert len({str(policy) for policy in grid}) == len(grid)
    best, trials = tune(small_scenario, range(8), grid)
    assert [trial.policy for trial in trials] == grid
    assert best == min(trials, key=lambda trial: trial.cost_cents_mean).policy


def test_buffers_span_the_opening_liquidity() -> None:
    bank = load_scenario("two_bank").agents[0]
    buffers = [policy["buffer"] for policy in candidate_grid("liquidity_aware", "two_bank", "BANK_A")]
    assert buffers == sorted(buffers)
    assert (buffers[0], buffers[-1]) == (0, bank.balance + bank.credit_limit)


def test_tuning_is_reproducible(small_scenario: dict[str, Any]) -> None:
    grid = candidate_grid("hold_until_deadline", small_scenario, "BANK_A")
    assert tune(small_scenario, [1, 2, 3], grid) == tune(small_scenario, iter([1, 2, 3]), grid)


@pytest.mark.parametrize(("rule_type", "learner"), [("greedy", "BANK_A"), ("random", "BANK_X")])
def test_unknown_grid_is_a_value_error(rule_type: str, learner: str, small_scenario: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        candidate_grid(rule_type, small_scenario, learner)


def test_nothing_to_tune_is_a_value_error(small_scenario: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="candidates"):
        tune(small_scenario, [0], [])


def test_grids_by_hand(small_scenario: dict[str, Any]) -> None:
    """12 ticks, an opening liquidity of 700,000.00 and a mean amount of 100,000.00."""

    def values(rule_type: str, *names: str) -> list[tuple[Any, ...]]:
        grid = candidate_grid(rule_type, small_scenario, "BANK_A")
        return [tuple(policy[name] for name in names) for policy in grid]

    assert values("hold_until_deadline", "margin") == [(0,), (1,), (2,), (3,), (4,), (6,), (8,), (12,)]
    assert values("liquidity_aware", "buffer") == [(35_000_00 * step,) for step in range(21)]
    means = (0, 50_000_00, 100_000_00, 200_000_00, 400_000_00, 800_000_00)
    assert values("split_large", "parts", "threshold") == [
        (parts, mean) for parts in (2, 4) for mean in means
    ]
    assert values("random", "release_probability") == [(tenths / 10,) for tenths in range(1, 10)]
    del small_scenario["agents"][0]["arrival_config"]
    assert values("split_large", "parts", "threshold") == [(2, 0), (4, 0)]


def test_rules_are_tuned_with_every_pool_share_of_the_opening(small_scenario: dict[str, Any]) -> None:
    small_scenario["agents"][0] |= {"balance": 0, "liquidity_pool": 900_000_00}
    small_scenario["costs"] = {**small_scenario["costs"], "liquidity_rate": 0.00001}
    rule_types = ["release_all", "hold_until_deadline"]
    tuned = tune_rules(load_scenario(small_scenario), "BANK_A", range(3), rule_types, pool_shares=5)
    assert [(policy["type"], share) for _, policy, share in tuned] == [
        (rule_type, share) for share in (0, 0.25, 0.5, 0.75, 1) for rule_type in rule_types
    ]
    for cost, policy, share in tuned:
        small_scenario["agents"][0]["liquidity_share"] = share
        played = evaluate(scripted(policy), small_scenario, range(3)).cost
        assert cost == pytest.approx(played.mean())
    del small_scenario["agents"][0]["liquidity_pool"], small_scenario["agents"][0]["liquidity_share"]
    without_pool = tune_rules(load_scenario(small_scenario), "BANK_A", range(3), rule_types)
    assert [share for *_, share in without_pool] == [None, None]
