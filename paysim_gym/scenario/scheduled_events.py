"""The part of a scenario that lets something happen at given ticks, before that tick's payments arrive."""

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
    typed,
)


class _Event(Model):
    """When something happens."""

    tick: EpisodeTick
    """Tick of the episode at which it happens, for the first time if it repeats."""
    every_ticks: EpisodeSpan | None = None
    """Ticks from one time to the next; without it, it happens once."""
    until_tick: EpisodeTick | None = None
    """Last tick of the episode at which it may happen again (the episode's last, if absent); only
    beside `every_ticks`."""


class PaymentEvent(_Event):
    """A payment order reaches its bank."""

    type: Literal["payment"] = "payment"
    sender: Identifier
    """The bank that pays."""
    receiver: Identifier
    """The bank that is paid."""
    amount: Amount
    """In cents."""
    deadline_ticks: TickSpan | None = None
    """Ticks from its arrival to its deadline; without it, it is due on that day's last tick."""
    priority: Priority = 5
    """How urgent it is, 0 to 10."""
    divisible: StrictBool = True
    """Whether it may be split."""
    rail: Identifier | None = None
    """Rail it is sent through (the first one, if absent)."""
    rtgs_priority: RtgsPriority | None = None
    """Its class in the rail's queue; if absent, its priority decides: 0 to 5 is normal, 6 to 8 urgent,
    9 and 10 highly urgent."""


class TransferEvent(_Event):
    """Money moves from one account to another, or into or out of the system, outside the queues.

    It takes what the sender's liquidity allows.
    """

    type: Literal["transfer"] = "transfer"
    sender: Identifier | None = None
    """The bank that gives; without it the money comes from outside the system."""
    receiver: Identifier | None = None
    """The bank that gets; without it the money leaves the system."""
    amount: Amount
    """In cents."""


class ArrivalRateEvent(_Event):
    """From now on customers bring more or fewer payment orders than usual."""

    type: Literal["arrival_rate"] = "arrival_rate"
    bank: Identifier | None = None
    """Whose customers (all banks', if absent)."""
    multiplier: Multiplier
    """Factor on `rate_per_tick`, in place of that of an earlier event."""


class CreditEvent(_Event):
    """A bank's credit limit changes."""

    type: Literal["credit"] = "credit"
    bank: Identifier
    """Whose limit."""
    credit_limit: Money
    """The new limit in cents."""


class CollateralEvent(_Event):
    """The value of what a bank has pledged changes."""

    type: Literal["collateral"] = "collateral"
    bank: Identifier
    """Whose collateral."""
    collateral: Money
    """The new value in cents."""


class OutageEvent(_Event):
    """A bank can release nothing for a while; what it has released still settles."""

    type: Literal["outage"] = "outage"
    bank: Identifier
    """Which bank."""
    ticks: EpisodeSpan
    """For how many ticks, this one included."""


class EarlyCloseEvent(_Event):
    """The day ends with this tick; the rest of its ticks are left out.

    Customers bring nothing in them, neither sampled nor replayed payments. A payment that the scenario
    names for one of them comes when the next day opens, its deadline as much later, if there is a next day.
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
EventConfig = Annotated[_AnyEvent, Field(discriminator="type"), typed(EVENTS)]
