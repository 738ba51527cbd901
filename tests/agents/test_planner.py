"""The planner: the information it uses, its costs and its choices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from paysim_agents.hindsight import ROUNDING_CENTS, hindsight
from paysim_agents.planner import Planner, best_beyond_standard_error, neighbours, planner
from paysim_agents.scripted import scripted

from paysim_gym import PaymentVectorEnv
from paysim_gym.evaluation import evaluate

RULES: list[dict[str, Any]] = [
    {"type": "release_all"},
    {"type": "myopic"},
    {"type": "hold_until_deadline"},
    {"type": "liquidity_aware", "buffer": 300_000_00},
]


@pytest.mark.parametrize("day", range(8))
def test_same_past_other_future_same_action(day: int, small_scenario: dict[str, Any]) -> None:
    """The planner acts in copies of one state with different futures."""
    env = PaymentVectorEnv(1, small_scenario)
    env.reset(seed=day)
    actions, sent = [], []
    for _ in range(4):
        env.step(env.scripted_actions({"type": "hold_until_deadline"}))
    state = env.save_state()
    for seed in (None, 7, 8):
        observation, _ = env.restore_state(0, state, seed=seed)
        actions.append(Planner(env, RULES, futures=8).predict(observation[None])[0])
        for _ in range(7):
            observations, *_ = env.step(np.zeros((1, 8), np.int64))
        sent.append(observations)
    assert np.array_equal(actions[0], actions[1])
    assert np.array_equal(actions[0], actions[2])
    assert not np.array_equal(sent[0], sent[1])
    assert not np.array_equal(sent[1], sent[2])


def test_it_lies_between_the_rules_and_hindsight(small_scenario: dict[str, Any]) -> None:
    small_scenario["agents"][1] |= {"balance": 10_000_000_00}
    for agent in small_scenario["agents"]:
        agent["arrival_config"] = {**agent["arrival_config"], "divisible": False}
    seeds = range(12)
    planned = evaluate(planner(RULES, futures=8), small_scenario, seeds, strict=True).cost
    best = min(evaluate(scripted(rule), small_scenario, seeds).cost.mean() for rule in RULES)
    assert planned.mean() < 0.95 * best
    for seed, cost in list(zip(seeds, planned, strict=True))[:6]:
        assert cost >= hindsight(small_scenario, seed).bound_cents - ROUNDING_CENTS


def test_it_beats_every_rule_without_randomness() -> None:
    rules = [*RULES[:2], {"type": "hold_until_deadline", "margin": 1}]
    cost = evaluate(planner(rules, futures=1), "gridlock", [0]).cost[0]
    assert 236_400 <= cost < 276_400


def test_planning_is_reproducible(small_scenario: dict[str, Any]) -> None:
    costs = [evaluate(planner(RULES, futures=4), small_scenario, [1, 2]).cost.tolist() for _ in range(2)]
    assert costs[0] == costs[1]
    alone = evaluate(planner(RULES, futures=4), small_scenario, [2]).cost
    assert alone.tolist() == costs[0][1:]


def test_it_commits_the_pool_if_liquidity_is_free(small_scenario: dict[str, Any]) -> None:
    small_scenario["agents"][0] |= {"balance": 0, "credit_limit": 0, "liquidity_pool": 5_000_000_00}
    for rate, commits in ((0.0, True), (1.0, False)):
        small_scenario["costs"] = {**small_scenario["costs"], "liquidity_rate": rate}
        env = PaymentVectorEnv(1, small_scenario)
        observations, _ = env.reset(seed=0)
        actions, _ = Planner(env, RULES, futures=4).predict(observations)
        assert (actions[0, -1] > 0) == commits
        assert not actions[0, :-1].any()


def test_neighbours_differ_in_one_payment() -> None:
    mask = np.array([[True, True, True], [True, True, False], [True, False, False]])
    found = neighbours(np.array([1, 0, 0]), mask)
    assert found[0].tolist() == [1, 0, 0]
    assert sorted(found.tolist()) == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0]]


def test_a_candidate_must_save_more_than_a_standard_error() -> None:
    """Savings are 1 (standard error 2) and 3 (standard error 1)."""
    first = np.array([10.0, 20.0, 30.0, 40.0])
    saved = np.array([[0, 0, 0, 0], [5, -3, 5, -3], [5, 1, 5, 1]])
    assert best_beyond_standard_error(first - saved) == 2
    assert best_beyond_standard_error((first - saved)[:2]) == 0
    assert best_beyond_standard_error(np.array([[3.0], [2.0], [1.0]])) == 2
    assert best_beyond_standard_error(np.array([[3.0], [3.0]])) == 0


@pytest.mark.parametrize(
    ("env_arguments", "arguments", "match"),
    [
        ({}, {"rules": []}, "rules: must have at least one"),
        ({}, {"rules": RULES, "futures": 0}, "futures = 0: must be at least 1"),
        ({"action_mode": "fraction"}, {"rules": RULES}, "must have one learner and the `slots` action mode"),
        ({"learner": ["BANK_A", "BANK_B"], "num_envs": 2}, {"rules": RULES}, "must have one learner"),
        ({}, {"rules": [{"type": "greedy"}]}, "policy"),
    ],
)
def test_wrong_arguments_are_refused(
    env_arguments: dict[str, Any], arguments: dict[str, Any], match: str, small_scenario: dict[str, Any]
) -> None:
    env = PaymentVectorEnv(scenario=small_scenario, **env_arguments)
    with pytest.raises(ValueError, match=match):
        Planner(env, **arguments)


def test_the_opening_is_planned_with_every_rule() -> None:
    """An immediate release needs the whole pool and costs less than holding."""
    payments = [
        {"sender": sender, "receiver": receiver, "amount": 4_000, "arrival_tick": tick, "deadline_tick": 3}
        for sender, receiver, tick in (("A", "B", 0), ("B", "A", 2))
    ]
    scenario = {
        "ticks_per_day": 4,
        "agents": [
            {"id": "A", "balance": 0, "liquidity_pool": 4_000, "policy": {"type": "learner"}},
            {"id": "B", "balance": 1_000_000},
        ],
        "initial_transactions": payments,
        "costs": {"liquidity_rate": 0.02, "delay_rate": 0.02, "eod_rate": 0.5, "deadline_penalty": 300},
    }
    release: dict[str, Any] = {"type": "release_all"}
    hold: dict[str, Any] = {"type": "random", "release_probability": 0.0}
    env = PaymentVectorEnv(1, scenario, split_parts=[], pool_shares=2)
    observations, _ = env.reset(seed=0)
    for rules, share in (([hold], 0), ([release], 1), ([hold, release], 1), ([release, hold], 1)):
        actions, _ = Planner(env, rules, futures=1).predict(observations)
        assert actions[0, -1] == share, rules
