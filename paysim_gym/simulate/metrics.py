"""The figures of a run, from its days: the same whether they come from a live run or from a store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
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
        closing_balance: After the day's close; until then, as it stands.
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
        mean_balance: Over the ticks, at the end of each; None before the first.
        min_balance: Least balance at the end of a tick; None before the first.
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
    mean_balance: float | None
    min_balance: int | None
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


@dataclass(frozen=True, slots=True)
class RunTotals:
    """The days of a run added up, however many: a day's worth of figures.

    Attributes:
        days: How many they are.
        system: Their figures for the whole system.
        banks: Those of each bank, in the order of the scenario.
    """

    days: int = 0
    system: Day = field(default_factory=lambda: Day(day=0))
    banks: dict[str, BankDay] = field(default_factory=dict)

    @classmethod
    def of(cls, banks: Iterable[str]) -> RunTotals:
        """The totals of banks that have not played yet."""
        return cls(banks={bank: BankDay(day=0, bank=bank) for bank in banks})

    def with_day(self, day: Day, banks: Iterable[BankDay]) -> RunTotals:
        """The totals when one more day is added.

        Args:
            day: The next one.
            banks: Its figures for all banks.
        """
        totals = dict(self.banks)
        for own in banks:
            earlier = totals.get(own.bank)
            totals[own.bank] = _joined(earlier, own) if earlier and earlier.ticks else own
        return RunTotals(self.days + 1, _joined_days(self.system, day), totals)

    def metrics(self) -> RunMetrics:
        """The figures of the run that these days are."""
        system, banks = self.system, self.banks.values()
        costs = summed_costs(own.costs for own in banks)
        rate, delay = _rate_and_delay(banks)
        return RunMetrics(
            days=self.days,
            ticks=system.ticks,
            arrivals=system.arrivals,
            arrived_value=sum(own.arrived_value for own in banks),
            settlements=system.settlements,
            settled_value=system.settled_value,
            dropped=system.dropped,
            settlement_rate=rate,
            mean_delay=delay,
            max_queue_depth=system.max_queue_depth,
            costs=costs,
            cost=sum(costs.values()),
            banks=tuple(_bank_metrics(own) for own in banks),
        )


def summed_costs(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Component to cents, of all parts together."""
    totals = dict.fromkeys(COST_COMPONENTS, 0)
    for part in parts:
        for name, cents in part.items():
            totals[name] += cents
    return totals


def _sum(earlier: int, later: int) -> int:
    return earlier + later


def _earlier(earlier: int, later: int) -> int:
    return earlier


def _later(earlier: int, later: int) -> int:
    return later


_JOINS: dict[str, Callable[[int, int], int]] = {
    "opening_balance": _earlier,
    "closing_balance": _later,
    "min_balance": min,
    "liquidity_used": max,
    "unsettled_count": _later,
    "unsettled_value": _later,
    "waiting_value": _later,
}
"""How a figure of two periods, one after the other, is made; all others are sums."""


def _joined(earlier: BankDay, later: BankDay) -> BankDay:
    figures = {name: _JOINS.get(name, _sum)(getattr(earlier, name), getattr(later, name)) for name in COUNTED}
    costs = summed_costs([earlier.costs, later.costs])
    return BankDay(day=earlier.day, bank=earlier.bank, costs=costs, **figures)


def _joined_days(earlier: Day, later: Day) -> Day:
    return Day(
        day=earlier.day,
        is_whole=later.is_whole,
        first_tick=earlier.first_tick,
        ticks=earlier.ticks + later.ticks,
        arrivals=earlier.arrivals + later.arrivals,
        settlements=earlier.settlements + later.settlements,
        dropped=earlier.dropped + later.dropped,
        settled_value=earlier.settled_value + later.settled_value,
        max_queue_depth=max(earlier.max_queue_depth, later.max_queue_depth),
    )


def _bank_metrics(own: BankDay) -> BankMetrics:
    rate, delay = _rate_and_delay([own])
    return BankMetrics(
        bank=own.bank,
        arrivals=own.arrived_count,
        settlements=own.sent_count,
        dropped=own.dropped_count,
        settlement_rate=rate,
        mean_delay=delay,
        mean_balance=own.balance_sum / own.ticks if own.ticks else None,
        min_balance=own.min_balance if own.ticks else None,
        sent=own.sent_value,
        received=own.received_value,
        liquidity_used=own.liquidity_used,
        turnover=own.sent_value / own.liquidity_used if own.liquidity_used else None,
        costs=dict(own.costs),
        cost=sum(own.costs.values()),
    )


def _rate_and_delay(banks: Collection[BankDay]) -> tuple[float, float]:
    """Both by value, as in the simulations of Leinonen and Soramaki (1999)."""
    arrived = sum(own.arrived_value for own in banks)
    if not arrived:
        return 1.0, 0.0
    settled = sum(own.sent_value - own.lent_value for own in banks)
    delay = sum(own.delay_value + own.waiting_value for own in banks)
    return settled / arrived, delay / arrived
