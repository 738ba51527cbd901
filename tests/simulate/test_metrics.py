"""Metrics of a run: computed by hand, and equal from every source."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from full_scenario import FULL
from paysim_agents.scripted import scripted
from pydantic import ValidationError
from runs import live_metrics as live
from runs import live_ticks, plan_of, store_run

from paysim_gym import bundled_scenarios, load_scenario
from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.evaluation import evaluate
from paysim_gym.scenario import Scenario
from paysim_gym.simulate.accumulator import MetricsAccumulator
from paysim_gym.simulate.event_replay import EventReplay
from paysim_gym.simulate.formatting import day_line, summary
from paysim_gym.simulate.metrics import (
    BANK_DAY_VALUES,
    BankDayMetrics,
    CostComponents,
    DayMetrics,
    RunMetrics,
    RunTotals,
)
from paysim_gym.simulate.records import DayReport
from paysim_gym.simulate.store import Store


def pay(sender: str, receiver: str, amount: int, arrival: int, deadline: int) -> dict[str, Any]:
    return {
        "sender": sender,
        "receiver": receiver,
        "amount": amount,
        "arrival_tick": arrival,
        "deadline_tick": deadline,
    }


BY_HAND: dict[str, Any] = {
    "ticks_per_day": 3,
    "num_days": 2,
    "end_of_day": "drop",
    "agents": [{"id": "A", "balance": 100, "credit_limit": 50}, {"id": "B", "balance": 0}],
    "costs": {"overdraft_rate": 0.1, "delay_penalty_per_tick": 1, "deadline_penalty": 7, "eod_penalty": 20},
    "initial_transactions": [
        pay("A", "B", 120, 0, 2),
        pay("A", "B", 60, 0, 1),
        pay("B", "A", 40, 1, 2),
        pay("B", "A", 300, 2, 2),
        pay("A", "B", 30, 4, 5),
    ],
}


def test_a_run_by_hand() -> None:
    # Tick 0: A pays the 60, due first, and stands at 40; 120 wait, as it has only 90. Tick 1: B pays 40; A
    # has 80, with its credit 130: it pays 120 and stands at -40, B at 140. Tick 2: B's 300 wait and are
    # dropped. Day 1, tick 4: A has 10 of credit left; 30 wait through ticks 4 and 5 and are dropped.
    metrics = live(BY_HAND)
    a, b = metrics.agent_metrics["A"], metrics.agent_metrics["B"]
    assert (metrics.days, metrics.total_ticks) == (2, 6)
    assert (metrics.total_arrivals, metrics.total_settlements, metrics.total_dropped) == (5, 3, 2)
    assert (metrics.arrived_value, metrics.settled_value, metrics.max_queue_depth) == (550, 220, 1)
    assert (metrics.settlement_rate, metrics.average_delay) == (3 / 5, 1 / 3)
    assert metrics.value_settlement_rate == 220 / 550
    # 120 cents waited one tick, 30 cents one tick until they were dropped.
    assert metrics.value_weighted_delay == (120 * 1 + 30 * 1) / 550
    assert (a.arrivals, a.settlements, a.dropped) == (3, 2, 1)
    assert (a.total_sent, a.total_received, a.min_balance, a.liquidity_used) == (180, 40, -40, 140)
    assert a.avg_balance == (40 - 40 * 5) / 6
    assert a.turnover == 180 / 140
    assert (a.value_settlement_rate, a.value_weighted_delay) == (180 / 210, 150 / 210)
    # 10% of 40 five times; delays of ticks 0, 4 and 5; one deadline; one drop.
    expected = {"overdraft": 5 * 4, "delay": 3, "deadline": 7, "end_of_day": 20}
    assert a.costs == dict.fromkeys(COST_COMPONENTS, 0) | expected
    assert a.cost == sum(expected.values())
    assert (b.total_sent, b.total_received, b.min_balance, b.avg_balance) == (40, 180, 60, (60 + 140 * 5) / 6)
    assert (b.liquidity_used, b.turnover) == (0, None)
    assert metrics.cost == a.cost + b.cost


def test_metrics_name_every_cost_component_of_the_engine() -> None:
    assert tuple(CostComponents.__annotations__) == COST_COMPONENTS
    metrics = live(BY_HAND).to_dict()
    with pytest.raises(ValidationError, match=r"costs\.delay"):
        RunMetrics.model_validate(metrics | {"costs": {**metrics["costs"], "delay": None}})
    with pytest.raises(ValidationError, match=r"costs\.other"):
        RunMetrics.model_validate(metrics | {"costs": {**metrics["costs"], "other": 1}})


def test_a_bank_without_payments_has_settled_all_of_them() -> None:
    quiet = live(BY_HAND | {"initial_transactions": []})
    assert (quiet.value_settlement_rate, quiet.value_weighted_delay) == (1.0, 0.0)
    assert quiet.agent_metrics["A"].turnover is None


@pytest.mark.parametrize("name", ["two_bank", "five_bank", "castro_two_period", "lent"])
def test_bank_metrics_are_those_of_the_environment(name: str) -> None:
    """A learner that plays `release_all` makes an environment equal to a run."""
    scenario = load_scenario(LENT if name == "lent" else name)
    learner = next(agent.id for agent in scenario.agents if agent.policy.type == "learner")
    seed = 11
    assert name != "lent" or live(scenario).value_settlement_rate < 1
    table = evaluate(scripted({"type": "release_all"}), scenario, [seed], learner=learner, slots=64)
    bank = live(scenario.model_copy(update={"seed": seed})).agent_metrics[learner]
    assert (bank.arrivals, bank.settlements, bank.dropped, bank.total_sent) == (
        table.arrived_count[0],
        table.settled_count[0],
        table.dropped_count[0],
        table.settled_value[0],
    )
    assert (bank.liquidity_used, bank.cost) == (table.liquidity_used[0], table.cost[0])
    assert bank.costs == {name: getattr(table, f"cost_{name}")[0] for name in COST_COMPONENTS}
    rate_and_delay = table.settlement_rate[0], table.mean_delay[0]
    assert (bank.value_settlement_rate, bank.value_weighted_delay) == rate_and_delay


LENT = BY_HAND | {"end_of_day": "borrow", "num_days": 1}
LENT["agents"] = [{"id": "A", "balance": 100, "policy": {"type": "learner"}}, {"id": "B", "balance": 0}]
LENT["initial_transactions"] = BY_HAND["initial_transactions"][:3]


def scenarios() -> dict[str, Scenario]:
    days = {name: load_scenario(name).model_copy(update={"num_days": 2}) for name in bundled_scenarios()}
    full = load_scenario(copy.deepcopy(FULL))
    carried = load_scenario(BY_HAND | {"end_of_day": "carry"})
    return days | {"full": full, "by_hand": load_scenario(BY_HAND), "carried": carried}


@pytest.mark.parametrize("name", scenarios())
def test_store_and_exported_files_have_the_metrics_of_the_live_run(name: str, tmp_path: Path) -> None:
    with Store(tmp_path / "runs.duckdb") as store:
        _, metrics = store_run(store, scenarios()[name], full=False)
    with Store(tmp_path / "runs.duckdb") as store:
        assert store.metrics(1) == metrics
        for table in ("days", "bank_days", "payments"):
            store.export(1, table, tmp_path / f"{table}.parquet")
            store.export(1, table, tmp_path / f"{table}.csv")
    check_polars(metrics, tmp_path)
    check_pandas(metrics, tmp_path)


def test_the_metrics_of_an_incomplete_day_agree(tmp_path: Path) -> None:
    scenario = scenarios()["two_bank"]
    with Store(tmp_path / "runs.duckdb") as store:
        _, metrics = store_run(store, scenario, full=False, max_ticks=60)
    assert (metrics.days, metrics.total_ticks) == (2, 60)
    assert metrics == live(scenario, max_ticks=60)
    with Store(tmp_path / "runs.duckdb") as store:
        assert store.metrics(1) == metrics
        assert [report.day.is_complete for report in store.days(1)] == [True, False]


@pytest.mark.parametrize("name", scenarios())
def test_balances_and_unsettled_payments_are_those_of_the_replay(name: str) -> None:
    plan = plan_of(scenarios()[name])
    replay, accumulator = EventReplay(plan.rails), MetricsAccumulator.for_banks(plan.banks)
    ticks_per_day = plan.ticks_per_day
    for record in live_ticks(scenarios()[name]):
        next_tick = record.outcome["tick"] + 1
        if record.ends_day:
            next_tick = (record.outcome["day"] + 1) * ticks_per_day
        accumulator.apply(record, next_tick)
        for event in record.events:
            replay.apply(event)
        for bank, metrics in accumulator.banks.items():
            unsettled = list(replay.accounts[bank].unsettled())
            waits = sum(payment.amount * (next_tick - payment.arrival_tick) for payment in unsettled)
            assert metrics.closing_balance == replay.accounts[bank].balance
            assert metrics.unsettled_count == len(unsettled)
            assert metrics.unsettled_value == sum(payment.amount for payment in unsettled)
            assert metrics.waiting_value == waits
        if record.ends_day:
            accumulator.close_day(is_complete=True)


def test_metrics_before_the_first_tick() -> None:
    accumulator = MetricsAccumulator.for_banks(["A", "B"])
    metrics = accumulator.metrics()
    assert (metrics.days, metrics.total_ticks, metrics.settlement_rate, metrics.cost) == (0, 0, 0.0, 0)
    banks = metrics.agent_metrics
    assert {name: (bank.avg_balance, bank.min_balance) for name, bank in banks.items()} == {
        "A": (None, None),
        "B": (None, None),
    }
    with pytest.raises(ValueError, match="no tick of the day"):
        accumulator.close_day(is_complete=False)


def check_polars(metrics: RunMetrics, folder: Path) -> None:
    """Recompute every metric with polars from the Parquet files."""
    days, bank_days = pl.read_parquet(folder / "days.parquet"), pl.read_parquet(folder / "bank_days.parquet")
    payments = pl.read_parquet(folder / "payments.parquet")
    names = ("ticks", "arrivals", "settlements", "dropped", "settled_value")
    totals = [getattr(metrics, f"total_{name}") for name in names[:4]]
    sums = days.sum().row(0, named=True)
    assert [sums[name] for name in names] == [*totals, metrics.settled_value]
    assert metrics.settlement_rate == (sums["settled_orders"] / sums["arrivals"] if sums["arrivals"] else 0)
    if sums["settled_orders"]:
        assert metrics.average_delay == sums["settled_orders_delay"] / sums["settled_orders"]
    assert days["max_queue_depth"].max() == metrics.max_queue_depth
    last = days["day"].max()
    for name, bank in metrics.agent_metrics.items():
        own = bank_days.filter(pl.col("bank") == name)
        total = own.sum().row(0, named=True)
        assert (total["arrived_count"], total["sent_count"]) == (bank.arrivals, bank.settlements)
        assert (total["sent_value"], total["received_value"]) == (bank.total_sent, bank.total_received)
        assert own["min_balance"].min() == bank.min_balance
        assert own["liquidity_used"].max() == bank.liquidity_used
        assert int(total["balance_sum"]) / total["ticks"] == bank.avg_balance
        assert {cost: total[f"cost_{cost}"] for cost in COST_COMPONENTS} == bank.costs
        waiting = own.filter(pl.col("day") == last)["waiting_value"].item()
        if total["arrived_value"]:
            assert (int(total["delay_value"]) + int(waiting)) / total[
                "arrived_value"
            ] == bank.value_weighted_delay
        # And from the payments themselves.
        settled = payments.filter((pl.col("sender") == name) & (pl.col("status") == "settled"))
        before_close = int(settled.filter(pl.col("mechanism") != "close")["amount"].sum())
        ordered = int(payments.filter(pl.col("sender") == name)["ordered_amount"].sum())
        assert (len(settled), settled["amount"].sum()) == (bank.settlements, bank.total_sent)
        assert bank.value_settlement_rate == (before_close / ordered if ordered else 1)


def check_pandas(metrics: RunMetrics, folder: Path) -> None:
    """Recompute every metric with pandas from the CSV files."""
    days, bank_days = pd.read_csv(folder / "days.csv"), pd.read_csv(folder / "bank_days.csv")
    payments = pd.read_csv(folder / "payments.csv")
    assert days["arrivals"].sum() == metrics.total_arrivals
    assert days["max_queue_depth"].max() == metrics.max_queue_depth
    sums = bank_days.groupby("bank", sort=False).sum(numeric_only=True)
    banks = metrics.agent_metrics.values()
    assert list(sums.index) == list(metrics.agent_metrics)
    assert list(sums["sent_value"]) == [bank.total_sent for bank in banks]
    assert list(sums["balance_sum"] / sums["ticks"]) == [bank.avg_balance for bank in banks]
    least = bank_days.groupby("bank", sort=False)["min_balance"].min()
    assert list(least) == [bank.min_balance for bank in banks]
    costs = {name: int(sums[f"cost_{name}"].sum()) for name in COST_COMPONENTS}
    assert (costs, sum(costs.values())) == (metrics.costs, metrics.cost)
    waiting = bank_days[bank_days["day"] == bank_days["day"].max()]["waiting_value"].sum()
    arrived = sums["arrived_value"].sum()
    if arrived:
        assert (sums["delay_value"].sum() + waiting) / arrived == metrics.value_weighted_delay
        assert (sums["sent_value"] - sums["lent_value"]).sum() / arrived == metrics.value_settlement_rate
    ended = payments[payments["status"].isin(["settled", "dropped"])]
    delay = (ended["amount"] * (ended["end_tick"] - ended["arrival_tick"])).sum()
    assert delay == sums["delay_value"].sum()


def bank_day(**values: Any) -> BankDayMetrics:
    return BankDayMetrics(day=0, bank="A", **values)


def test_days_are_combined_field_by_field() -> None:
    """All values differ, so no field can be mistaken for another."""
    names = BANK_DAY_VALUES
    first, second = ({name: factor * 2**place for place, name in enumerate(names)} for factor in (3, 5))
    days = [
        DayMetrics(0, False, 0, 7, 11, 13, 2, 17, 19, 5, 41),
        DayMetrics(1, True, 7, 23, 29, 31, 3, 37, 18, 6, 43),
    ]
    totals = RunTotals.zero(["A"])
    for day, values in zip(days, (first, second), strict=True):
        own = bank_day(**values)
        own.costs["delay"], own.costs["split"] = day.ticks, 1
        totals = totals.with_day(day, [own])
    taken = {
        **dict.fromkeys(("opening_balance", "min_balance"), first),
        **dict.fromkeys(("closing_balance", "liquidity_used"), second),
        **dict.fromkeys(("unsettled_count", "unsettled_value", "waiting_value"), second),
    }
    combined = {name: getattr(totals.banks["A"], name) for name in names}
    assert combined == {
        name: taken[name][name] if name in taken else first[name] + second[name] for name in names
    }
    assert totals.banks["A"].costs == dict.fromkeys(COST_COMPONENTS, 0) | {"delay": 30, "split": 2}
    assert totals.system == DayMetrics(0, True, 0, 30, 40, 44, 5, 54, 19, 11, 84)
    assert totals.days == 2
    # The least balance may come on the second day, and most of the liquidity be used on the first.
    totals = RunTotals.zero(["A"]).with_day(days[0], [bank_day(ticks=1, min_balance=9, liquidity_used=8)])
    bank = totals.with_day(days[1], [bank_day(ticks=1, min_balance=4, liquidity_used=2)]).banks["A"]
    assert (bank.min_balance, bank.liquidity_used) == (4, 8)


def test_rates_leave_out_what_an_overnight_loan_settled_and_count_what_waits() -> None:
    values = {"ticks": 4, "arrived_value": 1_000, "sent_value": 700, "lent_value": 300, "received_value": 50}
    values |= {"delay_value": 900, "waiting_value": 600, "balance_sum": 1_002, "liquidity_used": 200}
    metrics = RunTotals.zero("AB").with_day(DayMetrics(0), [bank_day(**values)]).metrics()
    bank = metrics.agent_metrics["A"]
    assert (bank.value_settlement_rate, bank.value_weighted_delay) == (0.4, 1.5)
    assert (metrics.value_settlement_rate, metrics.value_weighted_delay) == (0.4, 1.5)
    assert (bank.avg_balance, bank.turnover, bank.total_received) == (250.5, 3.5, 50)


def test_the_summary_of_a_run_by_hand() -> None:
    own = bank_day(
        ticks=3, arrived_count=3, arrived_value=600_00, sent_count=2, sent_value=510_05, dropped_count=1
    )
    own.received_value, own.balance_sum, own.min_balance = 1_234_567_89, -100_00, -75_50
    own.liquidity_used, own.delay_value = 150_00, 803_00
    own.costs["delay"], own.costs["overdraft"] = 12_34, 1_000_00
    metrics = RunTotals.zero("A").with_day(DayMetrics(0, True, 0, 3, 3, 2, 1), [own]).metrics()
    words, *rows = [line for line in summary(metrics.to_dict()) if line]
    assert re.findall(r"[\d.]+%?", words) == ["3", "2", "1", "85.01%", "1.34"]
    assert [re.split(r" {2,}", row) for row in rows[1:]] == [
        ["A", "510.05", "1,234,567.89", "-33.33", "-75.50", "150.00", "3.40", "1,012.34"],
        ["overdraft", "1,000.00"],
        ["delay", "12.34"],
        ["cost", "1,012.34"],
    ]
    report = DayReport(DayMetrics(4, False, 12, 3, 31, 22, 13, 44_40, 15), (own,))
    assert day_line(4, report.stats()).split() == ["(4)", "31", "22", "13", "15", "44.40", "1,012.34"]
    report.day.is_complete = True
    assert day_line(4, report.stats()).split()[0] == "4"
