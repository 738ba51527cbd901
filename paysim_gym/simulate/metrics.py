"""Metrics of ticks, days and runs, from which stores and the service derive."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetPydanticSchema
from typing_extensions import TypedDict

from paysim_gym._engine import COST_COMPONENTS


class CostComponents(TypedDict):
    """Costs in cents by component."""

    # Read by pydantic; a TypedDict itself allows only annotations.
    __pydantic_config__ = ConfigDict(extra="forbid", use_attribute_docstrings=True)  # type: ignore[misc]

    liquidity: int
    """Liquidity committed from pools."""
    overdraft: int
    """Overdrawn balances."""
    collateral: int
    """Pledged collateral."""
    delay: int
    """Delay of unsettled payments."""
    deadline: int
    """Missed deadlines."""
    split: int
    """Extra parts of split payments."""
    end_of_day: int
    """Payments unsettled at the close of a day."""


Costs = Annotated[dict[str, int], GetPydanticSchema(lambda _, handler: handler(CostComponents))]
"""Component to cents; validated and documented as `CostComponents`."""


class Metrics(BaseModel):
    """Base of metrics: immutable, with field descriptions taken from attribute docstrings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class TickResult(Metrics):
    """The outcome of one tick, as `Orchestrator.tick` returns it."""

    tick: int
    """The tick, counted from the start of the run."""
    day: int
    """Its day, from 0."""
    arrivals: int
    """Payment orders that arrived."""
    settlements: int
    """Payments that settled; each part of a split payment counts."""
    dropped: int
    """Payments that were cancelled."""
    queue_depth: int
    """Unsettled payments in all queues."""
    settled_value: int
    """Value settled, in cents."""
    costs: Costs
    """Costs of all banks in this tick, in cents by component."""


class BankMetrics(Metrics):
    """Metrics of a run for one bank; money in cents."""

    bank: str
    """Id of the bank."""
    arrivals: int
    """Payment orders that arrived."""
    settlements: int
    """Its payments that settled; each part of a split payment counts."""
    dropped: int
    """Its payments that were cancelled."""
    settlement_rate: float
    """Share of the arrived value that settled before a day's close; 1 without arrivals."""
    mean_delay: float
    """Mean ticks from arrival to settlement or cancellation, weighted by value; for unsettled payments up to
    now; 0 without arrivals."""
    mean_balance: float | None
    """Mean balance at the end of a tick, before a day's close, in cents; null before the first tick."""
    min_balance: int | None
    """Lowest of these balances, in cents; null before the first tick."""
    sent: int
    """Value of its payments that settled, in cents."""
    received: int
    """Value of payments to it that settled, in cents."""
    liquidity_used: int
    """Largest fall of the balance below a day's opening balance, in cents."""
    turnover: float | None
    """Value sent divided by liquidity used; null if none was used."""
    costs: Costs
    """Costs in cents by component."""
    cost: int
    """Total cost in cents."""


class RunMetrics(Metrics):
    """Metrics of a run; money in cents."""

    days: int
    """Days played; the last one may be incomplete."""
    ticks: int
    """Ticks played."""
    arrivals: int
    """Payment orders that arrived."""
    arrived_value: int
    """Their value in cents."""
    settlements: int
    """Payments that settled; each part of a split payment counts."""
    settled_value: int
    """Their value in cents."""
    dropped: int
    """Payments that were cancelled."""
    settlement_rate: float
    """Share of the arrived value that settled before a day's close; 1 without arrivals."""
    mean_delay: float
    """Mean ticks from arrival to settlement or cancellation, weighted by value; for unsettled payments up to
    now; 0 without arrivals."""
    max_queue_depth: int
    """Largest number of unsettled payments at the end of a tick."""
    costs: Costs
    """Costs of all banks in cents by component."""
    cost: int
    """Total cost in cents."""
    banks: list[BankMetrics]
    """Metrics of each bank, in scenario order."""

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as plain values, ready for JSON."""
        return self.model_dump()


@dataclass(slots=True)
class DayMetrics:
    """Metrics of one day of a system; a row of `days`.

    Attributes:
        day: The day, from 0.
        is_complete: Whether the end of the day was played.
        first_tick: Its first tick, counted from the start of the run.
        ticks: Ticks played.
        arrivals: Payment orders that arrived.
        settlements: Payments that settled; each part of a split payment counts.
        dropped: Payments cancelled at its end.
        settled_value: Value settled, in cents.
        max_queue_depth: Largest number of unsettled payments, in all queues, at the end of a tick.
    """

    day: int
    is_complete: bool = False
    first_tick: int = 0
    ticks: int = 0
    arrivals: int = 0
    settlements: int = 0
    dropped: int = 0
    settled_value: int = 0
    max_queue_depth: int = 0


@dataclass(slots=True)
class BankDayMetrics:
    """Metrics of one day of a bank, in cents; a row of `bank_days`.

    Balances are those at the end of a tick, after settlement and deferred credits, but before a day's close
    returns pools or grants overnight loans.

    Attributes:
        day: The day, from 0.
        bank: Id of the bank.
        ticks: Ticks played.
        opening_balance: Balance at the opening, including the liquidity committed from its pool.
        closing_balance: Balance after the day's close; the present balance until then.
        balance_sum: Sum of the balances over the ticks.
        min_balance: Lowest balance.
        liquidity_used: Largest fall of the balance below the opening balance.
        arrived_count: Payment orders that arrived.
        arrived_value: Their value.
        sent_count: Its payments that settled; each part of a split payment counts.
        sent_value: Their value.
        lent_value: Part of `sent_value` that settled with an overnight loan at the close.
        received_count: Payments to it that settled.
        received_value: Their value.
        dropped_count: Its payments cancelled at the end of the day.
        dropped_value: Their value.
        split_count: Extra parts from splits.
        delay_value: Value times ticks since arrival, summed over settled and cancelled payments.
        unsettled_count: Its payments unsettled at the end of the day.
        unsettled_value: Their value.
        waiting_value: Value times ticks since arrival, summed over these.
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


