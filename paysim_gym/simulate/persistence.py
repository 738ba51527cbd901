"""Writes runs to a store and reads them back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from paysim_gym._engine import EVENT_SCHEMA_VERSION
from paysim_gym.scenario import Scenario
from paysim_gym.simulate.event_replay import EventReplay
from paysim_gym.simulate.output import EventFilter
from paysim_gym.simulate.payment_outcomes import PaymentLog
from paysim_gym.simulate.records import DayReport, RunPlan, TickRecord
from paysim_gym.simulate.store import Status, Store, StoredRun
from paysim_gym.simulate.store_schema import StoreError


class PersistenceManager:
    """Stores a run: each day at its end, and on request its ticks.

    Attributes:
        run: Number of the run in the store; None before it begins.
        full_replay: Whether ticks and events are stored too, so that the run can be replayed.
    """

    def __init__(
        self,
        database: Store,
        simulation_id: str,
        full_replay: bool = False,
        *,
        mode: str = "normal",
        event_filter: EventFilter | None = None,
    ) -> None:
        """Prepare to store a run.

        Args:
            database: The store.
            simulation_id: Id of the run, unique in the store.
            full_replay: Whether to store ticks and events too.
            mode: Output mode, which a replay repeats.
            event_filter: Filter of the output, which a replay repeats.
        """
        self.run: int | None = None
        self._definition: str | None = None
        self.full_replay = full_replay
        self._store = database
        self._simulation_id = simulation_id
        self._mode = mode
        self._filter = event_filter or EventFilter()
        self._payments = PaymentLog()
        self._ticks: list[TickRecord] = []

    def begin(self, plan: RunPlan, scenario: Scenario) -> None:
        """Add the run to the store; raises StoreError if its id exists."""
        self._definition = scenario.model_dump_json()
        self.run = self._store.begin_run(
            plan,
            scenario,
            simulation_id=self._simulation_id,
            mode=self._mode,
            event_filter=self._filter,
        )

    def save_tick(self, record: TickRecord) -> None:
        """Follow the payments of a tick; keep it for a replay."""
        self._payments.apply(record.events)
        if self.full_replay:
            self._ticks.append(record)

    def save_day(self, report: DayReport) -> None:
        """Store a day in one transaction."""
        ticks, self._ticks = self._ticks, []
        self._store.save_day(self._begun(), report, self._payments.take_ended(), self._payments.open(), ticks)

    def persist_final_metadata(
        self,
        config_path: str | os.PathLike[str],
        config_dict: Mapping[str, Any],
        *,
        status: Status = "completed",
    ) -> None:
        """Store how the run ended, and the name of its scenario.

        Args:
            config_path: Name or path of the scenario.
            config_dict: The scenario that the run played.
            status: How the run ended.

        Raises:
            ValueError: If the scenario is invalid.
            StoreError: If it is not the scenario of the run.
        """
        run, definition = self._begun(), Scenario.model_validate(config_dict).model_dump_json()
        if definition != self._definition:
            raise StoreError("config_dict: must be the scenario of the run")
        self._store.end_run(run, status, name=os.fspath(config_path))

    def _begun(self) -> int:
        if self.run is None:
            raise StoreError(f"the run {self._simulation_id!r} has not begun")
        return self.run


def stored_ticks(store: Store, stored: StoredRun) -> Iterator[TickRecord]:
    """Yield the ticks of a run stored with full replay.

    Raises:
        StoreError: At once, if it was stored without them, or by a version with other events.
    """
    if not stored.plan.full_replay:
        raise StoreError(
            f"run {stored.run} was stored without --full-replay; `paysim runs show` prints its metrics"
        )
    if stored.event_schema_version != EVENT_SCHEMA_VERSION:
        raise StoreError(
            f"run {stored.run} has events of schema version {stored.event_schema_version}; "
            f"this package reads version {EVENT_SCHEMA_VERSION}"
        )
    return store.ticks(stored.run)


class ReplayedOrchestrator:
    """A stored run that is read like a running `Orchestrator`.

    Attributes:
        scenario: The scenario that the run played.
        plan: Plan of the run.
    """

    def __init__(self, store: Store, stored: StoredRun) -> None:
        """Start before the first tick; raises StoreError as `stored_ticks` does."""
        self.scenario = Scenario.model_validate_json(stored.definition)
        self.plan = stored.plan
        self._records = stored_ticks(store, stored)
        self._next = next(self._records, None)
        self._replay = EventReplay(stored.plan.rails)
        self._events: list[dict[str, Any]] = []
        self._next_tick = 0

    @property
    def is_over(self) -> bool:
        """Whether there are no more ticks."""
        return self._next is None

    @property
    def next_tick(self) -> int:
        """The tick that followed the last one; an early close skips some."""
        return self._next_tick

    def start_recording(self) -> None:
        """Do nothing: the events of a stored run are recorded."""

    def tick(self) -> dict[str, Any]:
        """Return the outcome of the next tick; raises IndexError without one."""
        record = self._next
        if record is None:
            raise IndexError("the stored run has no more ticks")
        for event in record.events:
            self._replay.apply(event)
        self._events += map(dict, record.events)
        first_of_next_day = (record.outcome["day"] + 1) * self.plan.ticks_per_day
        self._next_tick = first_of_next_day if record.ends_day else record.tick + 1
        self._next = next(self._records, None)
        return dict(record.outcome)

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the ticks since the last call."""
        events, self._events = self._events, []
        return events

    def get_state(self) -> dict[str, Any]:
        """Return the state after the last tick, as `Orchestrator.get_state` does."""
        day = min(self._next_tick // self.plan.ticks_per_day, self.plan.num_days - 1)
        return {"tick": self._next_tick, "day": day, "agents": self._replay.agents()}
