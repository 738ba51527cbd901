"""Two banks as a game: what every pair of strategies costs, best replies, pure equilibria, the planner.

A strategy here is a fixed sequence of actions, one a step, that ignores what the bank sees. The costs come
from the engine: a fleet plays all pairs of strategies at once, one pair a system.

    costs = payoff_matrices("castro_two_period", pool_strategies(), action_mode="fraction", decides="pool")
    pure_equilibria(costs)  # [(0, 4)]: nothing for A, four twentieths of the pool for B
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from paysim_gym._engine import SHARES
from paysim_gym.envs.learners import scenario_learners
from paysim_gym.envs.vector import PaymentVectorEnv
from paysim_gym.scenario import ScenarioSource, load_scenario

ALL = SHARES - 1
"""The action of the `fraction` mode that sends, or commits, everything."""


class SocialPlannerCost(NamedTuple):
    """What a planner who decides for both banks and knows each day would pay for the two together.

    Attributes:
        mean: Mean over the days, in cents.
        low: The cheapest day, in cents.
        high: The dearest day, in cents.
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
    **env_kwargs: Any,
) -> NDArray[np.int64]:
    """Play one episode of every game, all of them on the same demand.

    Args:
        scenario: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.
        actions: int64 of shape (steps, games, learners), or (steps, games, learners, slots) in the `slots`
            mode with several slots. An episode may be longer: every action after the last is 0, which holds.
        learners: The banks that act, in the order of their axis; if None, those whose policy is `learner`.
        seed: Of the demand.
        **env_kwargs: Further arguments of `PaymentVectorEnv`, such as `action_mode`.

    Returns:
        Costs of the episode in cents, int64 of shape (games, learners).

    Raises:
        ValueError: If the actions have another number of learners, are more than an episode has steps, or an
            argument is wrong.
        ActionError: If an action is out of range or, unless `strict` is False, illegal. In the `fraction`
            mode it is False by default: a share of an empty queue is nothing.
    """
    loaded = load_scenario(scenario)
    banks = tuple(scenario_learners(loaded) if learners is None else learners)
    if actions.ndim not in (3, 4) or actions.shape[2] != len(banks):
        raise ValueError(
            f"actions have shape {actions.shape}: must be (steps, games, {len(banks)}), "
            f"the last for {', '.join(banks) or 'no bank'}, or that with the slots as a fourth axis"
        )
    rows = actions.shape[1] * len(banks)
    is_strict = env_kwargs.get("action_mode") != "fraction"
    options = {"strict": is_strict, **env_kwargs, "autoreset_mode": AutoresetMode.DISABLED}
    env = PaymentVectorEnv(rows, loaded, banks, **options)
    env.reset(seed=[seed] * rows)
    shape = env.action_space.shape
    steps = 0
    while not env.ended.all():
        own = actions[steps].reshape(shape) if steps < len(actions) else np.zeros(shape, np.int64)
        totals = env.step_rows(own).totals
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
    **env_kwargs: Any,
) -> NDArray[np.int64]:
    """What every pair of strategies costs the two learners.

    Args:
        scenario: As in `play`.
        first: The first learner's strategies, int64 of shape (strategies, steps), or (strategies, steps,
            slots) in the `slots` mode with several slots.
        second: The second learner's; if None, the same as the first's.
        learners: Two banks; if None, those whose policy is `learner`.
        seed: Of the demand.
        **env_kwargs: Further arguments of `PaymentVectorEnv`.

    Returns:
        Costs of an episode in cents, int64 of shape (first strategies, second strategies, 2).

    Raises:
        ValueError: If there are not two learners, the strategies differ in steps, or an argument is wrong.
        ActionError: As in `play`.
    """
    loaded = load_scenario(scenario)
    banks = tuple(scenario_learners(loaded) if learners is None else learners)
    if len(banks) != 2:
        raise ValueError(f"learners = {', '.join(banks) or 'none'}: payoff matrices need two")
    others = first if second is None else second
    if first.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"strategies have shapes {first.shape} and {others.shape}: must be alike from the second axis on"
        )
    pairs = np.stack(
        [np.repeat(first, len(others), axis=0), np.tile(others, (len(first), *[1] * (first.ndim - 1)))]
    )
    actions = np.moveaxis(pairs, (0, 1, 2), (2, 1, 0))
    costs = play(loaded, actions, learners=banks, seed=seed, **env_kwargs)
    return costs.reshape(len(first), len(others), 2)


def regrets(costs: NDArray[np.int64]) -> NDArray[np.int64]:
    """What each bank would save by its best reply to what the other does.

    Args:
        costs: Payoff matrices in cents, int64 of shape (first strategies, second strategies, 2).

    Returns:
        Cents, int64 of the same shape; 0 where a bank's strategy is a best reply.
    """
    own, others = costs[..., 0], costs[..., 1]
    return np.stack([own - own.min(axis=0), others - others.min(axis=1, keepdims=True)], axis=2)


def best_replies(costs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which strategies cost their bank the least, against each of the other's.

    Args:
        costs: Payoff matrices in cents, int64 of shape (first strategies, second strategies, 2).

    Returns:
        bool of the same shape: whether the first's strategy is a best reply to the second's, and the other
        way round.
    """
    return regrets(costs) == 0


def pure_equilibria(costs: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of strategies from which no bank gains by moving alone (Nash 1950), in the order of the matrix.

    Args:
        costs: Payoff matrices in cents, int64 of shape (first strategies, second strategies, 2).

    Returns:
        Positions of the first's and the second's strategy; none, one or several pairs.
    """
    return [(int(a), int(b)) for a, b in np.argwhere(best_replies(costs).all(axis=2))]


def social_planner_cost(days: Sequence[NDArray[np.int64]]) -> SocialPlannerCost:
    """The least that the system can cost, by brute force: appendix C of Castro et al. (2025).

    Args:
        days: Payoff matrices of one day each, in cents, int64 of shape (first strategies, second
            strategies, 2).

    Raises:
        ValueError: If there are no days.
    """
    if not len(days):
        raise ValueError("days: must have at least one")
    least = [int(costs.sum(axis=2).min()) for costs in days]
    return SocialPlannerCost(sum(least) / len(least), min(least), max(least))


def pool_strategies() -> NDArray[np.int64]:
    """Every share of a pool that an opening can commit: int64 of shape (21, 1), for `decides="pool"`."""
    return np.arange(SHARES)[:, None]


def pool_and_payment_strategies(scenario: ScenarioSource) -> NDArray[np.int64]:
    """Every committed share of a pool with every sequence of shares sent; the last period sends all.

    Args:
        scenario: One day; with n ticks there are 21**n strategies, so a short one.

    Returns:
        int64 of shape (strategies, 1 + n), for `action_mode="fraction"` and `decides="both"`.
    """
    periods = load_scenario(scenario).ticks_per_day
    free = np.stack(np.unravel_index(np.arange(SHARES**periods), (SHARES,) * periods), axis=1)
    return np.concatenate([free, np.full((len(free), 1), ALL)], axis=1)
