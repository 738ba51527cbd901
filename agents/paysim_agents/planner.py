"""A rolling-horizon planner that searches over simulated futures at every tick.

The planner knows the scenario, which gives the distribution of demand but not its realisation, and the state
of the system. At every tick it draws futures from that state: `restore_state(state, seed=...)` redraws later
demand, the draws of policies, and the payments that other banks received in this tick by sampling. Older
payments in other banks' queues and their balances stay as they are, although no treasurer knows them. Where
other banks react to their liquidity, the planner's costs rest on this privileged information.

It searches in two steps: first for the scripted rule with the lowest cost over the rest of the day, then for
the decisions of this tick that are best if that rule follows. All candidates are evaluated on common random
numbers, and one replaces another only if the mean saving exceeds its standard error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from paysim_agents.scripted import scripted_policies
from paysim_gym import PaymentVectorEnv
from paysim_gym.envs.spaces import component_choices, masks_by_component
from paysim_gym.evaluation import PolicyFactory

Rule = Mapping[str, Any]


class Planner:
    """Rolling-horizon search; satisfies `paysim_gym.evaluation.Policy`."""

    def __init__(
        self, env: PaymentVectorEnv, rules: Sequence[Rule], *, futures: int = 32, rounds: int = 2
    ) -> None:
        """Binds the planner to its environment.

        Args:
            env: An environment with one learner and the `slots` action mode.
            rules: Scripted policies to try for the rest of a day; better rules make a better planner. The
                first is used unless another saves more than a standard error.
            futures: Number of futures on which every candidate is evaluated.
            rounds: Maximum number of local-search rounds per tick; each changes one payment's decision.

        Raises:
            ValueError: If there are no rules, no futures, several learners, or another action mode.
        """
        if not rules:
            raise ValueError("rules: must have at least one policy")
        if futures < 1:
            raise ValueError(f"futures = {futures}: must be at least 1")
        if len(env.learners) > 1 or env.settings.action_mode != "slots":
            raise ValueError("env: must have one learner and the `slots` action mode")
        self._env, self._futures, self._rounds = env, futures, rounds
        self._rules = scripted_policies(rules)
        self._fleets: dict[int, PaymentVectorEnv] = {}
        self._choices = component_choices(env.single_action_space)

    def predict(
        self,
        observation: NDArray[np.float32],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """Returns the planned actions in the environment's current state.

        Args:
            observation: Ignored; the planner reads the state from the environment.
            state: Returned unchanged.
            episode_start: Ignored.
            deterministic: Ignored.

        Returns:
            Actions, int64 of the action space's shape, and the state.
        """
        rows = range(self._env.num_envs)
        masks = masks_by_component(self._env.action_masks(), self._env.single_action_space)
        snapshots, ended = self._env.snapshots(), self._env.ended
        idle = np.zeros(len(self._choices), np.int64)
        actions = [
            idle
            if ended[row]
            else self._plan(self._env.save_state(row), masks[row], snapshots[row]["is_opening"])
            for row in rows
        ]
        return np.stack(actions).reshape(self._env.action_space.shape or ()), state

    def _plan(self, state: bytes, mask: NDArray[np.bool_], is_opening: bool) -> NDArray[np.int64]:
        if not mask[:, 1:].any():
            return np.zeros(len(self._choices), np.int64)
        if is_opening:
            return self._plan_opening(state)
        first, rule = self._best_rule(state)
        best = first
        for _ in range(self._rounds):
            candidates = neighbours(best, mask)
            chosen = best_beyond_standard_error(self._candidate_costs(state, candidates, rule))
            best = candidates[chosen]
            if chosen == 0:
                break
        return best

    def _plan_opening(self, state: bytes) -> NDArray[np.int64]:
        """Chooses the pool share with the lowest mean cost over its best rule."""
        shares = np.zeros((self._choices[-1], len(self._choices)), np.int64)
        shares[:, -1] = np.arange(self._choices[-1])
        costs = np.min(
            [self._candidate_costs(state, shares, rule).mean(axis=1) for rule in self._rules], axis=0
        )
        best: NDArray[np.int64] = shares[int(np.argmin(costs))]
        return best

    def _best_rule(self, state: bytes) -> tuple[NDArray[np.int64], Rule]:
        """Chooses the rule for the rest of the day and its current action."""
        fleet = self._fleet(self._futures)
        costs, actions = [], []
        for rule in self._rules:
            self._draw_futures(fleet, state)
            actions.append(fleet.scripted_actions(rule))
            costs.append(_remaining_cost(fleet, actions[-1], rule))
        best = best_beyond_standard_error(np.stack(costs))
        # Except for random rules, the action is the same in every future: all start from this state.
        action: NDArray[np.int64] = actions[best][0]
        return action, self._rules[best]

    def _candidate_costs(
        self, state: bytes, candidates: NDArray[np.int64], rule: Rule
    ) -> NDArray[np.float64]:
        """Returns the remaining cost of each candidate followed by a rule, (candidates, futures)."""
        fleet = self._fleet(len(candidates) * self._futures)
        self._draw_futures(fleet, state)
        costs = _remaining_cost(fleet, candidates.repeat(self._futures, axis=0), rule)
        return costs.reshape(len(candidates), self._futures)

    def _draw_futures(self, fleet: PaymentVectorEnv, state: bytes) -> None:
        for row in range(fleet.num_envs):
            fleet.restore_state(row, state, seed=row % self._futures)

    def _fleet(self, size: int) -> PaymentVectorEnv:
        if size not in self._fleets:
            settings = self._env.settings
            fleet = PaymentVectorEnv(
                size,
                self._env.scenario,
                self._env.learner,
                slots=settings.slots,
                split_parts=settings.split_parts,
                decides=settings.decides,
                pool_shares=settings.pool_shares,
                max_episode_steps=settings.max_episode_steps,
                reward_scale=1.0,
                autoreset_mode=AutoresetMode.DISABLED,
                num_threads=1,
            )
            fleet.reset(seed=0)
            self._fleets[size] = fleet
        return self._fleets[size]


def neighbours(action: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Returns an action and its neighbours, which differ in one payment's decision.

    Holding everything and releasing everything are included as well.

    Args:
        action: int64 of shape (components,).
        mask: Legal choices, bool of shape (components, choices).

    Returns:
        int64 of shape (candidates, components) without duplicates; the first is `action`.
    """
    release = mask[:, 1].astype(np.int64)
    found = [action, np.zeros_like(action), release]
    for component, choice in np.argwhere(mask):
        changed = action.copy()
        changed[component] = choice
        found.append(changed)
    _, first = np.unique(found, axis=0, return_index=True)
    candidates: NDArray[np.int64] = np.stack(found)[np.sort(first)]
    return candidates


