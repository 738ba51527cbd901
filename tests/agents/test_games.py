"""Payoff matrices, best responses and equilibria, against published tables and by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from paysim_agents.games import (
    FULL_SHARE,
    best_responses,
    payoff_matrices,
    play,
    pool_and_payment_strategies,
    pool_strategies,
    pure_equilibria,
    regrets,
    social_planner_cost,
)

from paysim_gym import ActionError, load_scenario

# Costs of (first, second); the first's strategies are the rows.
PRISONERS = np.array([[[1, 1], [3, 0]], [[0, 3], [2, 2]]])
PENNIES = np.array([[[0, 1], [1, 0]], [[1, 0], [0, 1]]])
MOVES = np.array([[1, 0], [0, 1]])  # morning, afternoon


def two_period(**env_kwargs: Any) -> NDArray[np.int64]:
    return payoff_matrices(
        "castro_two_period", pool_strategies(), action_mode="fraction", decides="pool", **env_kwargs
    )


def test_regrets_of_the_prisoners_dilemma() -> None:
    assert regrets(PRISONERS).tolist() == [[[1, 1], [1, 0]], [[0, 1], [0, 0]]]


def test_best_responses_are_of_the_shape_of_the_costs() -> None:
    assert best_responses(PRISONERS).tolist() == [
        [[False, False], [False, True]],
        [[True, False], [True, True]],
    ]


def test_equilibria_may_be_one_none_or_several() -> None:
    assert pure_equilibria(PRISONERS) == [(1, 1)]
    assert pure_equilibria(PENNIES) == []
    assert pure_equilibria(np.zeros((1, 3, 2), np.int64)) == [(0, 0), (0, 1), (0, 2)]


def test_the_social_planner_may_choose_a_pair_that_is_no_equilibrium() -> None:
    assert social_planner_cost([PRISONERS]) == (2, 2, 2)
    assert social_planner_cost([PRISONERS, PENNIES]) == (1.5, 1, 2)


def test_the_social_planner_cost_needs_a_day() -> None:
    with pytest.raises(ValueError, match="days: must have at least one"):
        social_planner_cost([])


def test_the_intraday_liquidity_game_of_bech_and_garratt() -> None:
    # Bech and Garratt (2003), table 1: F = 300,000 for an overdraft, D = 200,000 for a delay.
    costs = payoff_matrices("bech_garratt_priced", MOVES, slots=1, split_parts=[])
    assert costs.dtype == np.int64
    assert costs.tolist() == [
        [[0, 0], [300_000, 200_000]],
        [[200_000, 300_000], [200_000, 200_000]],
    ]
    assert pure_equilibria(costs) == [(0, 0), (1, 1)]


def test_the_two_period_game_of_castro_et_al() -> None:
    costs = two_period()
    assert costs.shape == (21, 21, 2)
    assert pure_equilibria(costs) == [(0, 4)]
    assert costs[0, 4].tolist() == [0, 200_000]
    assert social_planner_cost([costs]).mean == 200_000
    # Their best response (section 4): the first period's debt, and what the other's payment leaves of
    # the second's.
    for other in range(21):
        assert np.flatnonzero(best_responses(costs)[:, other, 0]).tolist() == [max(3 - min(other, 3), 0)]
        assert np.flatnonzero(best_responses(costs)[other, :, 1]).tolist() == [4]


def test_the_order_of_the_learners_is_that_of_the_axes() -> None:
    assert np.array_equal(two_period(learners=("B", "A")), two_period().transpose(1, 0, 2)[..., ::-1])


def test_the_banks_may_have_different_strategies() -> None:
    few = pool_strategies()[[0, 4]]
    costs = payoff_matrices(
        "castro_two_period", pool_strategies(), few, action_mode="fraction", decides="pool"
    )
    assert np.array_equal(costs, two_period()[:, [0, 4]])


def test_several_slots_are_a_fourth_axis() -> None:
    one = np.array([[1, 0], [0, 1]])
    three = np.zeros((2, 2, 3), np.int64)
    three[:, :, 0] = one
    assert np.array_equal(
        payoff_matrices("bech_garratt_priced", three, slots=3, split_parts=[]),
        payoff_matrices("bech_garratt_priced", one, slots=1, split_parts=[]),
    )


def test_all_games_play_on_the_day_of_the_seed(small_scenario: dict[str, Any]) -> None:
    first, second = small_scenario["agents"]
    scenario = small_scenario | {"agents": [first, second | {"policy": {"type": "learner"}}]}
    actions = np.full((12, 5, 2), FULL_SHARE)
    costs = [play(scenario, actions, seed=seed, action_mode="fraction") for seed in (1, 2)]
    assert all((day == day[0]).all() for day in costs)
    assert costs[0][0].tolist() != costs[1][0].tolist()


def test_strategies_of_pool_and_payments() -> None:
    strategies = pool_and_payment_strategies("castro_two_period")
    assert strategies.shape == (21**2, 3)
    assert len({tuple(strategy) for strategy in strategies.tolist()}) == 21**2
    assert (strategies[:, -1] == FULL_SHARE).all()


def test_an_illegal_action_is_not_taken_for_another() -> None:
    twice = np.array([[1, 1]])  # the one payment has left the slot by then
    with pytest.raises(ActionError):
        payoff_matrices("bech_garratt_priced", twice, slots=1, split_parts=[])


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 5, 3), r"must be \(steps, games, 2\), with A, B"), ((4, 5, 2), "has only 3 steps")],
)
def test_actions_of_another_shape_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        play("castro_two_period", np.zeros(shape, np.int64), action_mode="fraction")


def test_a_game_needs_two_learners() -> None:
    with pytest.raises(ValueError, match="learners = BANK_A: payoff matrices need exactly two"):
        payoff_matrices("two_bank", MOVES)


def test_strategies_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shapes \(21, 1\) and \(2, 2\)"):
        payoff_matrices("castro_two_period", pool_strategies(), MOVES)


def test_a_scenario_may_be_given_as_any_source() -> None:
    data = json.loads(load_scenario("castro_two_period").model_dump_json())
    assert np.array_equal(
        payoff_matrices(data, pool_strategies(), action_mode="fraction", decides="pool"), two_period()
    )
