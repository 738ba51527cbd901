"""Two-player games between banks: payoff matrices, best responses, pure equilibria, social planner's cost.

A strategy is a fixed sequence of actions, one per step, that does not depend on observations. The engine
computes the costs: a fleet plays all pairs of strategies at once, one pair per system.

    costs = payoff_matrices("castro_two_period", pool_strategies(), action_mode="fraction", decides="pool")
    pure_equilibria(costs)  # [(0, 4)]: A commits nothing, B four twentieths of its pool
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Unpack

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from paysim_gym._engine import SHARES
from paysim_gym.envs.env_arguments import FleetArguments
from paysim_gym.envs.learners import scenario_learners
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.scenario import ScenarioSource, load_scenario

FULL_SHARE = SHARES - 1
"""The action of the `fraction` mode that sends or commits everything."""


class SocialPlannerCost(NamedTuple):
    """Total cost of both banks under a social planner with perfect foresight.

    Attributes:
        mean: Mean over the days, in cents.
        low: Cost of the cheapest day, in cents.
        high: Cost of the most expensive day, in cents.
    """

    mean: float
    low: int
    high: int


def play(
    scenario: ScenarioSource,
    actions: NDArray[np.int64],
    *,
    learners: Sequence[str] | None = None,
    seed: int = 0,
    **arguments: Unpack[FleetArguments],
) -> NDArray[np.int64]:
    """Plays one episode of every game, all with the same demand.

    Args:
        scenario: Name of a bundled scenario, path of a YAML file, mapping, or scenario.
        actions: int64 of shape (steps, games, learners), or (steps, games, learners, components) where an
            action has several components. If the episode has more steps, the remaining actions are 0 (hold).
        learners: The acting banks in the order of their axis; None for those whose policy is `learner`.
        seed: Seed of the demand.
        **arguments: Further arguments of `PaymentVectorEnv`, such as `action_mode`.

    Returns:
        Costs of the episode in cents, int64 of shape (games, learners).

    Raises:
        ValueError: If the actions are for another number of learners or for more steps than an episode has,
            or an argument is wrong.
        ActionError: If an action is out of range or, with `strict`, illegal. `strict` defaults to True,
            except in the `fraction` mode, where a share of an empty queue has no effect.
    """
    loaded = load_scenario(scenario)
    banks = tuple(scenario_learners(loaded) if learners is None else learners)
    if actions.ndim not in (3, 4) or actions.shape[2] != len(banks):
        raise ValueError(
            f"actions have shape {actions.shape}: must be (steps, games, {len(banks)}), "
            f"with {', '.join(banks) or 'no bank'} on the last axis, or have a fourth axis of components"
        )
    rows = actions.shape[1] * len(banks)
    arguments.setdefault("strict", arguments.get("action_mode") != "fraction")
    env = PaymentVectorEnv(rows, loaded, banks, autoreset_mode=AutoresetMode.DISABLED, **arguments)
    env.reset(seed=[seed] * rows)
    shape: tuple[int, ...] = env.action_space.shape or ()
    steps = 0
    while not env.ended.all():
        chosen = actions[steps].reshape(shape) if steps < len(actions) else np.zeros(shape, np.int64)
        totals = env.step_rows(chosen).totals
        steps += 1
    if len(actions) > steps:
        raise ValueError(f"actions have shape {actions.shape}: an episode has only {steps} steps")
    return np.asarray(totals["cost"], np.int64).reshape(-1, len(banks))


def payoff_matrices(
    scenario: ScenarioSource,
    first: NDArray[np.int64],
    second: NDArray[np.int64] | None = None,
    *,
    learners: Sequence[str] | None = None,
    seed: int = 0,
    **arguments: Unpack[FleetArguments],
) -> NDArray[np.int64]:
    """Computes the costs of every pair of strategies of two learners.

    Args:
        scenario: As in `play`.
        first: The first learner's strategies, int64 of shape (strategies, steps), or (strategies, steps,
            components) where an action has several components.
        second: The second learner's strategies; None for those of the first.
        learners: Two banks; None for those whose policy is `learner`.
        seed: Seed of the demand.
        **arguments: Further arguments of `PaymentVectorEnv`.

    Returns:
        Costs of an episode in cents, int64 of shape (first strategies, second strategies, 2).

    Raises:
        ValueError: If there are not two learners, the strategies differ in steps, or an argument is wrong.
        ActionError: As in `play`.
    """
    loaded = load_scenario(scenario)
    banks = tuple(scenario_learners(loaded) if learners is None else learners)
    if len(banks) != 2:
        raise ValueError(f"learners = {', '.join(banks) or 'none'}: payoff matrices need exactly two")
    others = first if second is None else second
    if first.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"strategies have shapes {first.shape} and {others.shape}: must be equal from the second axis on"
        )
    pairs = np.stack(
        [np.repeat(first, len(others), axis=0), np.tile(others, (len(first), *[1] * (first.ndim - 1)))]
    )
    actions = np.moveaxis(pairs, (0, 1, 2), (2, 1, 0))
    costs = play(loaded, actions, learners=banks, seed=seed, **arguments)
    return costs.reshape(len(first), len(others), 2)


def regrets(costs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Computes how much each bank would save by deviating to its best response.

    Args:
        costs: Payoff matrices in cents, int64 of shape (first strategies, second strategies, 2).

    Returns:
        Cents, int64 of the same shape; 0 where a bank's strategy is a best response.
    """
    first, second = costs[..., 0], costs[..., 1]
    return np.stack([first - first.min(axis=0), second - second.min(axis=1, keepdims=True)], axis=2)


