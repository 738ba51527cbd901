"""Scenario models of scheduled events, which happen before a tick's arrivals."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, StrictBool

from paysim_gym.scenario.field_types import (
    Amount,
    EpisodeSpan,
    EpisodeTick,
    Identifier,
    Model,
    Money,
    Multiplier,
    Priority,
    RtgsPriority,
    TickSpan,
    by_type,
    has_type,
)


class _Event(Model):
    """Schedule of an event."""

    _part = "event"

    tick: EpisodeTick
    """Tick of the episode at which it happens (first)."""
    every_ticks: EpisodeSpan | None = None
    """Ticks between repetitions; without it, it happens once."""
    until_tick: EpisodeTick | None = None
    """Last tick of the episode at which it may repeat (by default the episode's last); requires
    `every_ticks`."""


class PaymentEvent(_Event):
    """A customer orders a payment."""

    type: Literal["payment"] = "payment"
    sender: Identifier
    """The bank that pays."""
    receiver: Identifier
    """The bank that is paid."""
    amount: Amount
    """In cents."""
    deadline_ticks: TickSpan | None = None
    """Ticks from arrival to deadline; by default it is due on the day's last tick."""
    priority: Priority = 5
    """Urgency, 0 to 10."""
    divisible: StrictBool = True
    """Whether it may be split."""
    rail: Identifier | None = None
    """Rail of the payment (by default the first one)."""
    rtgs_priority: RtgsPriority | None = None
    """Class in the rail's queue; by default its priority decides: 0 to 5 is normal, 6 to 8 urgent, 9 and
    10 highly urgent."""


class TransferEvent(_Event):
    """Money moves between accounts, or into or out of the system, outside the queues.

    The amount is limited by the sender's liquidity.
    """

    type: Literal["transfer"] = "transfer"
    sender: Identifier | None = None
    """The bank that pays; without it the money comes from outside the system."""
    receiver: Identifier | None = None
    """The bank that receives; without it the money leaves the system."""
    amount: Amount
    """In cents."""


class ArrivalRateEvent(_Event):
    """The arrival rate changes until the next such event."""

    type: Literal["arrival_rate"] = "arrival_rate"
    bank: Identifier | None = None
    """The bank (by default all banks)."""
    multiplier: Multiplier
    """Factor on `rate_per_tick`; replaces that of an earlier event."""


class CreditEvent(_Event):
    """A bank's credit limit changes."""

    type: Literal["credit"] = "credit"
    bank: Identifier
    """The bank."""
    credit_limit: Money
    """The new limit in cents."""


class CollateralEvent(_Event):
    """The value of a bank's collateral changes."""

    type: Literal["collateral"] = "collateral"
    bank: Identifier
    """The bank."""
    collateral: Money
    """The new value in cents."""


class OutageEvent(_Event):
    """A bank cannot release payments for some ticks; released payments still settle."""

    type: Literal["outage"] = "outage"
    bank: Identifier
    """The bank."""
    ticks: EpisodeSpan
    """Duration in ticks, including this one."""


class EarlyCloseEvent(_Event):
    """The day ends with this tick; its remaining ticks are skipped.

    Random and replayed payments of the skipped ticks do not arrive. Payments that the scenario lists for
    them arrive when the next day opens, if there is one, with deadlines later by as much. Deadlines of queued
    payments in skipped ticks pass at the end of the next day's first tick.
    """

    type: Literal["early_close"] = "early_close"


_AnyEvent = (
    PaymentEvent
    | TransferEvent
    | ArrivalRateEvent
    | CreditEvent
    | CollateralEvent
    | OutageEvent
    | EarlyCloseEvent
)
EVENTS = by_type(get_args(_AnyEvent))
"""Type of an event to its model."""
EventConfig = Annotated[_AnyEvent, Field(discriminator="type"), has_type(EVENTS)]