def best_beyond_standard_error(costs: NDArray[np.float64]) -> int:
    """Returns the best candidate whose saving over the first exceeds its standard error.

    The threshold keeps the planner from fitting the noise of a few futures. Without such a candidate the
    result is index 0.

    Args:
        costs: float64 of shape (candidates, futures); all candidates share the futures.
    """
    saved = costs[0] - costs
    means, errors = saved.mean(axis=1), saved.std(axis=1) / np.sqrt(costs.shape[1])
    return int(np.argmax(np.where(means > errors, means, 0.0)))


def _remaining_cost(fleet: PaymentVectorEnv, actions: NDArray[np.int64], rule: Rule) -> NDArray[np.float64]:
    costs, has_ended = np.zeros(fleet.num_envs), False
    while not has_ended:
        tick = fleet.step_rows(actions.reshape(fleet.action_space.shape or ()))
        costs -= tick.rewards
        has_ended = bool((tick.terminated | tick.truncated).all())
        actions = actions if has_ended else fleet.scripted_actions(rule)
    return costs


def planner(rules: Sequence[Rule], *, futures: int = 32, rounds: int = 2) -> PolicyFactory:
    """Returns a factory of planners for `paysim_gym.evaluation.evaluate`; see `Planner`."""
    return lambda env: Planner(env, rules, futures=futures, rounds=rounds)
