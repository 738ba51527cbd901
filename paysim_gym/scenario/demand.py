"""Scenario models of payment demand: random arrivals, and payments known in advance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, StrictBool, Tag

from paysim_gym.scenario.field_limits import FloatRange, IntRange
from paysim_gym.scenario.field_types import (
    Amount,
    CounterpartyWeights,
    EpisodeTick,
    Identifier,
    Model,
    Multiplier,
    Priority,
    PriorityWeights,
    RtgsPriority,
    Tick,
    TickSpan,
)


def _priority_form(value: object) -> str:
    return "weights" if isinstance(value, Mapping) else "level"


class TimeWindow(Model):
    """A part of the day with its own arrival rate."""

    _part = "time_window"

    start_tick: Annotated[int, IntRange(0, 999)]
    """First tick of the day inside the window."""
    end_tick: Annotated[int, IntRange(1, 1000)]
    """First tick of the day after the window."""
    multiplier: Multiplier
    """Factor on `rate_per_tick`."""


class ArrivalConfig(Model):
    """Random payment orders of a bank's customers."""

    _part = "arrival_config"

    agent_id: Identifier | None = None
    """The bank; if given, it must be the id of the agent with this config."""
    rate_per_tick: Annotated[float, FloatRange(0, 1000, above_low=True)]
    """Expected number of payments per tick (Poisson)."""
    distribution_type: Literal["normal", "lognormal", "uniform", "exponential"]
    """Distribution of the amounts."""
    amount_mean: Amount
    """Mean amount in cents (of the amount itself, not of its logarithm)."""
    amount_std_dev: Amount | None = None
    """Standard deviation of the amount in cents: required for normal and lognormal, optional for
    uniform (by default amounts lie between one cent and twice the mean), ignored for exponential, where it
    equals the mean."""
    counterparty_weights: CounterpartyWeights | None = None
    """Receiver to relative frequency; by default all other banks are equally likely."""
    time_windows: tuple[TimeWindow, ...] = ()
    """Windows of the day, which must not overlap; outside them the multiplier is 1."""
    deadline_range: tuple[TickSpan, TickSpan] | None = None
    """Minimum and maximum of ticks from arrival to deadline (uniform, capped at the day's last tick); by
    default every payment is due on the day's last tick."""
    priority: Annotated[
        Annotated[Priority, Tag("level")] | Annotated[PriorityWeights, Tag("weights")],
        Discriminator(_priority_form),
    ] = 5
    """Priority of every payment, 0 to 10, or a mapping of priority to relative frequency."""
    divisible: StrictBool = True
    """Whether payments may be split."""
    rail: Identifier | None = None
    """Rail of the payments (by default the first one)."""
    rtgs_priority: RtgsPriority | None = None
    """Class in the rail's queue; by default their priority decides: 0 to 5 is normal, 6 to 8 urgent, 9
    and 10 highly urgent."""


class InitialTransaction(Model):
    """A payment known in advance."""

    _part = "transaction"

    sender: Identifier
    """The bank that pays."""
    receiver: Identifier
    """The bank that is paid."""
    amount: Amount
    """In cents."""
    arrival_tick: EpisodeTick
    """Tick of the episode at which it enters the sender's internal queue."""
    deadline_tick: Tick
    """Last tick of the episode at which settlement is on time."""
    priority: Priority = 5
    """Urgency, 0 to 10."""
    divisible: StrictBool = True
    """Whether it may be split."""
    rail: Identifier | None = None
    """Rail of the payment (by default the first one)."""
    rtgs_priority: RtgsPriority | None = None
    """Class in the rail's queue; by default its priority decides: 0 to 5 is normal, 6 to 8 urgent, 9 and
    10 highly urgent."""
