"""Scenario models of costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from paysim_gym.scenario.field_limits import FloatRange
from paysim_gym.scenario.field_types import Amount, Model, Money, PriorityMultipliers, Share


class OverdraftTier(Model):
    """A higher rate for the part of an overdraft above a threshold."""

    above: Amount
    """Threshold in cents."""
    rate: Share
    """Fraction of the part above it, per tick."""


class Costs(Model):
    """Costs of liquidity, delay and failure; all default to zero."""

    _part = "costs"

    overdraft_rate: Share = 0.0
    """Fraction of the overdrawn balance, per tick."""
    overdraft_tiers: tuple[OverdraftTier, ...] = ()
    """Marginal rates of larger overdrafts, in ascending order of `above`."""
    delay_penalty_per_tick: Money = 0
    """Cents per unsettled payment per tick."""
    delay_rate: Share = 0.0
    """Fraction of an unsettled payment's value, per tick."""
    priority_multipliers: PriorityMultipliers = Field(default={})
    """Priority to factor on the cost of delay (1 if absent)."""
    overdue_multiplier: Annotated[float, FloatRange(1, 1000)] = 1.0
    """Factor on the cost of delay from the tick after the deadline."""
    deadline_penalty: Money = 0
    """Cents, once, for a payment that misses its deadline."""
    split_fee: Money = 0
    """Cents for each part of a split payment beyond the first."""
    eod_penalty: Money = 0
    """Cents for each payment unsettled at the end of a day."""
    eod_rate: Share = 0.0
    """Fraction of the value unsettled at the end of a day."""
    collateral_rate: Share = 0.0
    """Fraction of the collateral, per tick."""
    collateral_charged: Literal["posted", "used"] = "posted"
    """Which collateral is charged: all of it (posted), or the part that backs the overdraft beyond the credit
    limit, after a tick's settlement and before deferred credits (used)."""
    liquidity_rate: Share = 0.0
    """Fraction of the committed part of the liquidity pool, once a day."""
    delay_in_central_queue: StrictBool = True
    """Whether delay also costs while a payment waits in the central queue."""
    delay_at_close: StrictBool = True
    """Whether a day's last tick charges the delay of payments that its close settles with borrowed money;
    only relevant if `end_of_day` is `borrow`."""
