"""Accumulates the metrics of each day from ticks and events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from paysim_gym.simulate.event_replay import Event
from paysim_gym.simulate.metrics import BankDayMetrics, DayMetrics, RunMetrics, RunTotals
from paysim_gym.simulate.records import DayReport, TickRecord


@dataclass(slots=True)
class MetricsAccumulator:
    """Accumulates metrics tick by tick.

    The fields hold the whole state, so that it can be serialised.

    Attributes:
        totals: Totals of the completed days.
        day: The day in progress; its `ticks` is 0 between two days.
        banks: Metrics of each bank for that day, in scenario order.
    """

    totals: RunTotals
    day: DayMetrics = field(default_factory=lambda: DayMetrics(day=0))
    banks: dict[str, BankDayMetrics] = field(default_factory=dict)

    @classmethod
    def for_banks(cls, banks: Iterable[str]) -> MetricsAccumulator:
        """Return an accumulator before the first tick; bank ids come in scenario order."""
        return cls(RunTotals.zero(banks))

    def apply(self, record: TickRecord, next_tick: int) -> None:
        """Add a tick; `next_tick` is the tick that is played next."""
        outcome = record.outcome
        if not self.day.ticks:
            self.day = DayMetrics(day=outcome["day"], first_tick=outcome["tick"])
        for event in record.events:
            handler = _HANDLERS.get(event["type"])
            if handler is not None:
                handler(self, event)
        self.day.add_tick(outcome)
        for agent in outcome["agents"]:
            bank = self.banks[agent["id"]]
            bank.add_tick(agent)
            bank.waiting_value += bank.unsettled_value * (next_tick - outcome["tick"])

    def close_day(self, *, is_complete: bool) -> DayReport:
        """Close the day and return its metrics; raises ValueError if no tick was played."""
        if not self.day.ticks:
            raise ValueError("no tick of the day has been played")
        self.day.is_complete = is_complete
        report = DayReport(self.day, tuple(self.banks.values()))
        self.totals = self.totals.with_day(report.day, report.banks)
        self.day, self.banks = DayMetrics(day=self.day.day + 1), {}
        return report

    def metrics(self) -> RunMetrics:
        """Compute the metrics of the run so far."""
        totals = self.totals.with_day(self.day, self.banks.values()) if self.day.ticks else self.totals
        return totals.metrics()

    def _opening(self, event: Event) -> None:
        bank, balance = event["bank"], event["balance"]
        total = self.totals.banks[bank]
        self.banks[bank] = BankDayMetrics(
            day=self.day.day,
            bank=bank,
            opening_balance=balance,
            closing_balance=balance,
            unsettled_count=total.unsettled_count,
            unsettled_value=total.unsettled_value,
            waiting_value=total.waiting_value,
        )

    def _pool_commitment(self, event: Event) -> None:
        self.banks[event["bank"]].opening_balance += event["amount"]

    def _arrival(self, event: Event) -> None:
        sender = self.banks[event["sender"]]
        sender.arrived_count += 1
        sender.arrived_value += event["amount"]
        sender.unsettled_count += 1
        sender.unsettled_value += event["amount"]

    def _split(self, event: Event) -> None:
        self._add_parts(event["sender"], event["parts"] - 1)

    def _cut(self, event: Event) -> None:
        self._add_parts(event["sender"], 1)

    def _add_parts(self, bank: str, extra: int) -> None:
        self.banks[bank].split_count += extra
        self.banks[bank].unsettled_count += extra

    def _settlement(self, event: Event) -> None:
        amount = event["amount"]
        sender, receiver = self.banks[event["sender"]], self.banks[event["receiver"]]
        sender.sent_count += 1
        if event["mechanism"] == "close":
            sender.lent_value += amount
        receiver.received_count += 1
        self._remove_unsettled(sender, event)

    def _cancellation(self, event: Event) -> None:
        sender = self.banks[event["sender"]]
        sender.dropped_count += 1
        sender.dropped_value += event["amount"]
        self._remove_unsettled(sender, event)

    @staticmethod
    def _remove_unsettled(sender: BankDayMetrics, event: Event) -> None:
        delay_value = event["amount"] * (event["tick"] - event["arrival_tick"])
        sender.delay_value += delay_value
        sender.waiting_value -= delay_value
        sender.unsettled_count -= 1
        sender.unsettled_value -= event["amount"]

    def _cost(self, event: Event) -> None:
        self.banks[event["bank"]].costs[event["component"]] += event["amount"]


_HANDLERS: dict[str, Callable[[MetricsAccumulator, Event], None]] = {
    "opening": MetricsAccumulator._opening,
    "pool_commitment": MetricsAccumulator._pool_commitment,
    "arrival": MetricsAccumulator._arrival,
    "split": MetricsAccumulator._split,
    "cut": MetricsAccumulator._cut,
    "settlement": MetricsAccumulator._settlement,
    "cancellation": MetricsAccumulator._cancellation,
    "cost": MetricsAccumulator._cost,
}
