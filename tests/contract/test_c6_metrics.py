"""C6: metrics of a sequence of ticks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from contract.example import example
from full_scenario import FULL
from network_files import against, network_file
from runs import live_metrics, live_ticks

from paysim_gym import Orchestrator, bundled_scenarios, load_scenario
from paysim_gym.simulate.metrics import AgentMetrics, SimulationMetrics, aggregate_metrics
from paysim_gym.simulate.payment_outcomes import PaymentLog

SPLITS = {"type": "split_large", "parts": 3, "threshold": 0}


def pay(amount: int, arrival: int, sender: str = "A") -> dict[str, Any]:
    receiver = "B" if sender == "A" else "A"
    due = {"arrival_tick": arrival, "deadline_tick": 9}
    return {"sender": sender, "receiver": receiver, "amount": amount, **due}


def by_hand(**changes: Any) -> dict[str, Any]:
    return {
        "ticks_per_day": 4,
        "end_of_day": "drop",
        "agents": [{"id": "A", "balance": 100, "policy": SPLITS}, {"id": "B", "balance": 0}],
        "initial_transactions": [pay(150, 0), pay(50, 2, "B"), pay(90, 3)],
        **changes,
    }


def played(config: Any, ticks: int | None = None) -> list[dict[str, Any]]:
    orchestrator = Orchestrator(config)
    results: list[dict[str, Any]] = []
    while not orchestrator.is_over and len(results) != ticks:
        results.append(orchestrator.tick())
    return results


def test_c6_metrics_by_hand() -> None:
    # Tick 0: A splits 150 into three parts of 50; two settle, the third waits for the 50 that B pays in tick
    # 2, and settles then. Tick 3: A has nothing; the parts of its 90 are dropped at the close.
    metrics = aggregate_metrics(played(by_hand()))
    assert isinstance(metrics, SimulationMetrics)
    assert (metrics.total_ticks, metrics.total_arrivals) == (4, 3)
    assert (metrics.total_settlements, metrics.total_dropped) == (4, 3)
    assert metrics.settlement_rate == 2 / 3
    assert metrics.average_delay == (2 + 0) / 2
    assert metrics.max_queue_depth == 1
    assert metrics.agent_metrics == {
        "A": AgentMetrics(avg_balance=0.0, min_balance=0, total_sent=150, total_received=50),
        "B": AgentMetrics(avg_balance=100.0, min_balance=100, total_sent=50, total_received=150),
    }


def test_c6_an_order_settles_with_its_last_part() -> None:
    ticks = played(by_hand())
    assert [tick["settlements"] for tick in ticks] == [2, 0, 2, 0]
    assert [tick["settled_orders"] for tick in ticks] == [0, 0, 2, 0]
    assert [tick["settled_orders_delay"] for tick in ticks] == [0, 0, 2, 0]


def test_c6_no_arrivals_are_a_rate_of_zero() -> None:
    quiet = aggregate_metrics(played(by_hand(initial_transactions=[])))
    assert (quiet.settlement_rate, quiet.average_delay, quiet.max_queue_depth) == (0.0, 0.0, 0)
    nothing = aggregate_metrics([])
    assert (nothing.total_ticks, nothing.settlement_rate, nothing.agent_metrics) == (0, 0.0, {})


def test_c6_balances_exclude_the_close_of_a_day() -> None:
    # A commits its pool of 70 and returns it at the close; B borrows 30 to pay at the close.
    agents = [{"id": "A", "balance": 0, "liquidity_pool": 70}, {"id": "B", "balance": 10}]
    config = by_hand(agents=agents, end_of_day="borrow", initial_transactions=[pay(40, 0, "B")])
    ticks = played(config)
    metrics = aggregate_metrics(ticks)
    a, b = metrics.agent_metrics["A"], metrics.agent_metrics["B"]
    assert (a.avg_balance, a.min_balance, a.total_received) == (70.0, 70, 40)
    assert (b.avg_balance, b.min_balance, b.total_sent) == (10.0, 10, 40)
    assert [agent["balance"] for agent in ticks[-1]["agents"]] == [40, 0]
    assert [agent["balance_before_close"] for agent in ticks[-1]["agents"]] == [70, 10]
    assert metrics.settlement_rate == 1.0


def network_config(folder: Path) -> dict[str, Any]:
    """A system whose learner releases parts of payments."""
    arrivals = {"rate_per_tick": 2, "distribution_type": "exponential", "amount_mean": 100_000}
    banks = [{"id": bank, "balance": 300_000, "arrival_config": arrivals} for bank in ("BANK_A", "BANK_B")]
    banks[0]["policy"] = {"type": "learner"}
    config = {"ticks_per_day": 12, "num_days": 3, "agents": banks}
    file = network_file(folder / "network.safetensors", {"action_mode": "fraction"})
    return against(config, file, deterministic=False)


def orders_by_payments(config: Any) -> tuple[int, int, int]:
    """Orders, wholly settled ones and their delay, from the fate of each payment."""
    log = PaymentLog()
    for record in live_ticks(config):
        log.apply(record.events)
    orders: dict[int, list[Any]] = {}
    for payment in [*log.take_ended(), *log.open()]:
        if payment.status != "split":
            orders.setdefault(payment.parent or payment.payment, []).append(payment)
    whole = [parts for parts in orders.values() if all(part.status == "settled" for part in parts)]
    delay = sum(max(part.end_tick for part in parts) - parts[0].arrival_tick for parts in whole)
    return len(orders), len(whole), delay


@pytest.mark.parametrize("name", ["network", "full", "example", *bundled_scenarios()])
def test_c6_metrics_agree_with_payments_state_and_run(name: str, tmp_path: Path) -> None:
    config = {"full": FULL, "example": example(), "network": network_config(tmp_path)}.get(name, name)
    scenario = load_scenario(config)
    scenario = scenario.model_copy(update={"num_days": max(2, scenario.num_days)})
    ticks = played(scenario)
    metrics = aggregate_metrics(ticks)
    orders, whole, delay = orders_by_payments(scenario)
    assert metrics.total_arrivals == orders
    assert metrics.settlement_rate == whole / orders
    assert metrics.average_delay == (delay / whole if whole else 0.0)
    run = live_metrics(scenario)
    for field in set(SimulationMetrics.model_fields) - {"agent_metrics"}:
        assert getattr(metrics, field) == getattr(run, field)
    for bank, values in metrics.agent_metrics.items():
        assert {
            field: getattr(run.agent_metrics[bank], field) for field in AgentMetrics.model_fields
        } == dict(values)
    assert ticks == played(scenario)


def test_c6_ticks_can_be_aggregated_in_pieces_after_a_restart() -> None:
    config = example() | {"agents": [bank | {"policy": SPLITS} for bank in example()["agents"]]}
    whole = played(config)
    first, second = Orchestrator(config), Orchestrator(config)
    ticks = [first.tick() for _ in range(37)]
    second.restore_state(first.save_state())
    while not second.is_over:
        ticks.append(second.tick())
    assert ticks == whole
    assert any(tick["settlements"] > tick["settled_orders"] for tick in ticks)


def test_c6_the_fields_own_measures_stand_beside_under_other_names() -> None:
    run = live_metrics(by_hand())
    assert run.value_settlement_rate == (150 + 50) / (150 + 50 + 90)
    assert run.value_weighted_delay == 50 * 2 / (150 + 50 + 90)
    assert (run.settlement_rate, run.average_delay) == (2 / 3, 1.0)