BANK_DAY_VALUES = tuple(f.name for f in fields(BankDayMetrics) if f.name not in ("day", "bank", "costs"))
"""Numeric fields of `BankDayMetrics`."""


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Totals of a run for the system and the banks in scenario order."""

    days: int = 0
    system: DayMetrics = field(default_factory=lambda: DayMetrics(day=0))
    banks: dict[str, BankDayMetrics] = field(default_factory=dict)

    @classmethod
    def zero(cls, banks: Iterable[str]) -> RunTotals:
        """Return the totals of these banks before the first day."""
        return cls(banks={bank: BankDayMetrics(day=0, bank=bank) for bank in banks})

    def with_day(self, day: DayMetrics, banks: Iterable[BankDayMetrics]) -> RunTotals:
        """Return the totals including one more day."""
        totals = dict(self.banks)
        for bank_day in banks:
            total = totals.get(bank_day.bank)
            totals[bank_day.bank] = _combine_bank(total, bank_day) if total and total.ticks else bank_day
        return RunTotals(self.days + 1, _combine_system(self.system, day), totals)

    def metrics(self) -> RunMetrics:
        """Compute the metrics of the run."""
        system, banks = self.system, self.banks.values()
        costs = sum_costs(bank.costs for bank in banks)
        rate, delay = _rate_and_delay(banks)
        return RunMetrics(
            days=self.days,
            ticks=system.ticks,
            arrivals=system.arrivals,
            arrived_value=sum(bank.arrived_value for bank in banks),
            settlements=system.settlements,
            settled_value=system.settled_value,
            dropped=system.dropped,
            settlement_rate=rate,
            mean_delay=delay,
            max_queue_depth=system.max_queue_depth,
            costs=costs,
            cost=sum(costs.values()),
            banks=[_bank_metrics(bank) for bank in banks],
        )


def sum_costs(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sum costs by component."""
    totals = dict.fromkeys(COST_COMPONENTS, 0)
    for part in parts:
        for name, cents in part.items():
            totals[name] += cents
    return totals


def _first(first: int, second: int) -> int:
    return first


def _last(first: int, second: int) -> int:
    return second


_COMBINE: dict[str, Callable[[int, int], int]] = {
    "opening_balance": _first,
    "closing_balance": _last,
    "min_balance": min,
    "liquidity_used": max,
    "unsettled_count": _last,
    "unsettled_value": _last,
    "waiting_value": _last,
}
"""How each field of two consecutive periods is combined; fields not listed are summed."""


def _combine_bank(first: BankDayMetrics, second: BankDayMetrics) -> BankDayMetrics:
    values = {
        name: _COMBINE.get(name, int.__add__)(getattr(first, name), getattr(second, name))
        for name in BANK_DAY_VALUES
    }
    costs = sum_costs([first.costs, second.costs])
    return BankDayMetrics(day=first.day, bank=first.bank, costs=costs, **values)


def _combine_system(first: DayMetrics, second: DayMetrics) -> DayMetrics:
    return DayMetrics(
        day=first.day,
        is_complete=second.is_complete,
        first_tick=first.first_tick,
        ticks=first.ticks + second.ticks,
        arrivals=first.arrivals + second.arrivals,
        settlements=first.settlements + second.settlements,
        dropped=first.dropped + second.dropped,
        settled_value=first.settled_value + second.settled_value,
        max_queue_depth=max(first.max_queue_depth, second.max_queue_depth),
    )


def _bank_metrics(total: BankDayMetrics) -> BankMetrics:
    rate, delay = _rate_and_delay([total])
    return BankMetrics(
        bank=total.bank,
        arrivals=total.arrived_count,
        settlements=total.sent_count,
        dropped=total.dropped_count,
        settlement_rate=rate,
        mean_delay=delay,
        mean_balance=total.balance_sum / total.ticks if total.ticks else None,
        min_balance=total.min_balance if total.ticks else None,
        sent=total.sent_value,
        received=total.received_value,
        liquidity_used=total.liquidity_used,
        turnover=total.sent_value / total.liquidity_used if total.liquidity_used else None,
        costs=dict(total.costs),
        cost=sum(total.costs.values()),
    )


def _rate_and_delay(banks: Collection[BankDayMetrics]) -> tuple[float, float]:
    """Settlement rate and mean delay by value, as in Leinonen and Soramäki (1999)."""
    arrived = sum(bank.arrived_value for bank in banks)
    if not arrived:
        return 1.0, 0.0
    settled = sum(bank.sent_value - bank.lent_value for bank in banks)
    delay = sum(bank.delay_value + bank.waiting_value for bank in banks)
    return settled / arrived, delay / arrived
