"""The hindsight optimum against days by hand, brute force and the engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from paysim_agents.hindsight import ROUNDING_CENTS, Plan, hindsight, replay
from paysim_agents.hindsight.recorded_day import RecordedDay, record_day
from paysim_agents.scripted import scripted
from paysim_agents.tasks.suite import TASKS, Task

from paysim_gym.evaluation import evaluate

RULES = ("release_all", "hold_until_deadline", "liquidity_aware", "split_large", "random", "myopic")


def payment(
    sender: str, amount: int, arrival: int, deadline: int = 99, priority: int = 5, divisible: bool = False
) -> dict[str, Any]:
    return {
        "sender": sender,
        "receiver": "B" if sender == "A" else "A",
        "amount": amount,
        "arrival_tick": arrival,
        "deadline_tick": deadline,
        "priority": priority,
        "divisible": divisible,
    }


def two_banks(payments: list[dict[str, Any]], costs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    scenario = {
        "ticks_per_day": 4,
        "agents": [
            {"id": "A", "balance": 1_000, "credit_limit": 1_000, "policy": {"type": "learner"}},
            {"id": "B", "balance": 1_000_000},
        ],
        "rails": [{"id": "RTGS", "queue_discipline": "fifo"}],
        "initial_transactions": payments,
        "costs": costs,
        "end_of_day": "borrow",
    }
    return scenario | changes


def test_a_day_by_hand() -> None:
    """Holding the earlier payment costs 10 per tick until the receipt."""
    payments = [payment("A", 1_000, 0, 3), payment("A", 1_000, 1, 1), payment("B", 1_000, 3)]
    costs = {"overdraft_rate": 0.1, "delay_rate": 0.01, "deadline_penalty": 500, "eod_rate": 0.5}
    scenario = two_banks(payments, costs)
    best = hindsight(scenario, 0)
    assert best.plan is not None
    assert sorted(best.plan.releases.values()) == [(1, 1), (3, 1)]
    assert (best.cost_cents, best.is_optimal, best.gap) == (30, True, 0.0)
    assert best.bound_cents == pytest.approx(30, abs=1e-3)
    # Paid as it comes, the earlier one leaves an overdraft of 1,000 for two ticks.
    assert evaluate(scripted({"type": "release_all"}), scenario, [0]).cost.tolist() == [200]
    # Without the later one nothing is worth waiting for.
    assert hindsight(scenario | {"initial_transactions": [payments[0], payments[2]]}, 0).cost_cents == 0


def test_a_split_is_taken_when_it_saves_more_than_its_fee() -> None:
    """Half is affordable now, half in two ticks; delay costs 10 per half."""
    payments = [payment("A", 2_000, 0, divisible=True), payment("B", 1_000, 2)]
    costs = {"delay_rate": 0.01, "split_fee": 15}
    agents = [{"id": "A", "balance": 1_000, "policy": {"type": "learner"}}, {"id": "B", "balance": 1_000_000}]
    cheap = hindsight(two_banks(payments, costs, agents=agents), 0)
    assert cheap.plan is not None
    assert (cheap.cost_cents, list(cheap.plan.releases.values())) == (15 + 20, [(0, 2)])
    expensive = hindsight(two_banks(payments, {**costs, "split_fee": 25}, agents=agents), 0)
    assert expensive.plan is not None
    assert (expensive.cost_cents, list(expensive.plan.releases.values())) == (40, [(2, 1)])


def test_a_queued_part_takes_the_next_receipt() -> None:
    """An immediate split is not optimal: its second part would delay the urgent payment.

    Split in tick 2, behind the urgent payment, it costs two ticks of delay for the whole amount, one for
    half of it, and the fee.
    """
    payments = [
        payment("A", 2_000, 0, divisible=True),
        payment("A", 1_000, 2, priority=8),
        *(payment("B", 1_000, tick) for tick in (0, 1, 3)),
    ]
    costs = {"delay_rate": 0.01, "priority_multipliers": {8: 10}, "split_fee": 5}
    agents = [{"id": "A", "balance": 0, "policy": {"type": "learner"}}, {"id": "B", "balance": 1_000_000}]
    for discipline in ("fifo", "fifo_bypass"):
        rails = [{"id": "RTGS", "queue_discipline": discipline}]
        best = hindsight(two_banks(payments, costs, agents=agents, rails=rails), 0, split_parts=[2])
        assert best.cost_cents == 2 * 20 + 10 + 5
        assert best.bound_cents == pytest.approx(55, abs=1e-3)


def test_a_credit_line_that_is_cut_need_not_be_paid_back() -> None:
    """The first payment is overdrawn all day; the second arrives after the cut."""
    payments = [payment("A", 1_000, 0), payment("A", 500, 2)]
    costs = {"delay_rate": 0.1, "overdraft_rate": 0.01}
    agents = [
        {"id": "A", "balance": 0, "credit_limit": 1_500, "policy": {"type": "learner"}},
        {"id": "B", "balance": 1_000_000},
    ]
    events = [{"type": "credit", "tick": 2, "bank": "A", "credit_limit": 100}]
    best = hindsight(two_banks(payments, costs, agents=agents, events=events), 0)
    assert best.cost_cents == 4 * 10 + 2 * 50
    assert best.bound_cents == pytest.approx(140, abs=1e-3)


def test_unsettled_payments_beyond_the_balance_are_borrowed() -> None:
    agents = [{"id": "A", "balance": 1_000, "policy": {"type": "learner"}}, {"id": "B", "balance": 1_000_000}]
    payments = [payment("A", 600, 0), payment("A", 1_500, 0)]
    best = hindsight(two_banks(payments, {"delay_rate": 0.01, "eod_rate": 0.1}, agents=agents), 0)
    assert best.cost_cents == 4 * 15 + 110
    assert best.bound_cents == pytest.approx(170, abs=1e-3)


def random_day(seed: int, **changes: Any) -> dict[str, Any]:
    """Two payments each way in a day of four ticks."""
    rng = np.random.default_rng(seed)
    payments = [
        payment(
            sender,
            int(rng.integers(30_000, 150_000)),
            arrival := int(rng.integers(4)),
            arrival + int(rng.integers(4)),
            int(rng.choice([2, 5, 8])),
            divisible=bool(rng.integers(2)),
        )
        for sender in "AABB"
    ]
    costs = {
        "overdraft_rate": 0.02,
        "overdraft_tiers": [{"above": 30_000, "rate": 0.06}],
        "delay_rate": 0.013,
        "delay_penalty_per_tick": 700,
        "priority_multipliers": {2: 0.5, 8: 3},
        "overdue_multiplier": 2,
        "deadline_penalty": 4_000,
        "split_fee": 600,
        "eod_penalty": 5_000,
        "eod_rate": 0.05,
    }
    scenario = two_banks(payments, costs, **changes)
    scenario["agents"][0] |= {"balance": 100_000, "credit_limit": 100_000}
    return scenario


def pool(scenario: dict[str, Any]) -> None:
    scenario["agents"][0] |= {"balance": 0, "liquidity_pool": 150_000}
    scenario["costs"]["liquidity_rate"] = 0.02


def credit_cut(scenario: dict[str, Any]) -> None:
    scenario["events"] = [{"type": "credit", "tick": 2, "bank": "A", "credit_limit": 10_000}]


def set_end_of_day(rule: str) -> Callable[[dict[str, Any]], None]:
    return lambda scenario: scenario.update(end_of_day=rule)


def deferred(scenario: dict[str, Any]) -> None:
    scenario["rails"][0]["deferred_crediting"] = True


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "borrow": lambda scenario: None,
    "drop": set_end_of_day("drop"),
    "carry": set_end_of_day("carry"),
    "pool": pool,
    "credit_cut": credit_cut,
    "deferred": deferred,
    "bypass": lambda scenario: scenario["rails"][0].update(queue_discipline="fifo_bypass"),
    "transfer": lambda scenario: scenario.update(
        events=[{"type": "transfer", "tick": 1, "receiver": "A", "amount": 40_000}]
    ),
}


def brute_force(day: RecordedDay) -> int:
    """Returns the minimum cost over all release ticks and splits in two."""
    options = [
        [None, *itertools.product(range(order.arrival, 4), (1, 2) if order.divisible else (1,))]
        for order in day.orders
    ]
    ids = [order.id for order in day.orders]
    shares = range(3) if day.scenario.agents[0].liquidity_pool else [0]
    plans = (
        Plan({i: option for i, option in zip(ids, chosen, strict=True) if option}, share)
        for share in shares
        for chosen in itertools.product(*options)
    )
    return min(replay(day, plan, [2], pool_shares=3, slots=4).cost_cents for plan in plans)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_equals_brute_force(change: str, seed: int) -> None:
    scenario = random_day(seed)
    CHANGES[change](scenario)
    best = hindsight(scenario, 0, split_parts=[2], pool_shares=3)
    assert best.receipts_are_fixed
    assert abs(best.cost_cents - best.bound_cents) <= ROUNDING_CENTS
    assert best.cost_cents == brute_force(record_day(scenario, 0))


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_holds_where_others_react(seed: int) -> None:
    scenario = random_day(seed)
    scenario["agents"][1]["balance"] = 10_000
    best = hindsight(scenario, 0, split_parts=[2], pool_shares=3)
    minimum = brute_force(record_day(scenario, 0))
    assert not best.receipts_are_fixed
    assert best.bound_cents <= minimum + ROUNDING_CENTS
    assert minimum <= best.cost_cents
    assert best.gap > 0 or best.is_optimal


def sampled_day(divisible: bool) -> dict[str, Any]:
    orders = {
        "rate_per_tick": 0.7,
        "distribution_type": "lognormal",
        "amount_mean": 100_000_00,
        "amount_std_dev": 100_000_00,
        "deadline_range": [1, 6],
        "priority": {2: 1, 5: 2, 8: 1},
        "divisible": divisible,
    }
    return {
        "ticks_per_day": 12,
        "agents": [
            {
                "id": "A",
                "balance": 100_000_00,
                "credit_limit": 300_000_00,
                "policy": {"type": "learner"},
                "arrival_config": orders,
            },
            {"id": "B", "balance": 10_000_000_00, "arrival_config": orders},
        ],
        "costs": {
            "overdraft_rate": 0.0001,
            "delay_penalty_per_tick": 10,
            "delay_rate": 0.00002,
            "priority_multipliers": {8: 2.5},
            "overdue_multiplier": 2,
            "deadline_penalty": 5_000,
            "split_fee": 100,
            "eod_penalty": 10_000,
            "eod_rate": 0.001,
        },
        "end_of_day": "borrow",
    }


@pytest.mark.parametrize("divisible", [False, True])
def test_engine_cost_equals_the_bound_and_no_rule_is_cheaper(divisible: bool) -> None:
    scenario = sampled_day(divisible)
    for seed in range(5):
        best = hindsight(scenario, seed, node_limit=200)
        rules = [evaluate(scripted({"type": rule}), scenario, [seed], slots=64).cost[0] for rule in RULES]
        assert best.bound_cents - ROUNDING_CENTS <= best.cost_cents <= min(rules)
        if not divisible:
            assert abs(best.cost_cents - best.bound_cents) <= ROUNDING_CENTS
            assert best.plan is not None
            day = record_day(scenario, seed)
            played = replay(day, best.plan)
            assert played.cost_cents == best.cost_cents == sum(played.costs_cents.values())
            assert np.array_equal(played.receipts_cents, day.receipts_cents)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_engine_cost_equals_the_bound_in_the_suite(task: Task) -> None:
    for seed in range(3):
        best = hindsight(task.scenario, seed, node_limit=100)
        assert best.receipts_are_fixed == task.receipts_are_fixed
        assert best.bound_cents - ROUNDING_CENTS <= best.cost_cents
        if task.receipts_are_fixed:
            assert best.is_optimal


@pytest.mark.parametrize(
    ("policy", "balance", "is_fixed"),
    [
        ({"type": "release_all"}, 10_000, True),
        ({"type": "release_all"}, 100, False),
        ({"type": "hold_until_deadline"}, 10_000, True),
        ({"type": "liquidity_aware", "buffer": 0}, 10_000, True),
        ({"type": "liquidity_aware", "buffer": 9_500}, 10_000, False),
        ({"type": "split_large", "parts": 2}, 10_000, True),
        ({"type": "split_large", "parts": 2}, 800, False),
        ({"type": "myopic"}, 10_000, False),
    ],
)
def test_receipts_are_fixed_only_if_no_bank_depends_on_the_learner(
    policy: dict[str, Any], balance: int, is_fixed: bool
) -> None:
    scenario = two_banks([payment("A", 700, 0), payment("B", 900, 1, 2, divisible=True)], {})
    scenario["agents"][1] |= {"balance": balance, "policy": policy}
    assert record_day(scenario, 0).receipts_are_fixed == is_fixed


def test_a_recorded_day_has_the_orders_and_receipts() -> None:
    payments = [payment("A", 700, 1, 2, 8, divisible=True), payment("A", 300, 3), payment("B", 900, 2)]
    day = record_day(two_banks(payments, {}), 0)
    assert [(order.amount, order.arrival, order.deadline) for order in day.orders] == [
        (700, 1, 2),
        (300, 3, 99),
    ]
    assert [(order.priority, order.divisible) for order in day.orders] == [(8, True), (5, False)]
    assert day.receipts_cents.tolist() == day.requested_cents.tolist() == [0, 0, 900, 0]
    assert day.credit_cents.tolist() == [1_000] * 4


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"num_days": 2}, "num_days"),
        ({"rails": [{"id": "A"}, {"id": "B"}]}, "rails"),
        ({"priority_escalation": {"ticks": 2, "boost": 1}}, "priority_escalation"),
        ({"costs": {"delay_in_central_queue": False}}, "delay_in_central_queue"),
        ({"costs": {"collateral_rate": 0.1, "collateral_charged": "used"}}, "collateral_charged"),
        (
            {"costs": {"overdraft_rate": 0.2, "overdraft_tiers": [{"above": 5, "rate": 0.1}]}},
            "overdraft_tiers",
        ),
        ({"events": [{"type": "early_close", "tick": 1}]}, r"events\[0\]"),
        ({"events": [{"type": "outage", "tick": 1, "bank": "A", "ticks": 1}]}, r"events\[0\]"),
        (
            {"events": [{"type": "transfer", "tick": 1, "sender": "A", "amount": 5}]},
            r"events\[0\]",
        ),
    ],
)
def test_unsupported_features_are_rejected(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        hindsight(two_banks([payment("A", 5, 0)], {}) | changes, 0)


@pytest.mark.parametrize(
    ("lsm", "counterparty_balance", "is_fixed", "bound", "cost"),
    [
        ({}, 1_000_000, True, 10, 10),
        # B can pay only once A has paid it; the bound lets it pay as early as its order arrives.
        ({}, 0, False, 10, 40),
        ({"bilateral": True}, 1_000_000, True, 10, 10),
        ({"entry_offset": True}, 0, False, 0, 0),
        ({"bilateral": True}, 0, False, 0, 0),
        ({"multilateral": True}, 0, False, 0, 0),
    ],
)
def test_a_deferred_receipt_pays_in_its_own_tick_only_by_offsetting(
    lsm: dict[str, bool], counterparty_balance: int, is_fixed: bool, bound: int, cost: int
) -> None:
    """A and B owe each other the same; a tick of delay costs 10."""
    scenario = two_banks(
        [payment("A", 1_000, 0), payment("B", 1_000, 0)],
        {"delay_rate": 0.01},
        agents=[
            {"id": "A", "balance": 0, "policy": {"type": "learner"}},
            {"id": "B", "balance": counterparty_balance},
        ],
        rails=[{"id": "RTGS", "queue_discipline": "fifo", "deferred_crediting": True, "lsm": lsm}],
    )
    best = hindsight(scenario, 0)
    assert (best.receipts_are_fixed, best.cost_cents) == (is_fixed, cost)
    assert best.bound_cents == pytest.approx(bound, abs=1e-3)
