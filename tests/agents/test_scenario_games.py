"""The games of Bech and Garratt (2003, JET 109:2), played through the engine."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from paysim_agents.games import payoff_matrices, pure_equilibria

from paysim_gym import Scenario, load_scenario

MOVES = ["morning", "afternoon", "never"]
DELAY = 200_000
PRICE = 300_000  # of an overdraft, or of collateral


def priced_at(name: str, price_rate: float) -> Scenario:
    """Returns the game with another price of credit."""
    data = json.loads(load_scenario(name).model_dump_json())
    key = "overdraft_rate" if data["costs"]["overdraft_rate"] else "collateral_rate"
    data["costs"][key] = price_rate
    return Scenario.model_validate(data)


def payoff_table(scenario: Scenario) -> NDArray[np.int64]:
    """Returns the costs of all pairs of moves in cents, shape (3, 3, 2)."""
    moves = np.eye(3, 2, dtype=np.int64)  # released in the first tick, in the second, in none
    return payoff_matrices(scenario, moves, slots=1, split_parts=[])


def equilibria(table: NDArray[np.int64]) -> list[tuple[str, str]]:
    """Returns the pure equilibria as pairs of moves."""
    return [(MOVES[a], MOVES[b]) for a, b in pure_equilibria(table)]


def test_priced_credit_has_the_costs_of_the_paper() -> None:
    table = payoff_table(load_scenario("bech_garratt_priced"))
    assert table[:2, :2].tolist() == [
        [[0, 0], [PRICE, DELAY]],
        [[DELAY, PRICE], [DELAY, DELAY]],
    ]


def test_priced_credit_is_a_stag_hunt() -> None:
    table = payoff_table(load_scenario("bech_garratt_priced"))
    assert equilibria(table) == [("morning", "morning"), ("afternoon", "afternoon")]
    assert (table[0, 0] < table[1, 1]).all()
    assert table[0, 1, 0] > table[1, 1, 0]


def test_collateralised_credit_has_the_costs_of_the_paper() -> None:
    table = payoff_table(load_scenario("bech_garratt_collateral"))
    assert table[:2, :2].tolist() == [
        [[PRICE, PRICE], [2 * PRICE, DELAY]],
        [[DELAY, 2 * PRICE], [PRICE + DELAY, PRICE + DELAY]],
    ]


def test_collateralised_credit_is_a_prisoners_dilemma() -> None:
    table = payoff_table(load_scenario("bech_garratt_collateral"))
    assert equilibria(table) == [("afternoon", "afternoon")]
    assert (table[1, :2, 0] < table[0, :2, 0]).all()
    assert (table[0, 0] < table[1, 1]).all()


@pytest.mark.parametrize("name", ["bech_garratt_priced", "bech_garratt_collateral"])
@pytest.mark.parametrize(("price_rate", "dominates"), [(0.00019, True), (0.00021, False)])
def test_morning_dominates_only_where_credit_is_cheaper_than_delay(
    name: str, price_rate: float, dominates: bool
) -> None:
    table = payoff_table(priced_at(name, price_rate))
    assert bool((table[0, :2, 0] < table[1, :2, 0]).all()) == dominates
    assert (equilibria(table) == [("morning", "morning")]) == dominates


@pytest.mark.parametrize("name", ["bech_garratt_priced", "bech_garratt_collateral"])
def test_to_hold_twice_is_worse_than_to_pay_in_the_afternoon(name: str) -> None:
    table = payoff_table(load_scenario(name))
    assert (table[2, :, 0] > table[1, :, 0]).all()
    assert (table[:, 2, 1] > table[:, 1, 1]).all()
