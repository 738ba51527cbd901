"""Equilibria of the games, and the distance of learned strategies from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from paysim_agents.games import (
    FULL_SHARE,
    payoff_matrices,
    pool_and_payment_strategies,
    pool_strategies,
    pure_equilibria,
    regrets,
    social_planner_cost,
)

from paysim_gym import Scenario
from paysim_gym.envs.env_arguments import Decides
from paysim_gym.evaluation import mean_ci95

BANKS = ("A", "B")
CURVE_POINTS = 50
COST_TOLERANCE = 0.005
"""Maximum distance of a bank's cost from the equilibrium cost, in pools, that counts as near."""


@dataclass(frozen=True)
class Equilibrium:
    """The unique pure equilibrium of a game.

    Attributes:
        shares: Actions of A and B in twentieths, int64 of shape (2, decisions): the commitment and, if the
            banks decide about payments, the share sent in each period but the last.
        cost_cents: Costs of A and B, int64 of shape (2,).
        strategies_tried: Number of strategies of each bank compared with its equilibrium strategy.
        social_planner_cents: The social planner's cost: the minimum total cost over all pairs of commitments.
        pool_cents: Liquidity pool of each bank.
    """

    shares: NDArray[np.int64]
    cost_cents: NDArray[np.int64]
    strategies_tried: int
    social_planner_cents: float
    pool_cents: int

    def summary(self) -> dict[str, Any]:
        """The equilibrium, ready for JSON."""
        return {
            "x0": (self.shares[:, 0] / FULL_SHARE).tolist(),
            "sent": (self.shares[:, 1:] / FULL_SHARE).tolist(),
            "cost_cents": self.cost_cents.tolist(),
            "strategies_tried": self.strategies_tried,
            "social_planner_cents": self.social_planner_cents,
        }


@dataclass
class LearningCurve:
    """Mean commitments and costs of all runs, at evenly spaced updates."""

    updates: int
    points: dict[str, list[Any]] = field(default_factory=lambda: {"update": [], "x0": [], "cost_cents": []})

    def add(self, update: int, shares: NDArray[np.int64], costs: NDArray[np.int64]) -> None:
        """Add a batch of days.

        Args:
            update: Index of the update.
            shares: Actions in twentieths, int64 of shape (runs, days, 2, decisions).
            costs: Costs in cents, int64 of shape (runs, days, 2).
        """
        if update % max(self.updates // CURVE_POINTS, 1) == 0 or update == self.updates - 1:
            self.points["update"].append(update)
            self.points["x0"].append((shares[..., 0].mean((0, 1)) / FULL_SHARE).tolist())
            self.points["cost_cents"].append(costs.mean((0, 1)).tolist())


def solve(scenario: Scenario, decides: Decides) -> Equilibrium:
    """Find the equilibrium of a game of two banks with liquidity pools.

    Compares all pairs of commitments when both banks send as much as they can. If the banks also decide
    about payments, every strategy of commitment and payments is tried against the other's equilibrium.

    Args:
        scenario: The game.
        decides: What the banks decide.

    Raises:
        ValueError: If the commitments do not have exactly one equilibrium, or a payment strategy is better.
    """
    commitments = pool_strategies()
    costs = payoff_matrices(scenario, commitments, action_mode="fraction", decides="pool")
    found = pure_equilibria(costs)
    if len(found) != 1:
        raise ValueError(f"the commitments have {len(found)} equilibria: must be one")
    decisions = 1 if decides == "pool" else scenario.ticks_per_day
    shares = np.full((2, decisions), FULL_SHARE)
    shares[:, 0] = found[0]
    tried = len(commitments)
    if decides == "both":
        tried = try_payment_strategies(scenario, shares)
    return Equilibrium(
        shares, costs[found[0]], tried, social_planner_cost([costs]).mean, scenario.agents[0].liquidity_pool
    )


def try_payment_strategies(scenario: Scenario, shares: NDArray[np.int64]) -> int:
    """Compare every strategy of each bank with its equilibrium strategy.

    Args:
        scenario: The game.
        shares: As in `Equilibrium`.

    Returns:
        The number of strategies of each bank.

    Raises:
        ValueError: If a strategy is better than the bank's equilibrium strategy.
    """
    strategies = pool_and_payment_strategies(scenario)
    last = np.full((2, 1), FULL_SHARE)
    played = np.concatenate([shares, last], axis=1)
    for bank, other in enumerate(played[::-1]):
        pair = (strategies, other[None]) if bank == 0 else (other[None], strategies)
        saved = regrets(payoff_matrices(scenario, *pair, action_mode="fraction"))[..., bank].reshape(-1)
        own = (strategies == played[bank]).all(axis=1)
        if saved[own].any():
            raise ValueError(
                f"bank {BANKS[bank]} has a better strategy than {played[bank].tolist()} twentieths"
            )
    return len(strategies)


def measure(
    equilibrium: Equilibrium,
    shares: NDArray[np.int64],
    costs: NDArray[np.int64],
    exploring_costs: NDArray[np.float64],
) -> dict[str, Any]:
    """Distance of all runs from the equilibrium, ready for JSON.

    Args:
        equilibrium: The equilibrium of the game.
        shares: Most likely actions in twentieths, int64 of shape (runs, 2, decisions).
        costs: Costs of these actions in cents, int64 of shape (runs, 2).
        exploring_costs: Mean costs of sampled actions in cents, float64 of shape (runs, 2).
    """
    distance = np.abs(shares - equilibrium.shares).max((1, 2))
    cost_distance = np.abs(costs - equilibrium.cost_cents).max(1)
    return {
        "runs": len(shares),
        "within_one_grid_step": int((distance <= 1).sum()),
        "at_the_equilibrium": int((distance == 0).sum()),
        "costs_within_tolerance": int((cost_distance <= COST_TOLERANCE * equilibrium.pool_cents).sum()),
        "x0": {bank: _summary(shares[:, row, 0] / FULL_SHARE) for row, bank in enumerate(BANKS)},
        "sent": {bank: _summary(shares[:, row, 1:].mean(1) / FULL_SHARE) for row, bank in enumerate(BANKS)}
        if shares.shape[2] > 1
        else None,
        "cost_cents": _summaries(costs),
        "exploring_cost_cents": _summaries(exploring_costs),
        "system_cost_over_social_planner": float(costs.sum(1).mean() / equilibrium.social_planner_cents),
        "each_run": [
            {
                "x0": (own[:, 0] / FULL_SHARE).tolist(),
                "sent": (own[:, 1:] / FULL_SHARE).tolist(),
                "cost_cents": cost.tolist(),
            }
            for own, cost in zip(shares, costs, strict=True)
        ],
    }


def _summaries(costs: NDArray[Any]) -> dict[str, Any]:
    banks = {bank: _summary(costs[:, row]) for row, bank in enumerate(BANKS)}
    return {**banks, "system": _summary(costs.sum(1))}


def _summary(values: ArrayLike) -> dict[str, Any]:
    mean, low, high = mean_ci95(values)
    return {"mean": mean, "ci95": [low, high], "range": [float(np.min(values)), float(np.max(values))]}
