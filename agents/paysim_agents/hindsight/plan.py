"""The hindsight optimum: the minimum cost of a day under perfect foresight.

No policy that decides during the day can cost less, so the optimum is a lower bound for all of them. It is
certified: `bound_cents` is a lower bound from a mixed-integer program (`paysim_agents.hindsight.day_model`),
and `cost_cents` is what the engine charges for the plan found. If the two are equal, the plan is optimal.
They are equal to the solver's tolerance if the learner's actions cannot change its receipts
(`RecordedDay.receipts_are_fixed`, checked for each day) and payments are not split, and on a `fifo` rail
usually with splits as well. Otherwise the program lets other banks pay the learner as early as their orders
allow, and `gap` is the share of the cost that is not proven.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paysim_agents.banks import find_bank
from paysim_agents.hindsight.day_model import DayModel
from paysim_agents.hindsight.recorded_day import RecordedDay, record_day
from paysim_agents.scripted import ScriptedAgent
from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym._engine import SHARES
from paysim_gym.envs.env_arguments import DEFAULT_SPLIT_PARTS
from paysim_gym.envs.infos import EPISODE_COST, episode_totals
from paysim_gym.evaluation import evaluate
from paysim_gym.scenario import ScenarioSource

SLOTS = 64
"""Slots of the environment in which plans are played; enough for all payments of a queue."""
ROUNDING_CENTS = 5
"""Tolerance of the bound: five cost components accrue exactly and are each charged in whole cents."""
RULES: tuple[dict[str, Any], ...] = (
    {"type": "release_all"},
    {"type": "myopic"},
    {"type": "hold_until_deadline"},
    {"type": "liquidity_aware"},
)


@dataclass(frozen=True)
class Plan:
    """Release decisions for every payment of a day.

    Attributes:
        releases: Payment number to release tick and number of parts (1: unsplit). Payments without an entry
            are held until the close.
        pool_action: Opening action that commits a share of the pool.
    """

    releases: Mapping[int, tuple[int, int]]
    pool_action: int = 0


@dataclass(frozen=True)
class Hindsight:
    """The best known plan of a day and a bound on every plan.

    Attributes:
        cost_cents: Cost of the plan in the engine.
        bound_cents: Lower bound on the cost of every plan, up to `ROUNDING_CENTS` and solver tolerances.
        plan: The plan; None if a scripted rule was cheaper than every plan found.
        receipts_are_fixed: Whether the receipts are the same for all actions of the learner.
        slots_used: Number of slots that an environment needs to play the plan.
    """

    cost_cents: int
    bound_cents: float
    plan: Plan | None
    receipts_are_fixed: bool
    slots_used: int

    @property
    def gap(self) -> float:
        """Difference between cost and bound as a share of the cost."""
        unproven = self.cost_cents - self.bound_cents
        return max(0.0, unproven / self.cost_cents) if self.cost_cents and unproven > 0 else 0.0

    @property
    def is_optimal(self) -> bool:
        """Whether the bound proves optimality, up to rounding and a relative gap of 1e-5."""
        return self.cost_cents - self.bound_cents <= ROUNDING_CENTS + 1e-5 * self.cost_cents


def hindsight(
    scenario: ScenarioSource,
    seed: int,
    learner: str | None = None,
    *,
    split_parts: Sequence[int] = DEFAULT_SPLIT_PARTS,
    pool_shares: int = SHARES,
    node_limit: int = 2_000,
    relative_gap: float = 1e-6,
    iterations: int = 4,
    rules: Sequence[Mapping[str, Any]] = RULES,
) -> Hindsight:
    """Finds the minimum cost of the first episode of a seed.

    Args:
        scenario: A one-day scenario with one gross rail and only features that the program supports.
        seed: Seed of the episode.
        learner: The bank; None for the one whose policy is `learner`.
        split_parts: Numbers of parts that a payment may be split into.
        pool_shares: Number of shares of a pool to choose from.
        node_limit: Maximum number of branch-and-bound nodes per solver run.
        relative_gap: Relative gap at which the solver stops.
        iterations: Maximum number of plans if receipts are not fixed; each plan after the first assumes the
            receipts that the previous plan led to.
        rules: Scripted policies to evaluate as well if no plan is proven optimal.

    Raises:
        ValueError: If the scenario has a feature that the program does not support.
    """
    day = record_day(scenario, seed, learner)
    check_supported(day.scenario, day.learner)
    receipts = day.receipts_cents if day.receipts_are_fixed else day.requested_cents
    offered = _Offered(split_parts, pool_shares)
    model, solution = _solve(day, receipts, offered, node_limit, relative_gap)
    bound = model.constant_cents + float(
        solution.mip_dual_bound if solution.mip_dual_bound is not None else -np.inf
    )
    best: tuple[int, Plan | None, int] | None = None
    for _ in range(1 if day.receipts_are_fixed else iterations):
        if solution.x is None:
            break
        plan = _decode_solution(day, model, solution.x)
        played = replay(day, plan, split_parts, pool_shares=pool_shares)
        if best is None or played.cost_cents < best[0]:
            best = played.cost_cents, played.plan, played.slots_used
        if not day.receipts_are_fixed:
            model, solution = _solve(day, played.receipts_cents, offered, node_limit, relative_gap)
    if best is None or best[0] - bound > ROUNDING_CENTS:
        cost = min(_rule_cost(day, rule, offered) for rule in rules)
        if best is None or cost < best[0]:
            best = cost, None, SLOTS
    return Hindsight(best[0], bound, best[1], day.receipts_are_fixed, best[2])


class _Offered(NamedTuple):
    """The actions that an environment offers beside hold and release."""

    split_parts: Sequence[int]
    pool_shares: int


def _solve(
    day: RecordedDay,
    receipts: NDArray[np.int64],
    offered: _Offered,
    node_limit: int,
    relative_gap: float,
) -> tuple[DayModel, Any]:
    model = DayModel(day, receipts, *offered)
    return model, model.program.solve(node_limit, relative_gap)


def _rule_cost(day: RecordedDay, rule: Mapping[str, Any], offered: _Offered) -> int:
    table = evaluate(
        lambda env: ScriptedAgent(env, rule),
        day.scenario,
        [day.seed],
        learner=day.learner,
        slots=SLOTS,
        split_parts=offered.split_parts,
        pool_shares=offered.pool_shares,
    )
    return int(table.cost[0])


def _decode_solution(day: RecordedDay, model: DayModel, solution: NDArray[np.float64]) -> Plan:
    """Converts a solution of the program to a plan."""
    releases = {}
    for order, options in zip(day.orders, model.options, strict=True):
        for option in options:
            settled = np.flatnonzero(solution[list(option.settled[0])] > 0.5)
            if settled.size:
                releases[order.id] = (order.arrival + int(settled[0]), option.parts)
    pool = int(np.argmax(solution[model.pool_choices])) if model.pool_choices else 0
    return Plan(releases, pool)


StepCallback = Callable[[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64], NDArray[Any]], None]
"""Called after each step with observations, masks and actions, one row per environment, and the rewards."""


@dataclass(frozen=True)
class ReplayResult:
    """Outcome of a plan in the engine.

    Attributes:
        plan: The plan.
        cost_cents: Total cost.
        costs_cents: Cost by component.
        receipts_cents: Receipts of the learner by tick: int64 of shape (ticks,).
        slots_used: Highest slot, counted from 1, with an action other than hold; 0 if all were hold.
    """

    plan: Plan
    cost_cents: int
    costs_cents: Mapping[str, int]
    receipts_cents: NDArray[np.int64]
    slots_used: int


def replay(
    day: RecordedDay,
    plan: Plan,
    split_parts: Sequence[int] = DEFAULT_SPLIT_PARTS,
    *,
    slots: int = SLOTS,
    on_step: StepCallback | None = None,
    **env_kwargs: Any,
) -> ReplayResult:
    """Plays a plan in an environment.

    Args:
        day: The day of the plan.
        plan: The plan. A payment beyond the slots in its release tick is released once it has a slot.
        split_parts: Numbers of parts that a payment may be split into.
        slots: Slots of the environment.
        on_step: Called after every step.
        **env_kwargs: Further arguments of `PaymentVectorEnv`.
    """
    env = PaymentVectorEnv(
        1,
        day.scenario,
        day.learner,
        slots=slots,
        split_parts=split_parts,
        strict=True,
        autoreset_mode="Disabled",
        **env_kwargs,
    )
    observations, _ = env.reset(seed=[day.seed])
    components = (env.single_action_space.shape or ())[0]
    queue, receipts, slots_used = _PlannedQueue(day, plan, split_parts, slots, components), [], 0
    infos: dict[str, Any] = {}
    received = 0
    while EPISODE_COST not in infos:
        view = env.snapshots()[0]
        is_opening = view["is_opening"]
        actions = queue.opening_action() if is_opening else queue.release(view["tick"])
        before, masks = observations, env.action_masks()
        observations, rewards, *_, infos = env.step(actions[None])
        if on_step is not None:
            on_step(before, masks, actions[None], rewards)
        if not is_opening:
            slots_used = max([slots_used, *(np.flatnonzero(actions) + 1).tolist()])
            after = env.snapshots()[0]["received_today"]
            receipts.append(after - received)
            received = after
    totals = {name: int(column[0]) for name, column in episode_totals(infos).items()}
    costs = {name.removeprefix("cost_"): cents for name, cents in totals.items() if name.startswith("cost_")}
    return ReplayResult(plan, totals["cost"], costs, np.array(receipts, np.int64), slots_used)


class _PlannedQueue:
    """The learner's internal queue, from which payments are released according to a plan."""

    def __init__(
        self, day: RecordedDay, plan: Plan, split_parts: Sequence[int], slots: int, components: int
    ) -> None:
        self._plan, self._slots, self._components = plan, slots, components
        self._waiting = sorted(day.orders, key=lambda order: (-order.priority, order.deadline, order.id))
        self._action = {1: 1, **{parts: 2 + index for index, parts in enumerate(split_parts)}}

    def opening_action(self) -> NDArray[np.int64]:
        """Returns the action of the opening step."""
        actions = np.zeros(self._components, np.int64)
        actions[-1] = self._plan.pool_action
        return actions

    def release(self, tick: int) -> NDArray[np.int64]:
        """Returns the action of a tick and removes its payments from the queue."""
        actions = np.zeros(self._components, np.int64)
        queue = [order for order in self._waiting if order.arrival <= tick]
        for slot, order in enumerate(queue[: self._slots]):
            release, parts = self._plan.releases.get(order.id, (np.inf, 1))
            if release <= tick:
                actions[slot] = self._action[parts]
                self._waiting.remove(order)
        return actions


