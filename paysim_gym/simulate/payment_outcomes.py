"""What became of each payment of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from paysim_gym.simulate.event_replay import Event


@dataclass(slots=True)
class PaymentRecord:
    """One payment. Field names are those of the store's table; money in cents.

    Attributes:
        payment: Its id.
        parent: The payment that it is a part of.
        sender: Paying bank.
        receiver: Receiving bank.
        ordered_amount: What the order was about; 0 for a part.
        amount: What settles: less than ordered once parts have been cut off.
        arrival_tick: When the order came.
        deadline_tick: Last tick on time.
        priority: 0 to 10.
        divisible: Whether it may be split.
        rail: Its rail.
        released_tick: When its bank released it.
        end_tick: When it settled, was dropped or split.
        status: `open`, `settled`, `dropped` or `split`.
        mechanism: How it settled.
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
    """Follows the payments of a run by its events, from the first one on."""

    def __init__(self) -> None:
        self._open: dict[int, PaymentRecord] = {}
        self._ended: list[PaymentRecord] = []
        self._wholes: dict[int, PaymentRecord] = {}
        self._entries: dict[str, Callable[[Event], None]] = {
            "arrival": self._arrival,
            "split": self._split,
            "cut": self._cut,
            "release": self._release,
            "settlement": self._settlement,
            "cancellation": self._cancellation,
        }

    def apply(self, events: Iterable[Event]) -> None:
        """Take up the events of a tick."""
        for event in events:
            entry = self._entries.get(event["type"])
            if entry is not None:
                entry(event)
        self._wholes.clear()

    def take_ended(self) -> list[PaymentRecord]:
        """Payments that have ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def open(self) -> list[PaymentRecord]:
        """Payments that are unsettled now."""
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
        self._wholes[event["payment"]] = self._open[event["payment"]]
        self._end(event, "split")

    def _cut(self, event: Event) -> None:
        whole = self._wholes[event["payment"]] = self._open[event["payment"]]
        whole.amount = event["remaining_amount"]

    def _release(self, event: Event) -> None:
        payment, parent = event["payment"], event["parent"]
        if payment not in self._open:
            self._open[payment] = replace(
                self._wholes[parent],
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
