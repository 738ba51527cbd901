"""A bank's day, drawn from the events of a run that a store has kept."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from paysim_gym._engine import urgency_class
from paysim_gym.files import write_atomically
from paysim_gym.render import BankSnapshot, DayHistory, render_picture
from paysim_gym.render.day_history import URGENCIES
from paysim_gym.simulate.event_replay import Account, Event, EventReplay, OpenPayment
from paysim_gym.simulate.persistence import StoredTicks
from paysim_gym.simulate.records import RunPlan, TickRecord
from paysim_gym.simulate.store import Store, StoredRun
from paysim_gym.simulate.store_schema import StoreError

_BEFORE_DECISIONS = frozenset(
    {
        *("day", "opening", "pool_commitment", "tick", "urgency", "arrival", "payment_event", "transfer"),
        *("arrival_rate", "credit_change", "collateral_change", "outage", "early_close"),
    }
)


class _Watch:
    """Follows one bank through one day of a run."""

    def __init__(self, plan: RunPlan, bank: str, pool: int, day: int) -> None:
        self.drawn = DayHistory()
        self._plan, self._bank, self._pool, self._day = plan, bank, pool, day
        self._books = EventReplay(plan.rails)
        self._received = self._paid = 0
        self._costs_before: Counter[str] = Counter()

    def apply(self, record: TickRecord) -> None:
        """Take up a tick: look at what is there when the banks decide, and after a day's last tick."""
        tick, is_shown = record.outcome["tick"], record.outcome["day"] == self._day
        is_decided = False
        for event in record.events:
            if not is_decided and event["type"] not in _BEFORE_DECISIONS:
                self._look(tick, is_shown)
                is_decided = True
            self._enter(event)
        if not is_decided:
            self._look(tick, is_shown)
        if record.ends_day:
            self._look((self._day + 1) * self._plan.ticks_per_day, is_shown)

    def _enter(self, event: Event) -> None:
        kind = event["type"]
        if kind == "day":
            self._received = self._paid = 0
            account = self._books.accounts.get(self._bank)
            self._costs_before = Counter(account.costs if account else {})
        elif kind == "settlement":
            self._received += event["amount"] if event["receiver"] == self._bank else 0
            self._paid += event["amount"] if event["sender"] == self._bank else 0
        self._books.apply(event)

    def _look(self, tick: int, is_shown: bool) -> None:
        if is_shown:
            self.drawn.record(self._view(self._books.accounts[self._bank], tick))

    def _view(self, account: Account, tick: int) -> BankSnapshot:
        now = min(tick, (self._day + 1) * self._plan.ticks_per_day)
        today = {name: cents - self._costs_before[name] for name, cents in account.costs.items()}
        return {
            "bank": self._bank,
            "tick": tick,
            "day": self._day,
            "num_days": self._plan.num_days,
            "ticks_per_day": self._plan.ticks_per_day,
            "is_opening": False,
            "balance": account.balance,
            "liquidity": account.balance + account.credit,
            "limit": account.credit,
            "pool": self._pool,
            "pool_committed": account.pool_committed,
            "internal_queue": _by_urgency(account.internal.values(), now),
            "central_queue": _by_urgency(account.central_queue(), now),
            "received_today": self._received,
            "paid_today": self._paid,
            "costs_today": today,
            "costs": dict(account.costs),
        }


def stored_day(store: Store, stored: StoredRun, *, bank: str | None = None, day: int = 0) -> DayHistory:
    """A day of a kept run, as its bank saw it tick by tick.

    Args:
        store: Where it is kept.
        stored: The run.
        bank: Whose day; the scenario's first bank by default.
        day: Which day of the run, from 0.

    Raises:
        StoreError: If there is no such bank or day, or the run was kept without its ticks.
    """
    plan = stored.plan
    name = plan.banks[0] if bank is None else bank
    if name not in plan.banks:
        raise StoreError(f"--bank = {name!r}: must be one of {', '.join(plan.banks)}")
    pool = json.loads(stored.definition)["agents"][plan.banks.index(name)]["liquidity_pool"]
    watch = _Watch(plan, name, pool, day)
    source = StoredTicks(store, stored)
    while not source.is_over:
        watch.apply(source.tick())
    if not watch.drawn.snapshots:
        raise StoreError(f"--day = {day}: run {stored.run} has not played it")
    return watch.drawn


def write_picture(day: DayHistory, path: Path) -> None:
    """Write a day as a PNG file, whole or not at all.

    Raises:
        DependencyNotInstalled: Without Pillow.
        OSError: If it cannot be written.
    """
    pixels = render_picture(day)
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    write_atomically(path, file.getvalue())


def _by_urgency(payments: Iterable[OpenPayment], now: int) -> dict[str, tuple[int, int]]:
    """Count and value by urgency."""
    queue = dict.fromkeys(URGENCIES, (0, 0))
    for payment in payments:
        urgency = urgency_class(payment.is_overdue, payment.deadline_tick, now)
        count, value = queue[urgency]
        queue[urgency] = count + 1, value + payment.amount
    return queue
