"""A planner: at every tick it plans the rest of the day anew, over futures it draws itself.

It knows what a treasurer knows: the state of its bank and the scenario, which says what demand is like, not
what it will be. From that state it draws futures (`restore_state(state, seed=...)`: the past is taken up,
demand and dice to come are drawn anew) and looks for the cheapest plan in two steps: first the rule that
plays the rest of the day best, then the decisions of this tick that are best if that rule goes on after
them. All candidates meet the same futures, and one takes the place of another only if what it saves exceeds
the standard error of that. The next tick plans afresh, with what has come since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from paysim_agents.scripted import scripted_policies
from paysim_gym import PaymentVectorEnv
from paysim_gym.evaluation import PolicyFactory

Rule = Mapping[str, Any]


class Planner:
    """Rolling-horizon search; satisfies `paysim_gym.evaluation.Policy`."""

    def __init__(
        self, env: PaymentVectorEnv, rules: Sequence[Rule], *, futures: int = 32, rounds: int = 2
    ) -> None:
        """Tie the planner to the environment it acts in.

        Args:
            env: Where it acts, with one learner and the `slots` action mode.
            rules: Scripted policies that may play the rest of a day, the most trusted first; the better they
                are, the better it is.
            futures: Futures in which every candidate is tried.
            rounds: How often the decisions of a tick are improved, one payment at a time.

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
        self._heads, self._choices = env.settings.slots, 2 + len(env.settings.split_parts)

    def predict(
        self,
        observation: NDArray[np.float32],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """The planned actions in the environment's present state.

        Args:
            observation: Ignored; the planner reads the state of its bank from the environment.
            state: Passed on.
            episode_start: Ignored.
            deterministic: Ignored.

        Returns:
            Actions, int64 of shape (num_envs, slots), and the state.
        """
        rows = range(self._env.num_envs)
        views, masks, ended = self._env.snapshots(), self._env.action_masks(), self._env.ended
        idle = np.zeros(self._heads, np.int64)
        actions = [
            idle
            if ended[row]
            else self._plan(
                self._env.save_state(row), masks[row].reshape(self._heads, -1), views[row]["is_opening"]
            )
            for row in rows
        ]
        return np.stack(actions), state

    def _plan(self, state: bytes, mask: NDArray[np.bool_], is_opening: bool) -> NDArray[np.int64]:
        """The action of one bank."""
        if not mask[:, 1:].any():
            return np.zeros(self._heads, np.int64)
        if is_opening:
            return self._plan_opening(state)
        first, rule = self._best_rule(state)
        best = first
        for _ in range(self._rounds):
            candidates = neighbours(best, mask)
            chosen = best_beyond_standard_error(self._costs(state, candidates, rule))
            best = candidates[chosen]
            if chosen == 0:
                break
        return best

    def _plan_opening(self, state: bytes) -> NDArray[np.int64]:
        """The share of the pool that is best with the rule that is best with it."""
        shares = np.zeros((self._choices, self._heads), np.int64)
        shares[:, 0] = np.arange(self._choices)
        costs = np.min([self._costs(state, shares, rule).mean(axis=1) for rule in self._rules], axis=0)
        best: NDArray[np.int64] = shares[int(np.argmin(costs))]
        return best

    def _best_rule(self, state: bytes) -> tuple[NDArray[np.int64], Rule]:
        """The rule that plays the rest of the day best, and what it does now."""
        fleet = self._fleet(self._futures)
        costs, actions = [], []
        for rule in self._rules:
            self._draw_futures(fleet, state)
            actions.append(fleet.scripted_actions(rule))
            costs.append(_play_on(fleet, actions[-1], rule))
        best = best_beyond_standard_error(np.stack(costs))
        # Dice apart, a rule does the same in every future, as they all begin with this state.
        action: NDArray[np.int64] = actions[best][0]
        return action, self._rules[best]

    def _costs(self, state: bytes, candidates: NDArray[np.int64], rule: Rule) -> NDArray[np.float64]:
        """Cost of the rest of the day if a rule goes on after a candidate, (candidates, futures)."""
        fleet = self._fleet(len(candidates) * self._futures)
        self._draw_futures(fleet, state)
        costs = _play_on(fleet, candidates.repeat(self._futures, axis=0), rule)
        return costs.reshape(len(candidates), self._futures)

    def _draw_futures(self, fleet: PaymentVectorEnv, state: bytes) -> None:
        for row in range(fleet.num_envs):
            fleet.restore_state(row, state, seed=row % self._futures)

    def _fleet(self, size: int) -> PaymentVectorEnv:
        """A fleet of this size to try candidates in."""
        if size not in self._fleets:
            settings = self._env.settings
            fleet = PaymentVectorEnv(
                size,
                self._env.scenario,
                self._env.learner,
                slots=settings.slots,
                split_parts=settings.split_parts,
                decides=settings.decides,
                max_episode_steps=settings.max_episode_steps,
                reward_scale=1.0,
                autoreset_mode=AutoresetMode.DISABLED,
                num_threads=1,
            )
            fleet.reset(seed=0)
            self._fleets[size] = fleet
        return self._fleets[size]


def neighbours(action: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """An action, then all that decide otherwise about one payment, holding and releasing all included.

    Args:
        action: int64 of shape (slots,).
        mask: What is legal, bool of shape (slots, choices).

    Returns:
        int64 of shape (candidates, slots), each once.
    """
    release = mask[:, 1].astype(np.int64)
    found = [action, np.zeros_like(action), release]
    for slot, choice in np.argwhere(mask):
        changed = action.copy()
        changed[slot] = choice
        found.append(changed)
    _, first = np.unique(found, axis=0, return_index=True)
    candidates: NDArray[np.int64] = np.stack(found)[np.sort(first)]
    return candidates


def best_beyond_standard_error(costs: NDArray[np.float64]) -> int:
    """The candidate that saves most over the first; the first unless it saves more than a standard error.

    Without that the planner would follow the luck of the few futures that it draws.

    Args:
        costs: float64 of shape (candidates, futures); all candidates meet the same futures.
    """
    saved = costs[0] - costs
    means, errors = saved.mean(axis=1), saved.std(axis=1) / np.sqrt(costs.shape[1])
    return int(np.argmax(np.where(means > errors, means, 0.0)))


def _play_on(fleet: PaymentVectorEnv, actions: NDArray[np.int64], rule: Rule) -> NDArray[np.float64]:
    """Cost in cents of each row from now to the end of the episode."""
    costs, has_ended = np.zeros(fleet.num_envs), False
    while not has_ended:
        tick = fleet.step_rows(actions)
        costs -= tick.rewards
        has_ended = bool((tick.terminated | tick.truncated).all())
        actions = actions if has_ended else fleet.scripted_actions(rule)
    return costs


def planner(rules: Sequence[Rule], *, futures: int = 32, rounds: int = 2) -> PolicyFactory:
    """A factory of planners, for `paysim_gym.evaluation.evaluate`; see `Planner`."""
    return lambda env: Planner(env, rules, futures=futures, rounds=rounds)
