"""Rebuilds accounts, queues and costs of a system from its events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paysim_gym._engine import COST_COMPONENTS

Event = Mapping[str, Any]
"""An event of `Orchestrator.events`; docs/events.md lists types and keys."""


@dataclass(slots=True)
class OpenPayment:
    """An unsettled payment; field names as in `Orchestrator.get_state`."""

    id: int
    parent: int | None
    sender: str
    receiver: str
    amount: int
    arrival_tick: int
    deadline_tick: int
    priority: int
    divisible: bool
    rail: str
    is_overdue: bool
    urgency: int
    """Priority including the escalation near the deadline."""
    released_tick: int | None = None

    def part(self, payment: int, amount: int) -> OpenPayment:
        """Return a part of this payment."""
        return OpenPayment(
            payment,
            self.id,
            self.sender,
            self.receiver,
            amount,
            self.arrival_tick,
            self.deadline_tick,
            self.priority,
            self.divisible,
            self.rail,
            self.is_overdue,
            self.urgency,
        )

    def as_state(self) -> dict[str, Any]:
        """Return the payment as `Orchestrator.get_state` lists it."""
        return {name: getattr(self, name) for name in _STATE_KEYS}


_STATE_KEYS = (
    "id",
    "parent",
    "sender",
    "receiver",
    "amount",
    "arrival_tick",
    "deadline_tick",
    "priority",
    "divisible",
    "rail",
    "is_overdue",
)


@dataclass(slots=True)
class Account:
    """Account, queues and costs of a bank; money in cents."""

    bank: str
    rails: Sequence[str]
    balance: int = 0
    credit_limit: int = 0
    collateral: int = 0
    collateral_credit: int = 0
    pool_committed: int = 0
    internal: dict[int, OpenPayment] = field(default_factory=dict)
    """Payment id to payment; `internal_queue` gives the order."""
    central: dict[str, list[OpenPayment]] = field(default_factory=dict)
    """Rail to queue, in settlement order."""
    costs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COST_COMPONENTS, 0))

    @property
    def credit(self) -> int:
        """How far the balance may fall below zero."""
        return self.credit_limit + self.collateral_credit

    def internal_queue(self) -> list[OpenPayment]:
        """Return unreleased payments by urgency, deadline and arrival."""
        return sorted(self.internal.values(), key=lambda p: (-p.urgency, p.deadline_tick, p.id))

    def central_queue(self) -> Iterator[OpenPayment]:
        """Yield released, unsettled payments, rail by rail."""
        for rail in self.rails:
            yield from self.central.get(rail, ())

    def unsettled(self) -> Iterator[OpenPayment]:
        """Yield all unsettled payments of the bank."""
        yield from self.internal.values()
        yield from self.central_queue()


def balance_changes(event: Event) -> list[tuple[str, int]]:
    """Return the banks whose balance an event changes, and the changes in cents.

    An `opening` event sets a balance instead and is not listed.
    """
    match event["type"]:
        case "settlement" | "transfer":
            sides = [(event["sender"], -event["amount"]), (event["receiver"], event["amount"])]
            return [(bank, cents) for bank, cents in sides if bank is not None]
        case "pool_commitment":
            return [(event["bank"], event["amount"])]
        case "pool_return":
            return [(event["bank"], -event["amount"])]
        case "end_of_day":
            return [(event["bank"], event["borrowed"])]
        case _:
            return []


class EventReplay:
    """Replays the events of a run from the start, with accounts in scenario order."""

    def __init__(self, rails: Sequence[str]) -> None:
        """Start before the first day, with rail ids in scenario order."""
        self.accounts: dict[str, Account] = {}
        self._rails = tuple(rails)
        self._released: dict[int, OpenPayment] = {}
        self._split_payment: OpenPayment | None = None
        self._handlers: dict[str, Callable[[Event], None]] = {
            "opening": self._opening,
            "arrival": self._arrival,
            "urgency": self._urgency,
            "split": self._split,
            "cut": self._cut,
            "release": self._release,
            "queued": self._queued,
            "settlement": self._settlement,
            "cancellation": self._cancellation,
            "overdue": self._overdue,
            "cost": self._cost,
            "pool_commitment": self._pool_commitment,
            "pool_return": self._pool_return,
            "credit_change": self._credit_change,
            "collateral_change": self._collateral_change,
        }

    def apply(self, event: Event) -> None:
        """Apply the next event."""
        handler = self._handlers.get(event["type"])
        if handler is not None:
            handler(event)
        for bank, cents in balance_changes(event):
            self.accounts[bank].balance += cents

    def agents(self) -> list[dict[str, Any]]:
        """Return the banks as `get_state()["agents"]` lists them after a tick."""
        return [
            {
                "id": account.bank,
                "balance": account.balance,
                "credit_limit": account.credit_limit,
                "liquidity": account.balance + account.credit,
                "collateral": account.collateral,
                "pool_committed": account.pool_committed,
                "internal_queue": [payment.as_state() for payment in account.internal_queue()],
                "central_queue": [payment.as_state() for payment in account.central_queue()],
                "costs": dict(account.costs),
            }
            for account in self.accounts.values()
        ]

    def payment(self, bank: str, payment: int) -> OpenPayment:
        """Return an unsettled payment of a bank, or raise a KeyError."""
        if payment in self._released:
            return self._released[payment]
        account = self.accounts[bank]
        if payment in account.internal:
            return account.internal[payment]
        for queued in account.central_queue():
            if queued.id == payment:
                return queued
        raise KeyError(payment)

    def _take(self, bank: str, payment: int) -> OpenPayment:
        """Remove a payment from its queue and returns it."""
        found = self.payment(bank, payment)
        account = self.accounts[bank]
        if self._released.pop(payment, None) is None and account.internal.pop(payment, None) is None:
            account.central[found.rail].remove(found)
        return found

    def _opening(self, event: Event) -> None:
        account = self.accounts.setdefault(event["bank"], Account(event["bank"], self._rails))
        account.balance = event["balance"]
        account.credit_limit = event["credit_limit"]
        account.collateral = event["collateral"]
        account.collateral_credit = event["collateral_credit"]

    def _arrival(self, event: Event) -> None:
        self.accounts[event["sender"]].internal[event["payment"]] = OpenPayment(
            id=event["payment"],
            parent=None,
            sender=event["sender"],
            receiver=event["receiver"],
            amount=event["amount"],
            arrival_tick=event["tick"],
            deadline_tick=event["deadline_tick"],
            priority=event["priority"],
            divisible=event["divisible"],
            rail=event["rail"],
            is_overdue=False,
            urgency=event["urgency"],
        )

    def _urgency(self, event: Event) -> None:
        self.accounts[event["sender"]].internal[event["payment"]].urgency = event["urgency"]

    def _split(self, event: Event) -> None:
        self._split_payment = self._take(event["sender"], event["payment"])

    def _cut(self, event: Event) -> None:
        self._split_payment = self.accounts[event["sender"]].internal[event["payment"]]
        self._split_payment.amount = event["remaining_amount"]

    def _release(self, event: Event) -> None:
        if event["parent"] is None or self._split_payment is None:
            released = self._take(event["sender"], event["payment"])
        else:
            released = self._split_payment.part(event["payment"], event["amount"])
        released.released_tick = event["tick"]
        self._released[released.id] = released

    def _queued(self, event: Event) -> None:
        queued = self._released.pop(event["payment"])
        self.accounts[event["sender"]].central.setdefault(event["rail"], []).insert(event["position"], queued)

    def _settlement(self, event: Event) -> None:
        self._take(event["sender"], event["payment"])

    def _cancellation(self, event: Event) -> None:
        self._take(event["sender"], event["payment"])

    def _overdue(self, event: Event) -> None:
        self.payment(event["sender"], event["payment"]).is_overdue = True

    def _cost(self, event: Event) -> None:
        self.accounts[event["bank"]].costs[event["component"]] += event["amount"]

    def _pool_commitment(self, event: Event) -> None:
        self.accounts[event["bank"]].pool_committed = event["amount"]

    def _pool_return(self, event: Event) -> None:
        self.accounts[event["bank"]].pool_committed = 0

    def _credit_change(self, event: Event) -> None:
        self.accounts[event["bank"]].credit_limit = event["credit_limit"]

    def _collateral_change(self, event: Event) -> None:
        account = self.accounts[event["bank"]]
        account.collateral = event["collateral"]
        account.collateral_credit = event["collateral_credit"]
