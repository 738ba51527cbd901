"""Follows every payment of a run to its outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from paysim_gym.simulate.event_replay import Event


@dataclass(slots=True)
class PaymentRecord:
    """One payment; a row of the table `payments`. Money in cents.

    Attributes:
        payment: Id of the payment.
        parent: The payment that this one is a part of.
        sender: Paying bank.
        receiver: Receiving bank.
        ordered_amount: Amount of the order; 0 for a part.
        amount: Amount that settles; less than ordered after partial releases.
        arrival_tick: Tick in which the order arrived.
        deadline_tick: Last tick on time.
        priority: 0 to 10.
        divisible: Whether it may be split.
        rail: Rail of the payment.
        released_tick: Tick of the release.
        end_tick: Tick in which the payment settled, was dropped or was split.
        status: `open`, `settled`, `dropped` or `split`.
        mechanism: Settlement mechanism.
    """

    payment: int
    parent: int | None
    sender: str
    receiver: str
    ordered_amount: int
    amount: int
    arrival_tick: int
    deadline_tick: int
    priority: int
    divisible: bool
    rail: str
    released_tick: int | None = None
    end_tick: int | None = None
    status: str = "open"
    mechanism: str | None = None


class PaymentLog:
    """Follows the payments of a run through its events, starting with the first one."""

    def __init__(self) -> None:
        self._open: dict[int, PaymentRecord] = {}
        self._ended: list[PaymentRecord] = []
        self._split_payments: dict[int, PaymentRecord] = {}
        self._handlers: dict[str, Callable[[Event], None]] = {
            "arrival": self._arrival,
            "split": self._split,
            "cut": self._cut,
            "release": self._release,
            "settlement": self._settlement,
            "cancellation": self._cancellation,
        }

    def apply(self, events: Iterable[Event]) -> None:
        """Apply the events of a tick."""
        for event in events:
            handler = self._handlers.get(event["type"])
            if handler is not None:
                handler(event)
        self._split_payments.clear()

    def take_ended(self) -> list[PaymentRecord]:
        """Return the payments that ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def open(self) -> list[PaymentRecord]:
        """Return the payments that are unsettled now."""
        return list(self._open.values())

    def _arrival(self, event: Event) -> None:
        names = ("payment", "sender", "receiver", "amount", "deadline_tick", "priority", "divisible", "rail")
        self._open[event["payment"]] = PaymentRecord(
            parent=None,
            ordered_amount=event["amount"],
            arrival_tick=event["tick"],
            **{name: event[name] for name in names},
        )

    def _split(self, event: Event) -> None:
        self._split_payments[event["payment"]] = self._open[event["payment"]]
        self._end(event, "split")

    def _cut(self, event: Event) -> None:
        payment = self._split_payments[event["payment"]] = self._open[event["payment"]]
        payment.amount = event["remaining_amount"]

    def _release(self, event: Event) -> None:
        payment, parent = event["payment"], event["parent"]
        if payment not in self._open:
            self._open[payment] = replace(
                self._split_payments[parent],
                payment=payment,
                parent=parent,
                ordered_amount=0,
                amount=event["amount"],
                end_tick=None,
                status="open",
            )
        self._open[payment].released_tick = event["tick"]

    def _settlement(self, event: Event) -> None:
        self._end(event, "settled", event["mechanism"])

    def _cancellation(self, event: Event) -> None:
        self._end(event, "dropped")

    def _end(self, event: Event, status: str, mechanism: str | None = None) -> None:
        record = self._open.pop(event["payment"])
        record.status, record.end_tick, record.mechanism = status, event["tick"], mechanism
        self._ended.append(record)
