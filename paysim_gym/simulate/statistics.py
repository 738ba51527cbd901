"""What each day of a run comes to, counted while it is played."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from paysim_gym.simulate.books import Books, Event
from paysim_gym.simulate.metrics import BankDay, Day, RunMetrics, run_metrics
from paysim_gym.simulate.records import DayReport, RunPlan, TickRecord

_CLOSING = frozenset({"end_of_day", "cancellation", "pool_return", "day_end"})
"""What can only happen when a day's last tick has accrued its costs."""


class Statistics:
    """Counts the ticks of a run.

    Attributes:
        plan: What is played.
        books: The state of the system.
        reports: The days that are over, or that the run has ended in.
    """

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan
        self.books = Books(plan.rails)
        self.reports: list[DayReport] = []
        self._day: Day | None = None
        self._number = 0
        self._banks: dict[str, BankDay] = {}
        self._entries: dict[str, Callable[[Event], None]] = {
            "opening": self._opening,
            "pool_commitment": self._pool_commitment,
            "arrival": self._arrival,
            "split": self._split,
            "cut": self._cut,
            "settlement": self._settlement,
            "cancellation": self._cancellation,
            "cost": self._cost,
        }

    def enter(self, record: TickRecord) -> None:
        """Count a tick."""
        outcome = record.outcome
        if self._day is None:
            self._number = outcome["day"]
            self._day = Day(day=self._number, first_tick=outcome["tick"])
        is_counted = False
        for event in record.events:
            kind = event["type"]
            if not is_counted and kind in _CLOSING:
                self._count_balances()
                is_counted = True
            entry = self._entries.get(kind)
            if entry is not None:
                entry(event)
            self.books.enter(event)
        if not is_counted:
            self._count_balances()
        self._count_tick(self._day, outcome)

    def close_day(self, next_tick: int, *, is_whole: bool) -> DayReport:
        """End the day's counts.

        Args:
            next_tick: The tick that would be played next.
            is_whole: Whether the day's end was played.

        Raises:
            ValueError: If no tick of it has been counted.
        """
        if self._day is None:
            raise ValueError("no tick of the day has been played")
        self._day.is_whole = is_whole
        for bank, figures in self._banks.items():
            account = self.books.accounts[bank]
            unsettled = list(account.unsettled())
            figures.closing_balance = account.balance
            figures.unsettled_count = len(unsettled)
            figures.unsettled_value = sum(payment.amount for payment in unsettled)
            figures.waiting_value = sum(
                payment.amount * (next_tick - payment.arrival_tick) for payment in unsettled
            )
        report = DayReport(self._day, tuple(self._banks.values()))
        self.reports.append(report)
        self._day, self._banks = None, {}
        return report

    def metrics(self) -> RunMetrics:
        """The figures of the days so far."""
        return run_metrics(
            [report.day for report in self.reports],
            (figures for report in self.reports for figures in report.banks),
        )

    def _count_balances(self) -> None:
        for bank, figures in self._banks.items():
            balance = self.books.accounts[bank].balance
            figures.min_balance = min(figures.min_balance, balance) if figures.ticks else balance
            figures.ticks += 1
            figures.balance_sum += balance
            figures.liquidity_used = max(figures.liquidity_used, figures.opening_balance - balance)

    def _count_tick(self, day: Day, outcome: Mapping[str, Any]) -> None:
        day.ticks += 1
        day.arrivals += outcome["arrivals"]
        day.settlements += outcome["settlements"]
        day.dropped += outcome["dropped"]
        day.settled_value += outcome["settled_value"]
        day.max_queue_depth = max(day.max_queue_depth, outcome["queue_depth"])

    def _opening(self, event: Event) -> None:
        self._banks[event["bank"]] = BankDay(self._number, event["bank"], opening_balance=event["balance"])

    def _pool_commitment(self, event: Event) -> None:
        self._banks[event["bank"]].opening_balance += event["amount"]

    def _arrival(self, event: Event) -> None:
        figures = self._banks[event["sender"]]
        figures.arrived_count += 1
        figures.arrived_value += event["amount"]

    def _split(self, event: Event) -> None:
        self._banks[event["bank"]].split_count += event["parts"] - 1

    def _cut(self, event: Event) -> None:
        self._banks[event["bank"]].split_count += 1

    def _settlement(self, event: Event) -> None:
        amount = event["amount"]
        sender, receiver = self._banks[event["sender"]], self._banks[event["receiver"]]
        sender.sent_count += 1
        sender.sent_value += amount
        sender.delay_value += amount * (event["tick"] - event["arrival_tick"])
        if event["mechanism"] == "close":
            sender.lent_value += amount
        receiver.received_count += 1
        receiver.received_value += amount

    def _cancellation(self, event: Event) -> None:
        figures = self._banks[event["bank"]]
        figures.dropped_count += 1
        figures.dropped_value += event["amount"]
        figures.delay_value += event["amount"] * (event["tick"] - event["arrival_tick"])

    def _cost(self, event: Event) -> None:
        self._banks[event["bank"]].costs[event["component"]] += event["amount"]
