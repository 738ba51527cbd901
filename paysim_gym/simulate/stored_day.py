"""Reconstructs one bank's day from the events of a stored run."""

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
from paysim_gym.simulate.persistence import stored_ticks
from paysim_gym.simulate.records import RunPlan, TickRecord
from paysim_gym.simulate.store import Store, StoredRun
from paysim_gym.simulate.store_schema import StoreError

_BEFORE_DECISIONS = frozenset(
    {
        *("day", "opening", "pool_commitment", "tick", "urgency", "arrival", "payment_event", "transfer"),
        *("arrival_rate", "credit_change", "collateral_change", "outage", "early_close"),
    }
)


class _DayRecorder:
    """Records snapshots of one bank during one day of a run."""

    def __init__(self, plan: RunPlan, bank: str, pool: int, day: int) -> None:
        self.recorded = DayHistory()
        self._plan, self._bank, self._pool, self._day = plan, bank, pool, day
        self._replay = EventReplay(plan.rails)
        self._received = self._paid = 0
        self._previous_costs: Counter[str] = Counter()

    def apply(self, record: TickRecord) -> None:
        """Apply a tick; record the snapshots before decisions and after the day."""
        tick, is_recorded = record.outcome["tick"], record.outcome["day"] == self._day
        has_decided = False
        for event in record.events:
            if not has_decided and event["type"] not in _BEFORE_DECISIONS:
                self._record(tick, is_recorded)
                has_decided = True
            self._apply_event(event)
        if not has_decided:
            self._record(tick, is_recorded)
        if record.ends_day:
            self._record((self._day + 1) * self._plan.ticks_per_day, is_recorded)

    def _apply_event(self, event: Event) -> None:
        if event["type"] == "day":
            self._received = self._paid = 0
            account = self._replay.accounts.get(self._bank)
            self._previous_costs = Counter(account.costs if account else {})
        elif event["type"] == "settlement":
            self._received += event["amount"] if event["receiver"] == self._bank else 0
            self._paid += event["amount"] if event["sender"] == self._bank else 0
        self._replay.apply(event)

    def _record(self, tick: int, is_recorded: bool) -> None:
        if is_recorded:
            self.recorded.record(self._snapshot(self._replay.accounts[self._bank], tick))

    def _snapshot(self, account: Account, tick: int) -> BankSnapshot:
        now = min(tick, (self._day + 1) * self._plan.ticks_per_day)
        costs_today = {name: cents - self._previous_costs[name] for name, cents in account.costs.items()}
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
            "costs_today": costs_today,
            "costs": dict(account.costs),
        }


def stored_day(store: Store, stored: StoredRun, *, bank: str | None = None, day: int = 0) -> DayHistory:
    """Return a day of a stored run from the view of one bank.

    Args:
        store: The store of the run.
        stored: The run.
        bank: The bank; defaults to the scenario's first one.
        day: The day of the run, from 0.

    Raises:
        StoreError: If the bank or day does not exist, or the run was stored without its ticks.
    """
    plan = stored.plan
    name = plan.banks[0] if bank is None else bank
    if name not in plan.banks:
        raise StoreError(f"--bank = {name!r}: must be one of {', '.join(plan.banks)}")
    pool = json.loads(stored.definition)["agents"][plan.banks.index(name)]["liquidity_pool"]
    recorder = _DayRecorder(plan, name, pool, day)
    for record in stored_ticks(store, stored):
        recorder.apply(record)
    if not recorder.recorded.snapshots:
        raise StoreError(f"--day = {day}: run {stored.run} did not play this day")
    return recorder.recorded


def write_picture(day: DayHistory, path: Path) -> None:
    """Write the picture of a day as a PNG file, atomically; needs Pillow."""
    pixels = render_picture(day)
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    write_atomically(path, file.getvalue())


def _by_urgency(payments: Iterable[OpenPayment], now: int) -> dict[str, tuple[int, int]]:
    """Return count and value of the payments by urgency class."""
    queue = dict.fromkeys(URGENCIES, (0, 0))
    for payment in payments:
        urgency = urgency_class(payment.is_overdue, payment.deadline_tick, now)
        count, value = queue[urgency]
        queue[urgency] = count + 1, value + payment.amount
    return queue
