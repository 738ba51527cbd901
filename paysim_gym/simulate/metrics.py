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


class AgentTick(Metrics):
    """The outcome of one tick for one bank; money in cents."""

    id: str
    """Id of the bank."""
    balance: int
    """Balance after the tick."""
    balance_before_close: int
    """Balance before the day's close grants loans, settles with them and returns pools."""
    sent: int
    """Value of its payments that settled."""
    received: int
    """Value of payments to it that settled."""


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
    settled_orders: int
    """Payment orders that settled wholly: their last part settled in this tick."""
    settled_orders_delay: int
    """Ticks from arrival to settlement, summed over these orders."""
    costs: Costs
    """Costs of all banks in this tick, in cents by component."""
    agents: list[AgentTick]
    """The banks, in scenario order."""


class AgentMetrics(Metrics):
    """Metrics of some ticks for one bank; money in cents."""

    avg_balance: float | None
    """Mean balance at the end of a tick, before a day's close; null before the first tick."""
    min_balance: int | None
    """Lowest of these balances; null before the first tick."""
    total_sent: int
    """Value of its payments that settled."""
    total_received: int
    """Value of payments to it that settled."""


class SimulationMetrics(Metrics):
    """Metrics of some ticks."""

    total_ticks: int
    """Ticks played."""
    total_arrivals: int
    """Payment orders that arrived."""
    total_settlements: int
    """Payments that settled; each part of a split payment counts."""
    total_dropped: int
    """Payments that were cancelled."""
    settlement_rate: float
    """Share of the arrived orders that settled wholly; 0 without arrivals."""
    average_delay: float
    """Mean ticks from arrival to settlement of wholly settled orders; 0 without any."""
    max_queue_depth: int
    """Largest number of unsettled payments at the end of a tick."""
    agent_metrics: Mapping[str, AgentMetrics]
    """Id of a bank to its metrics, in scenario order."""


class BankMetrics(AgentMetrics):
    """Metrics of a run for one bank; money in cents."""

    arrivals: int
    """Payment orders that arrived."""
    settlements: int
    """Its payments that settled; each part of a split payment counts."""
    dropped: int
    """Its payments that were cancelled."""
    value_settlement_rate: float
    """Share of the arrived value that settled before a day's close; 1 without arrivals."""
    value_weighted_delay: float
    """Mean ticks from arrival to settlement or cancellation, weighted by value; for unsettled payments up to
    now; 0 without arrivals."""
    liquidity_used: int
    """Largest fall of the balance below a day's opening balance, in cents."""
    turnover: float | None
    """Value sent divided by liquidity used; null if none was used."""
    costs: Costs
    """Costs in cents by component."""
    cost: int
    """Total cost in cents."""


class RunMetrics(SimulationMetrics):
    """Metrics of a run; money in cents."""

    days: int
    """Days played; the last one may be incomplete."""
    arrived_value: int
    """Value of the payment orders that arrived, in cents."""
    settled_value: int
    """Value of the payments that settled, in cents."""
    value_settlement_rate: float
    """Share of the arrived value that settled before a day's close; 1 without arrivals."""
    value_weighted_delay: float
    """Mean ticks from arrival to settlement or cancellation, weighted by value; for unsettled payments up to
    now; 0 without arrivals."""
    costs: Costs
    """Costs of all banks in cents by component."""
    cost: int
    """Total cost in cents."""
    agent_metrics: Mapping[str, BankMetrics]
    """Id of a bank to its metrics, in scenario order."""

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
        settled_orders: Payment orders that settled wholly.
        settled_orders_delay: Ticks from arrival to settlement, summed over these orders.
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
    settled_orders: int = 0
    settled_orders_delay: int = 0

    def add_tick(self, outcome: Mapping[str, Any]) -> None:
        """Add the outcome of a tick."""
        self.ticks += 1
        for name in _TICK_SUMS:
            setattr(self, name, getattr(self, name) + outcome[name])
        self.max_queue_depth = max(self.max_queue_depth, outcome["queue_depth"])