def best_responses(costs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Marks the strategies that are best responses to the other bank's strategy.

    Args:
        costs: Payoff matrices in cents, int64 of shape (first strategies, second strategies, 2).

    Returns:
        bool of the same shape: `[i, j, 0]` tells whether the first bank's strategy i is a best response to
        the second's strategy j, `[i, j, 1]` the reverse.
    """
    is_best: NDArray[np.bool_] = regrets(costs) == 0
    return is_best


def pure_equilibria(costs: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Finds all pure-strategy Nash equilibria (Nash 1950), in the order of the matrix.

    Args:
        costs: Payoff matrices in cents, int64 of shape (first strategies, second strategies, 2).

    Returns:
        Pairs of indices of the first and the second bank's strategy; there may be none.
    """
    return [(int(a), int(b)) for a, b in np.argwhere(best_responses(costs).all(axis=2))]


def social_planner_cost(days: Sequence[NDArray[np.int64]]) -> SocialPlannerCost:
    """Computes the minimum system cost by brute force (Castro et al. 2025, appendix C).

    Args:
        days: Payoff matrices of one day each, in cents, int64 of shape (first strategies, second
            strategies, 2).

    Raises:
        ValueError: If there are no days.
    """
    if not len(days):
        raise ValueError("days: must have at least one")
    minima = [int(costs.sum(axis=2).min()) for costs in days]
    return SocialPlannerCost(sum(minima) / len(minima), min(minima), max(minima))


def pool_strategies(pool_shares: int = SHARES) -> NDArray[np.int64]:
    """Enumerates the pool shares that an opening step can commit.

    Args:
        pool_shares: As the environment's argument.

    Returns:
        int64 of shape (pool_shares, 1), for `decides="pool"`.
    """
    return np.arange(pool_shares)[:, None]


def pool_and_payment_strategies(scenario: ScenarioSource) -> NDArray[np.int64]:
    """Enumerates all pool shares combined with all sequences of shares sent.

    The last period always sends everything.

    Args:
        scenario: A short one-day scenario: n ticks make 21**n strategies.

    Returns:
        int64 of shape (strategies, 1 + n), for `action_mode="fraction"` and `decides="both"`.
    """
    periods = load_scenario(scenario).ticks_per_day
    free = np.stack(np.unravel_index(np.arange(SHARES**periods), (SHARES,) * periods), axis=1)
    return np.concatenate([free, np.full((len(free), 1), FULL_SHARE)], axis=1)
