"""The games of Castro et al. (2025, ACM TEAC 13:1), in the engine."""

from __future__ import annotations

import itertools
import json
from collections import deque
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from paysim_agents.games import (
    FULL_SHARE,
    payoff_matrices,
    play,
    pool_and_payment_strategies,
    pool_strategies,
    pure_equilibria,
)

from paysim_gym import Scenario, load_scenario
from paysim_gym._engine import SHARES

INDIVISIBLE = "castro_three_period_indivisible"
GAMES = ["castro_two_period", "castro_three_period", INDIVISIBLE, "castro_twelve_period"]
GRID = 500_000  # cents of a twentieth of the pool


def payoff_table(scenario: Scenario) -> NDArray[np.int64]:
    """Returns costs of shape (21, 21, 2) for all pairs of x0."""
    return payoff_matrices(scenario, pool_strategies(), action_mode="fraction", decides="pool")


def recursion_costs(scenario: Scenario, shares: tuple[int, int]) -> list[int]:
    """Computes both banks' costs in cents by the game's recursion."""
    prices = scenario.costs
    rates = (prices.liquidity_rate, prices.delay_rate, prices.eod_rate)
    liquidity_price, delay_price, loan_price = (round(rate * 1000) for rate in rates)
    liquidity = [share * GRID for share in shares]
    cost = [liquidity_price * committed for committed in liquidity]
    owed: tuple[deque[int], deque[int]] = (deque(), deque())
    for period in range(scenario.ticks_per_day):
        for payment in scenario.initial_transactions:
            if payment.arrival_tick == period:
                owed["AB".index(payment.sender)].append(payment.amount)
        sent = [send_all(owed[bank], liquidity[bank]) for bank in range(2)]
        is_last = period == scenario.ticks_per_day - 1
        for bank in range(2):
            liquidity[bank] -= sent[bank]
            shortfall = max(sum(owed[bank]) - liquidity[bank], 0)
            cost[bank] += loan_price * shortfall if is_last else delay_price * sum(owed[bank])
            liquidity[bank] += sent[1 - bank]
    return [thousandths // 1000 for thousandths in cost]


def send_all(owed: deque[int], liquidity: int) -> int:
    """Removes affordable payments from a FIFO queue and returns their value."""
    sent = 0
    while owed and sent + owed[0] <= liquidity:
        sent += owed.popleft()
    return sent


def with_delay_rate(scenario: Scenario, thousandths: int) -> Scenario:
    """Returns the game with another r_d."""
    data: dict[str, Any] = json.loads(scenario.model_dump_json())
    data["costs"]["delay_rate"] = thousandths / 1000
    return Scenario.model_validate(data)


@pytest.mark.parametrize("game", GAMES)
def test_every_pair_of_actions_has_the_costs_of_the_recursion(game: str) -> None:
    scenario = load_scenario(game)
    table = payoff_table(scenario)
    for pair in itertools.product(range(SHARES), range(SHARES)):
        assert table[pair].tolist() == recursion_costs(scenario, pair), pair


def test_the_two_period_game_in_closed_form() -> None:
    table = payoff_table(load_scenario("castro_two_period"))
    for a, b in itertools.product(range(SHARES), repeat=2):
        # B owes 3 twentieths at once and a fourth later, and gets A's money too late to use it.
        paid_at_once = min(b, 3)
        cost_b = 0.1 * b + 0.2 * (3 - paid_at_once) + 0.4 * max(4 - b, 0)
        # A owes 3 twentieths in the second period and can use what B has paid in the first.
        cost_a = 0.1 * a + 0.4 * max(3 - a - paid_at_once, 0)
        assert table[a, b].tolist() == [round(cost_a * GRID), round(cost_b * GRID)]


def test_the_two_period_game_with_payment_policies_in_closed_form() -> None:
    scenario = load_scenario("castro_two_period")
    a, b, sent_in_twentieths = (
        np.array(column) for column in zip(*itertools.product(range(SHARES), repeat=3), strict=True)
    )
    actions = np.full((3, len(a), 2), FULL_SHARE)
    actions[0] = np.stack([a, b], axis=1)
    actions[1, :, 1] = sent_in_twentieths
    # B owes 3 * GRID at once; what it sends of that is an action of the game if its liquidity allows it.
    sent = 3 * GRID * sent_in_twentieths // 20
    is_feasible = sent <= b * GRID
    costs = play(scenario, actions, action_mode="fraction")
    cost_a = a * GRID // 10 + np.maximum(3 * GRID - a * GRID - sent, 0) * 4 // 10
    cost_b = b * GRID // 10 + (3 * GRID - sent) * 2 // 10 + np.maximum(4 * GRID - b * GRID, 0) * 4 // 10
    assert is_feasible.sum() > 8_000
    assert costs[is_feasible].tolist() == np.stack([cost_a, cost_b], axis=1)[is_feasible].tolist()


@pytest.mark.parametrize(
    ("game", "equilibrium", "costs"),
    [
        ("castro_two_period", (0, 4), [0, 200_000]),
        ("castro_three_period", (4, 4), [200_000, 200_000]),
        (INDIVISIBLE, (4, 4), [200_000, 200_000]),
        ("castro_twelve_period", (5, 3), [250_000, 150_000]),
    ],
)
def test_each_game_has_the_one_equilibrium_that_it_names(
    game: str, equilibrium: tuple[int, int], costs: list[int]
) -> None:
    table = payoff_table(load_scenario(game))
    assert pure_equilibria(table) == [equilibrium]
    assert table[equilibrium].tolist() == costs
    if game == "castro_twelve_period":
        assert table.sum(axis=2).min() == sum(costs)


@pytest.mark.parametrize(
    ("delay_rate", "is_equilibrium"), [(51, True), (200, True), (49, False), (10, False)]
)
def test_waiting_for_the_other_pays_only_where_delay_costs_less_than_half_of_liquidity(
    delay_rate: int, is_equilibrium: bool
) -> None:
    scenario = with_delay_rate(load_scenario("castro_three_period"), delay_rate)
    assert ((4, 4) in pure_equilibria(payoff_table(scenario))) == is_equilibrium


def test_no_payment_policy_of_one_bank_beats_the_three_period_equilibrium() -> None:
    scenario = load_scenario("castro_three_period")
    strategies = pool_and_payment_strategies(scenario)
    other = np.array([[4, FULL_SHARE, FULL_SHARE, FULL_SHARE]])
    costs = payoff_matrices(scenario, strategies, other, action_mode="fraction")[:, 0, 0]
    assert len(strategies) == SHARES**3
    assert costs.min() == 200_000
    assert strategies[costs == 200_000].tolist() == other.tolist()


def test_liquidity_short_of_an_indivisible_payment_pays_nothing_in_time() -> None:
    divisible, whole = (payoff_table(load_scenario(game)) for game in ("castro_three_period", INDIVISIBLE))
    assert divisible[3, 4, 0] < divisible[0, 4, 0]
    assert whole[3, 4, 0] > divisible[3, 4, 0]