_TICK_SUMS = (
    *("arrivals", "settlements", "dropped", "settled_value"),
    *("settled_orders", "settled_orders_delay"),
)
"""Values of a tick that are summed over a day, and over the days of a run."""


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

    def add_tick(self, agent: Mapping[str, Any]) -> None:
        """Add the bank's part of the outcome of a tick."""
        balance = agent["balance_before_close"]
        self.min_balance = min(self.min_balance, balance) if self.ticks else balance
        self.ticks += 1
        self.balance_sum += balance
        self.liquidity_used = max(self.liquidity_used, self.opening_balance - balance)
        self.closing_balance = agent["balance"]
        self.sent_value += agent["sent"]
        self.received_value += agent["received"]


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
        rate, delay = _value_rate_and_delay(banks)
        return RunMetrics(
            **_totals(system),
            days=self.days,
            arrived_value=sum(bank.arrived_value for bank in banks),
            settled_value=system.settled_value,
            value_settlement_rate=rate,
            value_weighted_delay=delay,
            costs=costs,
            cost=sum(costs.values()),
            agent_metrics={bank.bank: _bank_metrics(bank) for bank in banks},
        )


def aggregate_metrics(tick_results: Iterable[Mapping[str, Any]]) -> SimulationMetrics:
    """Compute the metrics of some ticks from the return values of `Orchestrator.tick`."""
    system = DayMetrics(day=0)
    banks: dict[str, BankDayMetrics] = {}
    for outcome in tick_results:
        system.add_tick(outcome)
        for agent in outcome["agents"]:
            banks.setdefault(agent["id"], BankDayMetrics(day=0, bank=agent["id"])).add_tick(agent)
    agent_metrics = {name: AgentMetrics(**_agent_totals(bank)) for name, bank in banks.items()}
    return SimulationMetrics(**_totals(system), agent_metrics=agent_metrics)


def _totals(system: DayMetrics) -> dict[str, Any]:
    """Return the fields of `SimulationMetrics` for the system."""
    orders = system.settled_orders
    return {
        "total_ticks": system.ticks,
        "total_arrivals": system.arrivals,
        "total_settlements": system.settlements,
        "total_dropped": system.dropped,
        "settlement_rate": orders / system.arrivals if system.arrivals else 0.0,
        "average_delay": system.settled_orders_delay / orders if orders else 0.0,
        "max_queue_depth": system.max_queue_depth,
    }


def _agent_totals(total: BankDayMetrics) -> dict[str, Any]:
    """Return the fields of `AgentMetrics` for a bank."""
    return {
        "avg_balance": total.balance_sum / total.ticks if total.ticks else None,
        "min_balance": total.min_balance if total.ticks else None,
        "total_sent": total.sent_value,
        "total_received": total.received_value,
    }


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
        max_queue_depth=max(first.max_queue_depth, second.max_queue_depth),
        **{name: getattr(first, name) + getattr(second, name) for name in _TICK_SUMS},
    )


def _bank_metrics(total: BankDayMetrics) -> BankMetrics:
    rate, delay = _value_rate_and_delay([total])
    return BankMetrics(
        **_agent_totals(total),
        arrivals=total.arrived_count,
        settlements=total.sent_count,
        dropped=total.dropped_count,
        value_settlement_rate=rate,
        value_weighted_delay=delay,
        liquidity_used=total.liquidity_used,
        turnover=total.sent_value / total.liquidity_used if total.liquidity_used else None,
        costs=dict(total.costs),
        cost=sum(total.costs.values()),
    )


def _value_rate_and_delay(banks: Collection[BankDayMetrics]) -> tuple[float, float]:
    """Settlement rate and mean delay by value, as in Leinonen and Soramäki (1999)."""
    arrived = sum(bank.arrived_value for bank in banks)
    if not arrived:
        return 1.0, 0.0
    settled = sum(bank.sent_value - bank.lent_value for bank in banks)
    delay = sum(bank.delay_value + bank.waiting_value for bank in banks)
    return settled / arrived, delay / arrived
