"""The figures of a run, from its days: the same whether they come from a live run or from a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from paysim_gym._engine import COST_COMPONENTS


@dataclass(slots=True)
class Day:
    """One day of a system, or the part of it that was played. Field names are those of the store's table.

    Attributes:
        day: Which, from 0.
        is_whole: Whether its end of day was played.
        first_tick: Its first tick, counted from the start of the run.
        ticks: Ticks played.
        arrivals: Orders that came.
        settlements: Payments that settled; each part of a split payment counts.
        dropped: Payments cancelled at its end.
        settled_value: Cents.
        max_queue_depth: Most payments unsettled at the end of a tick, in both kinds of queue.
    """

    day: int
    is_whole: bool = False
    first_tick: int = 0
    ticks: int = 0
    arrivals: int = 0
    settlements: int = 0
    dropped: int = 0
    settled_value: int = 0
    max_queue_depth: int = 0


@dataclass(slots=True)
class BankDay:
    """One day of a bank. Field names are those of the store's table; money in cents.

    Balances are those at the end of each tick, when its payments have settled and what was deferred has
    landed: before a day's close takes back pools or lends overnight.

    Attributes:
        day: Which, from 0.
        bank: Its id.
        ticks: Ticks played.
        opening_balance: With what it commits of its pool.
        closing_balance: After the day's close.
        balance_sum: Sum of its balances over the ticks.
        min_balance: Least of them.
        liquidity_used: Deepest fall of them below the opening balance.
        arrived_count: Orders that came.
        arrived_value: Their value.
        sent_count: Payments of its own that settled; each part of a split payment counts.
        sent_value: Their value.
        lent_value: Part of it that settled with an overnight loan when the day closed.
        received_count: Payments of others to it that settled.
        received_value: Their value.
        dropped_count: Payments of its own cancelled at the end of the day.
        dropped_value: Their value.
        split_count: Extra parts that splits made.
        delay_value: Value times ticks from arrival, of what settled or was cancelled.
        unsettled_count: Payments of its own that are unsettled when the day is over.
        unsettled_value: Their value.
        waiting_value: Their value times ticks from arrival until then.
        costs: Component to cents.
    """

    day: int
    bank: str
    ticks: int = 0
    opening_balance: int = 0
    closing_balance: int = 0
    balance_sum: int = 0
    min_balance: int = 0
    liquidity_used: int = 0
    arrived_count: int = 0
    arrived_value: int = 0
    sent_count: int = 0
    sent_value: int = 0
    lent_value: int = 0
    received_count: int = 0
    received_value: int = 0
    dropped_count: int = 0
    dropped_value: int = 0
    split_count: int = 0
    delay_value: int = 0
    unsettled_count: int = 0
    unsettled_value: int = 0
    waiting_value: int = 0
    costs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COST_COMPONENTS, 0))


COUNTED = tuple(name.name for name in fields(BankDay) if name.name not in ("day", "bank", "costs"))
"""The figures of a bank's day, costs apart."""


