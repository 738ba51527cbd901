"""The engine charges what a second implementation of the rules charges, to the cent."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from reference_costs import ReferenceCosts

from paysim_gym import Orchestrator, load_scenario
from paysim_gym._engine import COST_COMPONENTS

CHARGED = {"liquidity", "overdraft", "collateral", "delay", "deadline", "split", "end_of_day"}
"""Components that the random scenarios must charge."""
RULES = ("carry", "drop", "borrow")
SCENARIOS = 120
"""Random scenarios for each end-of-day rule."""


def random_bank(rng: random.Random, bank: str) -> dict[str, Any]:
    policies: list[dict[str, Any]] = [
        {"type": "release_all"},
        {"type": "myopic"},
        {"type": "hold_until_deadline", "margin": rng.randrange(3)},
        {"type": "liquidity_aware", "buffer": rng.randrange(500)},
        {"type": "split_large", "parts": rng.randint(2, 4), "threshold": rng.randrange(300)},
        {"type": "random", "release_probability": 0.5},
    ]
    arrivals = {
        "rate_per_tick": 0.6,
        "distribution_type": "exponential",
        "amount_mean": 400,
        "deadline_range": [0, 4],
        "priority": {"2": 1, "7": 1},
    }
    return {
        "id": bank,
        "balance": rng.choice([0, rng.randrange(600)]),
        "credit_limit": rng.choice([0, rng.randrange(800)]),
        "collateral": rng.choice([0, rng.randrange(500)]),
        "collateral_haircut": rng.choice([0.0, 0.237, 1.0]),
        "liquidity_pool": rng.choice([0, rng.randrange(500)]),
        "liquidity_share": rng.choice([0.5, 1 / 3, 1.0]),
        "policy": rng.choice(policies),
        "arrival_config": rng.choice([None, arrivals]),
    }


def random_costs(rng: random.Random) -> dict[str, Any]:
    def price() -> float:
        return rng.choice([0.0, 0.01, rng.random() / 10])

    tiers = [{"above": 100, "rate": price()}, {"above": 350, "rate": price()}]
    return {
        "overdraft_rate": price(),
        "overdraft_tiers": rng.choice([[], tiers[:1], tiers]),
        "delay_penalty_per_tick": rng.randrange(9),
        "delay_rate": price(),
        "priority_multipliers": rng.choice([{}, {"2": 0.3, "7": 2.7}]),
        "overdue_multiplier": rng.choice([1.0, 1.7, 3.0]),
        "deadline_penalty": rng.randrange(99),
        "split_fee": rng.randrange(20),
        "eod_penalty": rng.randrange(99),
        "eod_rate": price(),
        "collateral_rate": price(),
        "collateral_charged": rng.choice(["posted", "used"]),
        "liquidity_rate": price(),
        "delay_in_central_queue": rng.random() < 0.7,
        "delay_at_close": rng.random() < 0.5,
    }


def random_rails(rng: random.Random, ticks: int, *, may_defer: bool) -> list[dict[str, Any]]:
    def rail(name: str) -> dict[str, Any]:
        deferred = {"id": name, "deferred_crediting": may_defer and rng.random() < 0.4}
        if rng.random() < 0.3:
            return deferred | {"settlement_type": "deferred_net", "cycle_ticks": rng.randint(1, ticks)}
        lsm = {key: rng.random() < 0.5 for key in ("entry_offset", "bilateral", "multilateral")}
        return deferred | {"lsm": lsm, "queue_discipline": rng.choice(["fifo", "fifo_bypass", "priority"])}

    return [rail(name) for name in ("RTGS", "SECOND")[: rng.randint(1, 2)]]


def random_events(rng: random.Random, banks: list[str], ticks: int) -> list[dict[str, Any]]:
    one, other = rng.sample(banks, 2)
    kinds: list[dict[str, Any]] = [
        {"type": "credit", "bank": one, "credit_limit": rng.randrange(900)},
        {"type": "collateral", "bank": one, "collateral": rng.randrange(600)},
        {"type": "transfer", "sender": one, "amount": 200},
        {"type": "transfer", "sender": one, "receiver": other, "amount": 150},
        {"type": "transfer", "receiver": other, "amount": 300},
        {"type": "payment", "sender": one, "receiver": other, "amount": 120, "deadline_ticks": 2},
        {"type": "outage", "bank": one, "ticks": 2},
        {"type": "early_close"},
    ]
    return [kind | {"tick": rng.randrange(ticks)} for kind in rng.sample(kinds, rng.randrange(4))]


def random_scenario(seed: int, end_of_day: str) -> dict[str, Any]:
    """A scenario of 2 to 4 banks and 1 to 3 short days."""
    rng = random.Random(f"{end_of_day} {seed}")
    ticks_per_day, days = rng.randint(2, 6), rng.randint(1, 3)
    ticks, banks = ticks_per_day * days, ["A", "B", "C", "D"][: rng.randint(2, 4)]
    costs = random_costs(rng)
    # The log does not say which receipts cover payments of the same offset before they land.
    rails = random_rails(rng, ticks_per_day, may_defer=costs["collateral_charged"] == "posted")

    def payment() -> dict[str, Any]:
        sender, receiver = rng.sample(banks, 2)
        arrival = rng.randrange(ticks)
        return {
            "sender": sender,
            "receiver": receiver,
            "amount": rng.randint(1, 700),
            "arrival_tick": arrival,
            "deadline_tick": arrival + rng.randrange(2 * ticks_per_day),
            "priority": rng.choice([2, 5, 7, 10]),
            "divisible": rng.random() < 0.7,
            "rail": rng.choice(rails)["id"],
        }

    return {
        "ticks_per_day": ticks_per_day,
        "num_days": days,
        "seed": seed,
        "agents": [random_bank(rng, bank) for bank in banks],
        "rails": rails,
        "costs": costs,
        "initial_transactions": [payment() for _ in range(rng.randrange(9))],
        "events": random_events(rng, banks, ticks),
        "end_of_day": end_of_day,
        "overnight": rng.choice(["carry", "reset"]),
    }


def compare(scenario: dict[str, Any]) -> Counter[str]:
    """Compare every bank and component after every tick; return the cents by component."""
    run = Orchestrator(load_scenario(scenario), record_events=True)
    reference = ReferenceCosts(run.scenario)
    while not run.is_over:
        tick = run.tick()["tick"]
        reference.play_tick(tick, run.events())
        for agent in run.get_state()["agents"]:
            bank = agent["id"]
            assert agent["balance"] == reference.balances[bank], (tick, bank)
            expected = {name: reference.cents(bank, name) for name in COST_COMPONENTS}
            assert agent["costs"] == expected, (tick, bank)
    banks = [agent["id"] for agent in run.get_state()["agents"]]
    return Counter({name: sum(reference.cents(bank, name) for bank in banks) for name in COST_COMPONENTS})


@pytest.mark.parametrize("end_of_day", RULES)
def test_costs_equal_the_second_implementation(end_of_day: str) -> None:
    charged: Counter[str] = Counter()
    for seed in range(SCENARIOS):
        charged += compare(random_scenario(seed, end_of_day))
    assert charged.keys() >= CHARGED


@pytest.mark.parametrize("name", ["two_bank", "five_bank", "castro_twelve_period"])
def test_costs_of_bundled_scenarios_equal_it_too(name: str) -> None:
    compare(load_scenario(name).model_dump(mode="json") | {"num_days": 2})


def test_a_payment_settled_before_its_deadline_on_a_later_day_is_on_time() -> None:
    payments = [
        {"sender": "A", "receiver": "B", "amount": 100, "arrival_tick": 0, "deadline_tick": 3},
        {"sender": "B", "receiver": "A", "amount": 100, "arrival_tick": 2, "deadline_tick": 3},
    ]
    scenario = {
        "ticks_per_day": 2,
        "num_days": 2,
        "agents": [{"id": "A", "balance": 0}, {"id": "B", "balance": 100}],
        "initial_transactions": payments,
        "costs": {"deadline_penalty": 500, "delay_penalty_per_tick": 1},
        "end_of_day": "carry",
    }
    assert +compare(scenario) == Counter(delay=2)
