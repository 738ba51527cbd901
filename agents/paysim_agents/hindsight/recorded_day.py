"""One day of a scenario as it comes to a learner: what it is asked to pay, and what it receives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_gym import Orchestrator, Scenario, load_scenario
from paysim_gym.envs.learners import resolve_learners
from paysim_gym.scenario import ScenarioSource
from paysim_gym.scenario.policies import RandomPolicy

_BLIND = {"learner", "release_all", "hold_until_deadline", "random"}
"""Rules that do not look at the bank's money; a learner that nobody teaches releases everything."""
_BOLDER_WITH_MONEY = {"liquidity_aware", "split_large"}
"""Rules that release at least as much, and split no more, the more money there is."""


@dataclass(frozen=True)
class Order:
    """A payment that the learner is asked to make.

    Attributes:
        id: The engine's number for it.
        amount: In cents.
        arrival: Tick at which it comes.
        deadline: Last tick at which it settles on time.
        priority: 0 to 10.
        divisible: Whether it may be split.
    """

    id: int
    amount: int
    arrival: int
    deadline: int
    priority: int
    divisible: bool


@dataclass(frozen=True)
class RecordedDay:
    """A day that the engine has played while the learner paid nothing.

    Attributes:
        scenario: What was played.
        learner: Who paid nothing.
        seed: Of the episode.
        orders: What it was asked to pay, in order of arrival.
        receipts_cents: What it received, by tick: int64 of shape (ticks,).
        requested_cents: What others were asked to pay to it, by the tick of their orders: int64 of shape
            (ticks,). Nothing that the learner does brings it money earlier.
        transfers_cents: What came from outside the system before its decisions, by tick: int64 of shape
            (ticks,).
        credit_cents: How far its balance may fall below zero, by tick: int64 of shape (ticks,).
        fixed_cost_cents: What its posted collateral costs.
        receipts_are_fixed: Whether it receives the same at the same ticks whatever it does.
    """

    scenario: Scenario
    learner: str
    seed: int
    orders: tuple[Order, ...]
    receipts_cents: NDArray[np.int64]
    requested_cents: NDArray[np.int64]
    transfers_cents: NDArray[np.int64]
    credit_cents: NDArray[np.int64]
    fixed_cost_cents: int
    receipts_are_fixed: bool


def record_day(scenario: ScenarioSource, seed: int, learner: str | None = None) -> RecordedDay:
    """Play the first episode of a seed, in which the learner pays nothing, and note what comes.

    Demand depends on the seed alone, so the orders are those of the day whatever the learner does. What
    others pay to it may depend on what they get from it; it does not (`receipts_are_fixed`) if on this
    day, without a cent from the learner, every payment that another bank released settled whole and gross
    in the tick of its release, and if what a bank releases does not depend on its money: its policy is
    blind to it, or is one that releases no less with more money and held nothing back as it was.

    Args:
        scenario: A scenario of one day.
        seed: Of the episode.
        learner: Whose day it is; if None, the one bank whose policy is `learner`.

    Raises:
        ValueError: If the scenario has several days, or no such learner.
    """
    loaded = load_scenario(scenario)
    if loaded.num_days != 1:
        raise ValueError(f"num_days = {loaded.num_days}: must be 1, a recorded day is one day")
    (bank,) = resolve_learners(loaded, learner)
    # What a day leaves unsettled stays in its queue, where it can be read.
    run = Orchestrator(_holding(loaded, bank, seed), record_events=True)
    place = [agent.id for agent in loaded.agents].index(bank)
    credit, events = [], []
    while not run.is_over:
        run.tick()
        own = run.get_state()["agents"][place]
        credit.append(own["liquidity"] - own["balance"])
        events.append(run.events())
    orders = sorted((_order(payment) for payment in own["internal_queue"]), key=lambda order: order.id)
    return RecordedDay(
        loaded,
        bank,
        seed,
        tuple(orders),
        _received(events, "settlement", bank),
        _received(events, "arrival", bank),
        _received(events, "transfer", bank),
        np.array(credit, np.int64),
        own["costs"]["collateral"],
        _receipts_are_fixed(loaded, bank, events),
    )


def _holding(scenario: Scenario, bank: str, seed: int) -> Scenario:
    """The scenario in which a bank releases nothing and a day's close settles and cancels nothing."""
    agents = tuple(
        agent.model_copy(update={"policy": RandomPolicy(release_probability=0.0)})
        if agent.id == bank
        else agent
        for agent in scenario.agents
    )
    return scenario.model_copy(update={"agents": agents, "seed": seed, "end_of_day": "carry"})


def _order(payment: Mapping[str, Any]) -> Order:
    return Order(
        payment["id"],
        payment["amount"],
        payment["arrival_tick"],
        payment["deadline_tick"],
        payment["priority"],
        payment["divisible"],
    )


def _received(events: Iterable[Iterable[Mapping[str, Any]]], kind: str, bank: str) -> NDArray[np.int64]:
    by_tick = (
        sum(event["amount"] for event in tick if event["type"] == kind and event["receiver"] == bank)
        for tick in events
    )
    return np.fromiter(by_tick, np.int64)


def _receipts_are_fixed(scenario: Scenario, bank: str, events: list[list[dict[str, Any]]]) -> bool:
    kinds = {agent.id: agent.policy.type for agent in scenario.agents if agent.id != bank}
    if not set(kinds.values()) <= _BLIND | _BOLDER_WITH_MONEY:
        return False
    for tick in events:
        released = {event["payment"] for event in tick if event["type"] == "release"}
        settled = {event["payment"] for event in tick if event["type"] == "settlement"}
        bold = {
            event["payment"]
            for event in tick
            if event["type"] == "arrival" and kinds.get(event["sender"]) in _BOLDER_WITH_MONEY
        }
        if released != settled or not bold <= settled or any(map(_depends_on_money, tick)):
            return False
    return True


def _depends_on_money(event: Mapping[str, Any]) -> bool:
    if event["type"] == "transfer":
        return bool(event["amount"] < event["requested_amount"])
    return bool(event["type"] == "split" or event.get("mechanism", "gross") != "gross")
