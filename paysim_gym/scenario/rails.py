"""The part of a scenario that describes the settlement systems which its banks share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StrictBool

from paysim_gym.scenario.field_limits import IntRange
from paysim_gym.scenario.field_types import Identifier, Model


class LiquiditySaving(Model):
    """What a gross rail tries, in this order, once payments are stuck for want of liquidity."""

    entry_offset: StrictBool = False
    """Whether a newcomer that would queue is offset against its receiver's queued payments to its sender."""
    bilateral: StrictBool = False
    """Whether queued payments between two banks settle together."""
    multilateral: StrictBool = False
    """Whether the largest set of queued payments between all banks that can settle together does so."""


class Rail(Model):
    """A settlement system that the banks share."""

    id: Identifier
    """Its unique name."""
    settlement_type: Literal["immediate", "deferred_net"] = "immediate"
    """Gross, payment by payment, as soon as there is liquidity (immediate), or net, all that waits at
    the end of a cycle together (deferred_net)."""
    queue_discipline: Literal["fifo", "fifo_bypass", "priority"] = "fifo"
    """Order of the central queue: a blocked head blocks its bank (fifo), later payments may pass it
    (fifo_bypass), or urgent ones come first (priority)."""
    incoming_queue_visible: StrictBool = True
    """Whether a bank sees the payments that wait in the central queue to be paid to it."""
    lsm: LiquiditySaving = LiquiditySaving()
    """Its liquidity-saving mechanism, all off unless turned on; not for a deferred_net rail."""
    deferred_crediting: StrictBool = False
    """Whether what a bank receives can be used only from the next tick on."""
    cycle_ticks: Annotated[int, IntRange(1, 1000, "ticks")] | None = None
    """Ticks from one cycle to the next, at most a day: required for a deferred_net rail, refused for
    others."""
