"""A bank's day, tick by tick, as the engine tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from paysim_gym import _engine

BankSnapshot = Mapping[str, Any]
"""Snapshot of a bank's state, as given by the engine's `Fleet.snapshots`; money in int cents.

* `bank`; `tick` (to be played next, from the start of the episode), `day` (from 0), `num_days`,
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
"""Payments that the bank has not released, and those that it has and that wait for settlement."""


_LEAST_SCALE = 100_00
# A limit this many times as deep as the account has moved would leave no room to see it move.
_FAR_LIMIT = 6


class Flow(NamedTuple):
    """What one tick brought and took.

    Attributes:
        tick: Tick of the day.
        received: Cents.
        paid: Cents.
    """

    tick: int
    received: int
    paid: int


class Scale(NamedTuple):
    """What a chart of the account shows.

    Attributes:
        low: Lowest amount, in cents; at most 0.
        high: Highest amount, in cents; at least 0, and above `low`.
        shows_limit: Whether there is a credit limit and it lies between them.
    """

    low: int
    high: int
    shows_limit: bool


class DayHistory:
    """What a bank had before it at each tick of one day."""

    def __init__(self) -> None:
        self.snapshots: list[BankSnapshot] = []

    def record(self, view: BankSnapshot) -> None:
        """Add what the bank has before it now; unless that is later on the same day, start afresh."""
        if self.snapshots and view == self.snapshots[-1]:
            return
        if self.snapshots and not _follows(view, self.snapshots[-1]):
            self.snapshots.clear()
        self.snapshots.append(view)

    @property
    def now(self) -> BankSnapshot:
        """The last view.

        Raises:
            ValueError: If there is none.
        """
        if not self.snapshots:
            raise ValueError("nothing has been recorded of this day")
        return self.snapshots[-1]

    def balances(self) -> list[tuple[int, int]]:
        """Tick of the day and balance in cents, view after view."""
        return [(tick_of_day(view), view["balance"]) for view in self.snapshots]

    def limits(self) -> list[tuple[int, int]]:
        """Ticks of the day from which on the credit allows a lowest balance, and that in cents."""
        changes: list[tuple[int, int]] = []
        for view in self.snapshots:
            if not changes or changes[-1][1] != -view["limit"]:
                changes.append((tick_of_day(view), -view["limit"]))
        return changes

    def account_scale(self) -> Scale:
        """Amounts between which all balances lie, and the limit unless the account comes nowhere near."""
        balances = [balance for _, balance in self.balances()]
        low, high, limit = min(0, *balances), max(0, *balances), min(limit for _, limit in self.limits())
        if low == high == limit:
            return Scale(0, _LEAST_SCALE, shows_limit=False)
        shows_limit = limit < 0 and (low == high or -limit <= _FAR_LIMIT * (high - low))
        return Scale(min(low, limit) if shows_limit else low, high, shows_limit)

    def flows(self) -> list[Flow]:
        """Receipts and payments of each tick that has been played, an opening apart."""
        return [
            Flow(
                tick_of_day(before),
                after["received_today"] - before["received_today"],
                after["paid_today"] - before["paid_today"],
            )
            for before, after in zip(self.snapshots, self.snapshots[1:], strict=False)
            if not before["is_opening"]
        ]


def tick_of_day(view: BankSnapshot) -> int:
    """Ticks of the day that are over."""
    tick: int = view["tick"] - view["day"] * view["ticks_per_day"]
    return tick


def headline(view: BankSnapshot) -> str:
    """Which moment of which day this is."""
    tick, ticks = tick_of_day(view), view["ticks_per_day"]
    day = f"day {view['day'] + 1} of {view['num_days']}"
    if view["is_opening"]:
        return f"{day}, opening"
    return f"{day}, closed" if tick == ticks else f"{day}, tick {tick} of {ticks}"


def queue_total(queue: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Number of payments in a queue and their value in cents."""
    return sum(count for count, _ in queue.values()), sum(value for _, value in queue.values())


def _follows(view: BankSnapshot, last: BankSnapshot) -> bool:
    same_day = all(view[key] == last[key] for key in ("bank", "day", "num_days", "ticks_per_day"))
    has_opened = last["is_opening"] and not view["is_opening"] and view["tick"] == last["tick"]
    return same_day and (view["tick"] > last["tick"] or has_opened)
