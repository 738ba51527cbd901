"""The snapshots of a bank's day, tick by tick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from paysim_gym import _engine

BankSnapshot = Mapping[str, Any]
"""The unscaled state of a bank, as `PaymentVectorEnv.snapshots` returns it; money in int cents.

* `bank`; `tick` (the next one, from the start of the episode), `day` (from 0), `num_days`,
  `ticks_per_day`; `is_opening`: the next step commits the pool
* `balance`; `liquidity` (balance and unused credit), `limit` (how far the balance may fall below zero)
* `pool`, `pool_committed`
* `internal_queue`, `central_queue`: each of `URGENCIES` to a count and a value
* `received_today`, `paid_today`; `costs_today` and `costs` (of the episode): component to cents
"""

URGENCIES = dict(
    zip(
        _engine.URGENCIES,
        ("overdue", "due now", f"soon (1-{_engine.SOON_TICKS} ticks)", "later"),
        strict=True,
    )
)
"""Label of each urgency class of queued payments."""
QUEUES = {"internal_queue": "Internal queue", "central_queue": "Central queue"}
"""Queue to its title."""

_MIN_SCALE_CENTS = 100_00
# A credit limit beyond this multiple of the balance's range would flatten the chart.
_MAX_LIMIT_RATIO = 6


class Flow(NamedTuple):
    """Receipts and payments of one tick of the day, in cents."""

    tick: int
    received: int
    paid: int


class Scale(NamedTuple):
    """Range of a chart of the account.

    Attributes:
        low: Minimum in cents, at most 0.
        high: Maximum in cents, at least 0 and above `low`.
        shows_limit: Whether there is a credit limit within this range.
    """

    low: int
    high: int
    shows_limit: bool


class DayHistory:
    """Snapshots of a bank at each tick of one day."""

    def __init__(self) -> None:
        self.snapshots: list[BankSnapshot] = []

    def record(self, snapshot: BankSnapshot) -> None:
        """Add a snapshot; clear the history first unless it continues the same day."""
        if self.snapshots and snapshot == self.snapshots[-1]:
            return
        if self.snapshots and not _continues(snapshot, self.snapshots[-1]):
            self.snapshots.clear()
        self.snapshots.append(snapshot)

    @property
    def latest(self) -> BankSnapshot:
        """The latest snapshot; raises ValueError if there is none."""
        if not self.snapshots:
            raise ValueError("no snapshot of this day has been recorded")
        return self.snapshots[-1]

    def balances(self) -> list[tuple[int, int]]:
        """Return tick of the day and balance in cents of each snapshot."""
        return [(tick_of_day(snapshot), snapshot["balance"]) for snapshot in self.snapshots]

    def limits(self) -> list[tuple[int, int]]:
        """Return the lowest allowed balance in cents, with the tick of each change."""
        changes: list[tuple[int, int]] = []
        for snapshot in self.snapshots:
            if not changes or changes[-1][1] != -snapshot["limit"]:
                changes.append((tick_of_day(snapshot), -snapshot["limit"]))
        return changes

    def account_scale(self) -> Scale:
        """Return the range of all balances, with the credit limit if it is near."""
        balances = [balance for _, balance in self.balances()]
        low, high, limit = min(0, *balances), max(0, *balances), min(limit for _, limit in self.limits())
        if low == high == limit:
            return Scale(0, _MIN_SCALE_CENTS, shows_limit=False)
        shows_limit = limit < 0 and (low == high or -limit <= _MAX_LIMIT_RATIO * (high - low))
        return Scale(min(low, limit) if shows_limit else low, high, shows_limit)

    def flows(self) -> list[Flow]:
        """Return receipts and payments of each played tick, without openings."""
        return [
            Flow(
                tick_of_day(before),
                after["received_today"] - before["received_today"],
                after["paid_today"] - before["paid_today"],
            )
            for before, after in zip(self.snapshots, self.snapshots[1:], strict=False)
            if not before["is_opening"]
        ]


def tick_of_day(snapshot: BankSnapshot) -> int:
    """Return the number of ticks since the day's start."""
    tick: int = snapshot["tick"] - snapshot["day"] * snapshot["ticks_per_day"]
    return tick


def headline(snapshot: BankSnapshot) -> str:
    """Return the day and tick as text."""
    tick, ticks = tick_of_day(snapshot), snapshot["ticks_per_day"]
    day = f"day {snapshot['day'] + 1} of {snapshot['num_days']}"
    if snapshot["is_opening"]:
        return f"{day}, opening"
    return f"{day}, closed" if tick == ticks else f"{day}, tick {tick} of {ticks}"


def queue_total(queue: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Return count and value in cents of the payments in a queue."""
    return sum(count for count, _ in queue.values()), sum(value for _, value in queue.values())


def _continues(snapshot: BankSnapshot, last: BankSnapshot) -> bool:
    same_day = all(snapshot[key] == last[key] for key in ("bank", "day", "num_days", "ticks_per_day"))
    has_opened = last["is_opening"] and not snapshot["is_opening"] and snapshot["tick"] == last["tick"]
    return same_day and (snapshot["tick"] > last["tick"] or has_opened)
