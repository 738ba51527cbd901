"""How much of a run is kept, and a kept run as a source of ticks."""

from __future__ import annotations

from paysim_gym._engine import EVENT_SCHEMA_VERSION
from paysim_gym.simulate.payment_outcomes import PaymentLog
from paysim_gym.simulate.records import DayReport, TickRecord
from paysim_gym.simulate.store import Store, StoredRun
from paysim_gym.simulate.store_schema import StoreError


class EndOfDayPersistence:
    """Keeps each day's figures and payments when it is over."""

    def __init__(self, store: Store, run: int) -> None:
        """Keep a run that has begun.

        Args:
            store: Where.
            run: Its number there.
        """
        self._store = store
        self._run = run
        self._payments = PaymentLog()

    def keep_tick(self, record: TickRecord) -> None:
        """Follow its payments."""
        self._payments.apply(record.events)

    def keep_day(self, report: DayReport) -> None:
        """Keep the day in one transaction."""
        self._store.keep_day(
            self._run, report, self._payments.take_ended(), self._payments.open(), self._take_ticks()
        )

    def _take_ticks(self) -> list[TickRecord]:
        """Ticks to be kept with the day."""
        return []


class FullReplayPersistence(EndOfDayPersistence):
    """Keeps each day's ticks and events as well, so that the run can be replayed."""

    def __init__(self, store: Store, run: int) -> None:
        """Keep a run that has begun.

        Args:
            store: Where.
            run: Its number there.
        """
        super().__init__(store, run)
        self._ticks: list[TickRecord] = []

    def keep_tick(self, record: TickRecord) -> None:
        """Follow its payments, and remember it for the end of the day."""
        super().keep_tick(record)
        self._ticks.append(record)

    def _take_ticks(self) -> list[TickRecord]:
        ticks, self._ticks = self._ticks, []
        return ticks


class StoredTicks:
    """The ticks of a run that a store has kept with full replay."""

    def __init__(self, store: Store, stored: StoredRun) -> None:
        """Start from the first one.

        Raises:
            StoreError: If the run was stored without its ticks, or with events of another schema version.
        """
        if not stored.is_full_replay:
            raise StoreError(
                f"run {stored.run} was kept without --full-replay: `paysim runs show` has its figures"
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
        """Whether there are no more."""
        return self._next is None

    def tick(self) -> TickRecord:
        """The next one.

        Raises:
            IndexError: If there are no more.
        """
        record = self._next
        if record is None:
            raise IndexError("the kept run is over")
        self._next = next(self._records, None)
        return record
