"""Records the payment orders and receipts of a learner on one day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_agents.banks import find_bank, replace_bank
from paysim_gym import Orchestrator, Scenario, load_scenario
from paysim_gym.envs.learners import resolve_learners
from paysim_gym.scenario import Agent, ScenarioSource
from paysim_gym.scenario.policies import RandomPolicy

_LIQUIDITY_INDEPENDENT = {"learner", "release_all", "hold_until_deadline", "random"}
"""Policies that ignore the bank's liquidity; a learner without actions releases everything."""
_MONOTONE_IN_LIQUIDITY = {"liquidity_aware", "split_large"}
"""Policies that with more liquidity release no less and split no more."""


@dataclass(frozen=True)
class Order:
    """A payment order of the learner.

    Attributes:
        id: The payment's number in the engine.
        amount: Amount in cents.
        arrival: Arrival tick.
        deadline: Last tick of settlement on time.
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
    """A day as the engine played it while the learner released nothing.

    Attributes:
        scenario: The scenario.
        learner: The bank that released nothing.
        seed: Seed of the episode.
        orders: The learner's payment orders, by arrival.
        receipts_cents: Payments received by tick: int64 of shape (ticks,).
        requested_cents: Payments that other banks were ordered to make to the learner, by the arrival tick
            of the order: int64 of shape (ticks,). No action of the learner brings receipts earlier.
        transfers_cents: Transfers from outside the system, before the decisions of each tick: int64 of
            shape (ticks,).
        credit_cents: Overdraft limit by tick: int64 of shape (ticks,).
        fixed_cost_cents: Cost of posted collateral.
        receipts_are_fixed: Whether the receipts of every tick are the same for all actions of the learner.
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

    @property
    def bank(self) -> Agent:
        """The learner's configuration."""
        return find_bank(self.scenario, self.learner)


def record_day(scenario: ScenarioSource, seed: int, learner: str | None = None) -> RecordedDay:
    """Plays the first episode of a seed with an idle learner.

    Demand depends on the seed alone, so the orders are the same for all actions of the learner. Receipts may
    depend on the learner's payments. They do not (`receipts_are_fixed`) if two conditions hold on this day,
    on which the learner pays nothing. First, every payment that another bank released settled unsplit and
    gross in its release tick. Second, more liquidity would not change the releases: each bank's policy
    ignores liquidity, or is monotone in it and held nothing back.

    Args:
        scenario: A scenario of one day.
        seed: Seed of the episode.
        learner: The bank; None for the one whose policy is `learner`.

    Raises:
        ValueError: If the scenario has several days, or no such learner.
    """
    loaded = load_scenario(scenario)
    if loaded.num_days != 1:
        raise ValueError(f"num_days = {loaded.num_days}: must be 1 to record a day")
    (bank,) = resolve_learners(loaded, learner)
    # All orders are still in the queue when the day ends.
    run = Orchestrator(_without_releases(loaded, bank, seed), record_events=True)
    index = [agent.id for agent in loaded.agents].index(bank)
    credit, events = [], []
    while not run.is_over:
        run.tick()
        state = run.get_state()["agents"][index]
        credit.append(state["liquidity"] - state["balance"])
        events.append(run.events())
    orders = sorted((_order(payment) for payment in state["internal_queue"]), key=lambda order: order.id)
    return RecordedDay(
        loaded,
        bank,
        seed,
        tuple(orders),
        _received(events, "settlement", bank),
        _received(events, "arrival", bank),
        _received(events, "transfer", bank),
        np.array(credit, np.int64),
        state["costs"]["collateral"],
        _receipts_are_fixed(loaded, bank, events),
    )


def _without_releases(scenario: Scenario, bank: str, seed: int) -> Scenario:
    """Returns a scenario in which a bank never releases and unsettled payments carry over."""
    idle = replace_bank(scenario, bank, policy=RandomPolicy(release_probability=0.0))
    return idle.model_copy(update={"seed": seed, "end_of_day": "carry"})


def _order(payment: Mapping[str, Any]) -> Order:
    return Order(
        payment["id"],
        payment["amount"],
        payment["arrival_tick"],
        payment["deadline_tick"],
        payment["priority"],
        payment["divisible"],
    )


def _received(events: Iterable[Iterable[Mapping[str, Any]]], event_type: str, bank: str) -> NDArray[np.int64]:
    by_tick = (
        sum(event["amount"] for event in tick if event["type"] == event_type and event["receiver"] == bank)
        for tick in events
    )
    return np.fromiter(by_tick, np.int64)


def _receipts_are_fixed(scenario: Scenario, bank: str, events: list[list[dict[str, Any]]]) -> bool:
    policies = {agent.id: agent.policy.type for agent in scenario.agents if agent.id != bank}
    if not set(policies.values()) <= _LIQUIDITY_INDEPENDENT | _MONOTONE_IN_LIQUIDITY:
        return False
    for tick in events:
        released = {event["payment"] for event in tick if event["type"] == "release"}
        settled = {event["payment"] for event in tick if event["type"] == "settlement"}
        monotone = {
            event["payment"]
            for event in tick
            if event["type"] == "arrival" and policies.get(event["sender"]) in _MONOTONE_IN_LIQUIDITY
        }
        if released != settled or not monotone <= settled or any(map(_depends_on_liquidity, tick)):
            return False
    return True


def _depends_on_liquidity(event: Mapping[str, Any]) -> bool:
    if event["type"] == "transfer":
        return bool(event["amount"] < event["requested_amount"])
    return bool(event["type"] == "split" or event.get("mechanism", "gross") != "gross")