def check_supported(scenario: Scenario, learner: str) -> None:
    """Raises ValueError for unsupported features of a scenario, one line per field."""
    bank = find_bank(scenario, learner)
    prices, rails = scenario.costs, scenario.rails
    rates = [prices.overdraft_rate, *(tier.rate for tier in prices.overdraft_tiers)]
    checks = {
        "rails: must be one, gross": len(rails) > 1 or rails[0].settlement_type != "immediate",
        f"agents: {learner} must have no limits": bool(bank.limits.bilateral) or bank.limits.multilateral,
        "priority_escalation: must be absent": scenario.priority_escalation,
        "costs.delay_in_central_queue: must be true": not prices.delay_in_central_queue,
        "costs.collateral_charged: must be posted": prices.collateral_rate
        and prices.collateral_charged != "posted",
        "costs.overdraft_tiers: rates must ascend": any(low > high for low, high in pairwise(rates)),
        **{f"events[{index}]: {reason}": True for index, reason in _unsupported_events(scenario, learner)},
    }
    errors = [message for message, is_unsupported in checks.items() if is_unsupported]
    if errors:
        raise ValueError("the hindsight model does not support this scenario:\n" + "\n".join(errors))


def _unsupported_events(scenario: Scenario, learner: str) -> Iterable[tuple[int, str]]:
    for index, event in enumerate(scenario.events):
        if event.type == "early_close" or (event.type == "outage" and event.bank == learner):
            yield index, f"{event.type} on the learner's day is not supported"
        if event.type == "transfer" and learner in (event.sender, event.receiver) and event.sender:
            yield index, "a transfer between the learner and another bank is not supported"
