"""What each day of a run comes to, counted while it is played."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paysim_gym.simulate.event_replay import Event, balance_changes
from paysim_gym.simulate.metrics import BankDay, Day, RunMetrics, RunTotals
from paysim_gym.simulate.records import DayReport, TickRecord

_CLOSING = frozenset({"end_of_day", "cancellation", "pool_return", "day_end"})
"""What can only happen when a day's last tick has accrued its costs."""


@dataclass(slots=True)
class Statistics:
    """Counts the ticks of a run; all it knows is in its fields, so that it can be written down.

    Attributes:
        totals: The days that are over.
        day: The day that is played; without ticks between two days.
        banks: Its figures for each bank, in the order of the scenario.
    """

    totals: RunTotals
    day: Day = field(default_factory=lambda: Day(day=0))
    banks: dict[str, BankDay] = field(default_factory=dict)

    @classmethod
    def of(cls, banks: Iterable[str]) -> Statistics:
        """The statistics before the first tick.

        Args:
            banks: Ids, in the order of the scenario.
        """
        return cls(RunTotals.of(banks))

    def apply(self, record: TickRecord, next_tick: int) -> None:
        """Count a tick.

        Args:
            record: The tick.
            next_tick: The tick that would be played next.
        """
        outcome = record.outcome
        if not self.day.ticks:
            self.day = Day(day=outcome["day"], first_tick=outcome["tick"])
        is_counted = False
        for event in record.events:
            kind = event["type"]
            if not is_counted and kind in _CLOSING:
                self._count_balances()
                is_counted = True
            entry = _ENTRIES.get(kind)
            if entry is not None:
                entry(self, event)
            for bank, cents in balance_changes(event):
                self.banks[bank].closing_balance += cents
        if not is_counted:
            self._count_balances()
        self._count_tick(outcome, next_tick)

    def close_day(self, *, is_whole: bool) -> DayReport:
        """End the day's counts.

        Args:
            is_whole: Whether the day's end was played.

        Raises:
            ValueError: If no tick of it has been counted.
        """
        if not self.day.ticks:
            raise ValueError("no tick of the day has been played")
        self.day.is_whole = is_whole
        report = DayReport(self.day, tuple(self.banks.values()))
        self.totals = self.totals.with_day(report.day, report.banks)
        self.day, self.banks = Day(day=self.day.day + 1), {}
        return report

    def metrics(self) -> RunMetrics:
        """The figures so far."""
        totals = self.totals.with_day(self.day, self.banks.values()) if self.day.ticks else self.totals
        return totals.metrics()

    def _count_balances(self) -> None:
        for figures in self.banks.values():
            balance = figures.closing_balance
            figures.min_balance = min(figures.min_balance, balance) if figures.ticks else balance
            figures.ticks += 1
            figures.balance_sum += balance
            figures.liquidity_used = max(figures.liquidity_used, figures.opening_balance - balance)

    def _count_tick(self, outcome: Mapping[str, Any], next_tick: int) -> None:
        day = self.day
        day.ticks += 1
        day.arrivals += outcome["arrivals"]
        day.settlements += outcome["settlements"]
        day.dropped += outcome["dropped"]
        day.settled_value += outcome["settled_value"]
        day.max_queue_depth = max(day.max_queue_depth, outcome["queue_depth"])
        for figures in self.banks.values():
            figures.waiting_value += figures.unsettled_value * (next_tick - outcome["tick"])

    def _opening(self, event: Event) -> None:
        bank, balance, before = event["bank"], event["balance"], self.totals.banks[event["bank"]]
        self.banks[bank] = BankDay(
            day=self.day.day,
            bank=bank,
            opening_balance=balance,
            closing_balance=balance,
            unsettled_count=before.unsettled_count,
            unsettled_value=before.unsettled_value,
            waiting_value=before.waiting_value,
        )

    def _pool_commitment(self, event: Event) -> None:
        self.banks[event["bank"]].opening_balance += event["amount"]

    def _arrival(self, event: Event) -> None:
        figures = self.banks[event["sender"]]
        figures.arrived_count += 1
        figures.arrived_value += event["amount"]
        figures.unsettled_count += 1
        figures.unsettled_value += event["amount"]

    def _split(self, event: Event) -> None:
        self._count_parts(event["sender"], event["parts"] - 1)

    def _cut(self, event: Event) -> None:
        self._count_parts(event["sender"], 1)

    def _count_parts(self, bank: str, extra: int) -> None:
        self.banks[bank].split_count += extra
        self.banks[bank].unsettled_count += extra

    def _settlement(self, event: Event) -> None:
        amount = event["amount"]
        sender, receiver = self.banks[event["sender"]], self.banks[event["receiver"]]
        sender.sent_count += 1
        sender.sent_value += amount
        if event["mechanism"] == "close":
            sender.lent_value += amount
        receiver.received_count += 1
        receiver.received_value += amount
        self._end_wait(sender, event)

    def _cancellation(self, event: Event) -> None:
        figures = self.banks[event["sender"]]
        figures.dropped_count += 1
        figures.dropped_value += event["amount"]
        self._end_wait(figures, event)

    def _end_wait(self, figures: BankDay, event: Event) -> None:
        waited = event["amount"] * (event["tick"] - event["arrival_tick"])
        figures.delay_value += waited
        figures.waiting_value -= waited
        figures.unsettled_count -= 1
        figures.unsettled_value -= event["amount"]

    def _cost(self, event: Event) -> None:
        self.banks[event["bank"]].costs[event["component"]] += event["amount"]


_ENTRIES: dict[str, Callable[[Statistics, Event], None]] = {
    "opening": Statistics._opening,
    "pool_commitment": Statistics._pool_commitment,
    "arrival": Statistics._arrival,
    "split": Statistics._split,
    "cut": Statistics._cut,
    "settlement": Statistics._settlement,
    "cancellation": Statistics._cancellation,
    "cost": Statistics._cost,
}