@dataclass(frozen=True, slots=True)
class BankMetrics:
    """What a run has come to for one bank; money in cents.

    Attributes:
        bank: Its id.
        arrivals: Orders that came.
        settlements: Payments of its own that settled; each part of a split payment counts.
        dropped: Payments of its own that were cancelled.
        settlement_rate: Share of the value that came which settled before a day's close; 1 if none came.
        mean_delay: Ticks from arrival to settlement or cancellation, weighted by value, the unsettled counted
            with what they have waited; 0 if nothing came.
        mean_balance: Over the ticks, at the end of each.
        min_balance: Least balance at the end of a tick.
        sent: Value.
        received: Value.
        liquidity_used: Deepest fall of the balance below a day's opening.
        turnover: Value sent for each cent of liquidity used; None if it used none.
        costs: Component to cents.
        cost: Their sum.
    """

    bank: str
    arrivals: int
    settlements: int
    dropped: int
    settlement_rate: float
    mean_delay: float
    mean_balance: float
    min_balance: int
    sent: int
    received: int
    liquidity_used: int
    turnover: float | None
    costs: dict[str, int]
    cost: int


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """What a run has come to; money in cents.

    Attributes:
        days: Days played, the last one perhaps in part.
        ticks: Ticks played.
        arrivals: Orders that came.
        arrived_value: Their value.
        settlements: Payments that settled; each part of a split payment counts.
        settled_value: Their value.
        dropped: Payments that were cancelled.
        settlement_rate: As for a bank.
        mean_delay: As for a bank, in ticks.
        max_queue_depth: Most payments unsettled at the end of a tick.
        costs: Component to cents, all banks.
        cost: Their sum.
        banks: In the order of the scenario.
    """

    days: int
    ticks: int
    arrivals: int
    arrived_value: int
    settlements: int
    settled_value: int
    dropped: int
    settlement_rate: float
    mean_delay: float
    max_queue_depth: int
    costs: dict[str, int]
    cost: int
    banks: tuple[BankMetrics, ...]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values, ready for JSON."""
        return asdict(self)


def run_metrics(days: Sequence[Day], bank_days: Iterable[BankDay]) -> RunMetrics:
    """Reduce the days of a run to its figures.

    Args:
        days: In order.
        bank_days: For each of these days all banks, day by day.
    """
    by_bank: dict[str, list[BankDay]] = {}
    for bank_day in bank_days:
        by_bank.setdefault(bank_day.bank, []).append(bank_day)
    every = [bank_day for own in by_bank.values() for bank_day in own]
    costs = _costs(every)
    rate, delay = _rate_and_delay(every, by_bank.values())
    return RunMetrics(
        days=len(days),
        ticks=sum(day.ticks for day in days),
        arrivals=sum(day.arrivals for day in days),
        arrived_value=sum(bank_day.arrived_value for bank_day in every),
        settlements=sum(day.settlements for day in days),
        settled_value=sum(day.settled_value for day in days),
        dropped=sum(day.dropped for day in days),
        settlement_rate=rate,
        mean_delay=delay,
        max_queue_depth=max((day.max_queue_depth for day in days), default=0),
        costs=costs,
        cost=sum(costs.values()),
        banks=tuple(_bank_metrics(own) for own in by_bank.values()),
    )


def _bank_metrics(own: Sequence[BankDay]) -> BankMetrics:
    costs = _costs(own)
    rate, delay = _rate_and_delay(own, [own])
    sent = sum(day.sent_value for day in own)
    liquidity_used = max(day.liquidity_used for day in own)
    return BankMetrics(
        bank=own[0].bank,
        arrivals=sum(day.arrived_count for day in own),
        settlements=sum(day.sent_count for day in own),
        dropped=sum(day.dropped_count for day in own),
        settlement_rate=rate,
        mean_delay=delay,
        mean_balance=sum(day.balance_sum for day in own) / sum(day.ticks for day in own),
        min_balance=min(day.min_balance for day in own),
        sent=sent,
        received=sum(day.received_value for day in own),
        liquidity_used=liquidity_used,
        turnover=sent / liquidity_used if liquidity_used else None,
        costs=costs,
        cost=sum(costs.values()),
    )


def _costs(own: Iterable[BankDay]) -> dict[str, int]:
    totals = dict.fromkeys(COST_COMPONENTS, 0)
    for day in own:
        for name, cents in day.costs.items():
            totals[name] += cents
    return totals


def _rate_and_delay(own: Sequence[BankDay], banks: Iterable[Sequence[BankDay]]) -> tuple[float, float]:
    """Both by value, as in the simulations of Leinonen and Soramaki (1999)."""
    arrived = sum(day.arrived_value for day in own)
    if not arrived:
        return 1.0, 0.0
    settled = sum(day.sent_value - day.lent_value for day in own)
    delay = sum(day.delay_value for day in own) + sum(days[-1].waiting_value for days in banks)
    return settled / arrived, delay / arrived
