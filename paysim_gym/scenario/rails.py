"""Scenario models of rails, the settlement systems of the banks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StrictBool

from paysim_gym.scenario.field_limits import IntRange
from paysim_gym.scenario.field_types import Identifier, Model


class LiquiditySaving(Model):
    """Liquidity-saving mechanisms of a gross rail, tried in this order.

    With `fifo_bypass` the multilateral one comes first, as it contains the others.
    """

    entry_offset: StrictBool = False
    """Whether a new payment that would queue is offset against payments in the opposite direction."""
    bilateral: StrictBool = False
    """Whether queued payments between two banks settle together."""
    multilateral: StrictBool = False
    """Whether a set of queued payments of all banks settles together: the largest one in queue order, or with
    `fifo_bypass` the most valuable one that a bounded search finds."""


class Rail(Model):
    """A settlement system that the banks share."""

    _part = "rail"

    id: Identifier
    """Unique name."""
    settlement_type: Literal["immediate", "deferred_net"] = "immediate"
    """Gross settlement of each payment as soon as there is liquidity (immediate), or net settlement of all
    queued payments at the end of a cycle (deferred_net)."""
    queue_discipline: Literal["fifo", "fifo_bypass", "priority"] = "fifo"
    """Order of the central queue: a blocked head blocks its bank (fifo), later payments may bypass it
    (fifo_bypass), or urgent payments come first (priority)."""
    incoming_queue_visible: StrictBool = True
    """Whether a bank sees payments to it that wait in the central queue."""
    lsm: LiquiditySaving = LiquiditySaving()
    """Liquidity-saving mechanisms, off by default; not allowed for a deferred_net rail."""
    deferred_crediting: StrictBool = False
    """Whether a bank can use receipts only from the next tick on."""
    cycle_ticks: Annotated[int, IntRange(1, 1000, "ticks")] | None = None
    """Ticks of a cycle, at most a day: required for a deferred_net rail, not allowed for others."""
