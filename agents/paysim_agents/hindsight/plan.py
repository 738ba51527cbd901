"""The hindsight optimum: the cheapest way to play a day for one who knows all of it in advance.

Nobody who has to decide during the day can do better, so it is the floor under every policy's cost. It
comes with a proof: `bound_cents` is a lower bound on the cost of every way to play the day, from a mixed-
integer program (`paysim_agents.hindsight.day_model`), and `cost_cents` is what the engine charges for the plan found. Where
the two meet the plan is optimal. They do, to the solver's tolerance, where the learner's actions cannot
change its receipts (`RecordedDay.receipts_are_fixed`, checked day by day) and payments are not split; on a
`fifo` rail usually with splits as well. Elsewhere the bound lets others pay the learner as early as
their orders allow, and `gap` says what is left unproven.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_agents.hindsight.day_model import DayModel
from paysim_agents.hindsight.recorded_day import RecordedDay, record_day
from paysim_agents.scripted import ScriptedAgent
from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym.envs.env_arguments import DEFAULT_SPLIT_PARTS
from paysim_gym.evaluation import EpisodeTable, evaluate
from paysim_gym.scenario import ScenarioSource

SLOTS = 64
"""Slots of the environment in which plans are played, so that no payment is out of reach."""
ROUNDING_CENTS = 5
"""Each of five costs accrues exactly and is charged in whole cents, so that the engine charges up to this
much less than the exact sum."""
RULES: tuple[dict[str, Any], ...] = (
    {"type": "release_all"},
    {"type": "myopic"},
    {"type": "hold_until_deadline"},
    {"type": "liquidity_aware"},
)


@dataclass(frozen=True)
class Plan:
    """What to do, payment by payment.

    Attributes:
        releases: Number of a payment to the tick of its release and the number of its parts (1: whole);
            a payment without is held until the day closes.
        pool_action: Which share of the pool to commit, as the first number of the opening's action.
    """

    releases: Mapping[int, tuple[int, int]]
    pool_action: int = 0


@dataclass(frozen=True)
class Hindsight:
    """The best known way to play a day, and how good one could be.

    Attributes:
        cost_cents: What the engine charges for it.
        bound_cents: No way to play the day costs less, but for `ROUNDING_CENTS` and the solver's tolerances.
        plan: The plan; None if a scripted rule did better than every plan found.
        receipts_are_fixed: Whether the learner receives the same whatever it does.
        most_slots: Slots that the plan needs at some tick: it is playable with that many.
    """

    cost_cents: int
    bound_cents: float
    plan: Plan | None
    receipts_are_fixed: bool
    most_slots: int

    @property
    def gap(self) -> float:
        """What is unproven of the cost, as a share of it."""
        unproven = self.cost_cents - self.bound_cents
        return max(0.0, unproven / self.cost_cents) if self.cost_cents and unproven > 0 else 0.0

    @property
    def is_optimal(self) -> bool:
        """Whether the bound proves that nothing is cheaper, to a hundred-thousandth and the rounding."""
        return self.cost_cents - self.bound_cents <= ROUNDING_CENTS + 1e-5 * self.cost_cents


def hindsight(
    scenario: ScenarioSource,
    seed: int,
    learner: str | None = None,
    *,
    split_parts: Sequence[int] = DEFAULT_SPLIT_PARTS,
    node_limit: int = 2_000,
    relative_gap: float = 1e-6,
    attempts: int = 4,
    rules: Sequence[Mapping[str, Any]] = RULES,
) -> Hindsight:
    """Find the cheapest way to play the first episode of a seed.

    Args:
        scenario: A scenario of one day, one gross rail, without features that the program does not know.
        seed: Of the episode.
        learner: Who plays; if None, the one bank whose policy is `learner`.
        split_parts: Numbers of parts that a payment may be split into.
        node_limit: Nodes that a run of the solver may visit; when they are used up, the gap tells.
        relative_gap: Difference between plan and bound at which the solver stops.
        attempts: Runs of the solver where receipts are not fixed: each plan after the first is made for
            the receipts that the plan before it brought.
        rules: Scripted policies that are tried as well where no plan is proven optimal.

    Raises:
        ValueError: If the scenario has what the program does not know.
    """
    day = record_day(scenario, seed, learner)
    check_supported(day.scenario, day.learner)
    receipts = day.receipts_cents if day.receipts_are_fixed else day.requested_cents
    model, solution = _solve(day, receipts, split_parts, node_limit, relative_gap)
    bound = model.constant + float(
        solution.mip_dual_bound if solution.mip_dual_bound is not None else -np.inf
    )
    best: tuple[int, Plan | None, int] | None = None
    for _ in range(1 if day.receipts_are_fixed else attempts):
        if solution.x is None:
            break
        played = replay(day, read_plan(day, model, solution.x), split_parts)
        if best is None or played.cost_cents < best[0]:
            best = played.cost_cents, played.plan, played.most_slots
        if not day.receipts_are_fixed:
            model, solution = _solve(day, played.receipts_cents, split_parts, node_limit, relative_gap)
    if best is None or best[0] - bound > ROUNDING_CENTS:
        cost = min(_rule_cost(day, rule, split_parts) for rule in rules)
        if best is None or cost < best[0]:
            best = cost, None, SLOTS
    return Hindsight(best[0], bound, best[1], day.receipts_are_fixed, best[2])


def _solve(
    day: RecordedDay,
    receipts: NDArray[np.int64],
    split_parts: Sequence[int],
    node_limit: int,
    relative_gap: float,
) -> tuple[DayModel, Any]:
    model = DayModel(day, receipts, split_parts)
    return model, model.program.solve(node_limit, relative_gap)


def _rule_cost(day: RecordedDay, rule: Mapping[str, Any], split_parts: Sequence[int]) -> int:
    table: EpisodeTable = evaluate(
        lambda env: ScriptedAgent(env, rule),
        day.scenario,
        [day.seed],
        learner=day.learner,
        slots=SLOTS,
        split_parts=split_parts,
    )
    return int(table.cost[0])


def read_plan(day: RecordedDay, model: DayModel, solution: NDArray[np.float64]) -> Plan:
    """The plan in a solution of the model."""
    releases = {}
    for order, ways in zip(day.orders, model.ways, strict=True):
        for way in ways:
            settled = np.flatnonzero(solution[list(way.settled[0])] > 0.5)
            if settled.size:
                releases[order.id] = (order.arrival + int(settled[0]), way.parts)
    pool = int(np.argmax(solution[model.pool])) if model.pool else 0
    return Plan(releases, pool)


Watch = Callable[[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64], NDArray[Any]], None]
"""Is told of a step: observations, masks and actions, a row an environment, and the rewards they brought."""


@dataclass(frozen=True)
class Played:
    """A plan as the engine played it.

    Attributes:
        plan: The plan.
        cost_cents: What it cost.
        costs_cents: The same by component.
        receipts_cents: What the learner received, by tick: int64 of shape (ticks,).
        most_slots: The highest slot that an action other than hold was for, from 1; 0 without any.
    """

    plan: Plan
    cost_cents: int
    costs_cents: Mapping[str, int]
    receipts_cents: NDArray[np.int64]
    most_slots: int


def replay(
    day: RecordedDay,
    plan: Plan,
    split_parts: Sequence[int] = DEFAULT_SPLIT_PARTS,
    *,
    slots: int = SLOTS,
    watch: Watch | None = None,
    **env_kwargs: Any,
) -> Played:
    """Play a plan with the actions of the environment.

    Args:
        day: The day it is for.
        plan: What to do; what lies beyond the slots at its tick is released as soon as it comes within.
        split_parts: Numbers of parts that a payment may be split into.
        slots: Slots of the environment.
        watch: Is told of every step.
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
    queue, receipts, most = _Queue(day, plan, split_parts, slots), [], 0
    infos: dict[str, Any] = {}
    received = 0
    while "episode_totals" not in infos:
        view = env.snapshots()[0]
        actions = queue.opening() if view["is_opening"] else queue.act(view["tick"])
        most = max([most, *(np.flatnonzero(actions) + 1).tolist()]) if not view["is_opening"] else most
        before, masks = observations, env.action_masks()
        observations, rewards, *_, infos = env.step(actions[None])
        if watch is not None:
            watch(before, masks, actions[None], rewards)
        if not view["is_opening"]:
            after = env.snapshots()[0]["received_today"]
            receipts.append(after - received)
            received = after
    totals = {name: int(column[0]) for name, column in infos["episode_totals"].items()}
    costs = {name.removeprefix("cost_"): cents for name, cents in totals.items() if name.startswith("cost_")}
    return Played(plan, totals["cost"], costs, np.array(receipts, np.int64), most)


