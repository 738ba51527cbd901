"""Writes runs to a store and reads them back as tick sources."""

from __future__ import annotations

from paysim_gym._engine import EVENT_SCHEMA_VERSION
from paysim_gym.simulate.payment_outcomes import PaymentLog
from paysim_gym.simulate.records import DayReport, TickRecord
from paysim_gym.simulate.store import Store, StoredRun
from paysim_gym.simulate.store_schema import StoreError


class EndOfDayPersistence:
    """Stores the metrics and payments of each day at its end."""

    def __init__(self, store: Store, run: int) -> None:
        """Prepare to store a run under its number from `Store.begin_run`."""
        self._store = store
        self._run = run
        self._payments = PaymentLog()

    def save_tick(self, record: TickRecord) -> None:
        """Follow the payments of a tick."""
        self._payments.apply(record.events)

    def save_day(self, report: DayReport) -> None:
        """Store a day in one transaction."""
        self._store.save_day(
            self._run, report, self._payments.take_ended(), self._payments.open(), self._take_ticks()
        )

    def _take_ticks(self) -> list[TickRecord]:
        """Return the ticks to store with the day."""
        return []


class FullReplayPersistence(EndOfDayPersistence):
    """Also stores ticks and events, so that the run can be replayed."""

    def __init__(self, store: Store, run: int) -> None:
        """Prepare to store a run under its number from `Store.begin_run`."""
        super().__init__(store, run)
        self._ticks: list[TickRecord] = []

    def save_tick(self, record: TickRecord) -> None:
        """Follow the payments of a tick and buffer it for the day."""
        super().save_tick(record)
        self._ticks.append(record)

    def _take_ticks(self) -> list[TickRecord]:
        ticks, self._ticks = self._ticks, []
        return ticks


class StoredTicks:
    """The ticks of a run stored with full replay."""

    def __init__(self, store: Store, stored: StoredRun) -> None:
        """Start at the first tick; raises StoreError without ticks of this event schema."""
        if not stored.is_full_replay:
            raise StoreError(
                f"run {stored.run} was stored without --full-replay; `paysim runs show` prints its metrics"
            )
        if stored.event_schema_version != EVENT_SCHEMA_VERSION:
            raise StoreError(
                f"run {stored.run} has events of schema version {stored.event_schema_version}; "
                f"this package reads version {EVENT_SCHEMA_VERSION}"
            )
        self.plan = stored.plan
        self._records = store.ticks(stored.run)
        self._next = next(self._records, None)

    @property
    def is_over(self) -> bool:
        """Whether there are no more ticks."""
        return self._next is None

    def tick(self) -> TickRecord:
        """Return the next tick; raises IndexError if there are no more ticks."""
        record = self._next
        if record is None:
            raise IndexError("the stored run has no more ticks")
        self._next = next(self._records, None)
        return record