class _Queue:
    """The learner's internal queue, as a plan empties it."""

    def __init__(self, day: RecordedDay, plan: Plan, split_parts: Sequence[int], slots: int) -> None:
        self._plan, self._slots = plan, slots
        self._waiting = sorted(day.orders, key=lambda order: (-order.priority, order.deadline, order.id))
        self._action = {1: 1, **{parts: 2 + place for place, parts in enumerate(split_parts)}}

    def opening(self) -> NDArray[np.int64]:
        """The action of the opening step."""
        actions = np.zeros(self._slots, np.int64)
        actions[0] = self._plan.pool_action
        return actions

    def act(self, tick: int) -> NDArray[np.int64]:
        """The action of a tick; what it releases leaves the queue."""
        actions = np.zeros(self._slots, np.int64)
        queue = [order for order in self._waiting if order.arrival <= tick]
        for slot, order in enumerate(queue[: self._slots]):
            release, parts = self._plan.releases.get(order.id, (np.inf, 1))
            if release <= tick:
                actions[slot] = self._action[parts]
                self._waiting.remove(order)
        return actions


def check_supported(scenario: Scenario, learner: str) -> None:
    """Refuse what the program does not know.

    Raises:
        ValueError: If there is any, with its field.
    """
    bank = next(agent for agent in scenario.agents if agent.id == learner)
    prices, rails = scenario.costs, scenario.rails
    rates = [prices.overdraft_rate, *(tier.rate for tier in prices.overdraft_tiers)]
    refused = {
        "rails: must be one, gross": len(rails) > 1 or rails[0].settlement_type != "immediate",
        f"agents: {learner} must have no limits": bool(bank.limits.bilateral) or bank.limits.multilateral,
        "priority_escalation: must be absent": scenario.priority_escalation,
        "costs.delay_in_central_queue: must be true": not prices.delay_in_central_queue,
        "costs.collateral_charged: must be posted": prices.collateral_rate
        and prices.collateral_charged != "posted",
        "costs.overdraft_tiers: rates must ascend": any(low > high for low, high in pairwise(rates)),
        **{f"events[{place}]: {why}": True for place, why in _unknown_events(scenario, learner)},
    }
    problems = [problem for problem, is_there in refused.items() if is_there]
    if problems:
        raise ValueError("no hindsight optimum of this scenario:\n" + "\n".join(problems))


def _unknown_events(scenario: Scenario, learner: str) -> Iterable[tuple[int, str]]:
    for place, event in enumerate(scenario.events):
        if event.type == "early_close" or (event.type == "outage" and event.bank == learner):
            yield place, f"{event.type} of the learner's day is not known"
        if event.type == "transfer" and learner in (event.sender, event.receiver) and event.sender:
            yield place, "a transfer between the learner and a bank is not known"
