"""Registry of all simulations: creation, lookup, locking and worker threads.

Requests to one simulation are processed in the order of their arrival; different simulations run in parallel.
Computation happens on worker threads, where the engine releases the GIL. Status codes in docstrings are those
of the `ServiceError` raised.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from paysim_gym.scenario import Scenario
from paysim_gym.server.problem_details import ServiceError
from paysim_gym.server.saved_simulations import FolderStore
from paysim_gym.server.schemas import RunResult, SimulationSummary, StoppedBy
from paysim_gym.server.settings import Settings
from paysim_gym.server.simulation import Simulation, SimulationSpec
from paysim_gym.simulate.metrics import TickResult, sum_costs

Result = TypeVar("Result")

NOT_FOUND = "Simulation not found"
"""Detail of the error for an unknown or deleted simulation."""

_SLICE_SECONDS = 0.05
"""Longest time that a run occupies a worker thread before it yields."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Entry:
    """A simulation and its locks.

    A request that plays holds `play_lock` from its first tick to its last. `engine_lock` is held for one
    slice of a run, or for one read, so that a long run does not block readers.
    """

    simulation: Simulation
    last_used: float
    play_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    engine_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_deleted: bool = False


class Registry:
    """Creates, finds, plays and deletes simulations."""

    def __init__(self, settings: Settings) -> None:
        """Create an empty registry; raises OSError if the store's folder cannot be created."""
        self._settings = settings
        self._entries: dict[str, _Entry] = {}
        self._pending = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closing = False
        self._store = FolderStore(settings.store) if settings.store else None
        self._start_threads()

    def __len__(self) -> int:
        """Return the number of simulations."""
        return len(self._entries)

    async def open(self) -> None:
        """Load the simulations of the store; without one, keep those in memory."""
        self._is_closing = False
        if self._store is None:
            # Locks belong to the event loop that they were contended in.
            self._entries = {
                key: _Entry(entry.simulation, entry.last_used) for key, entry in self._entries.items()
            }
            return
        self._entries.clear()
        for simulation in await self._work(self._store.load, self._settings.max_queue_depth):
            self._entries[simulation.spec.simulation_id] = _Entry(simulation, time.monotonic())
        _log.info("simulations restored", extra={"count": len(self._entries)})

    def stop_runs(self) -> None:
        """Stop all runs after their present slice."""
        self._is_closing = True

    async def close(self) -> None:
        """Wait until all computations are finished and stored; `open` may follow."""
        self.stop_runs()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._workers.shutdown()
        self._readers.shutdown()
        self._start_threads()

    async def run_in_reader(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function on a thread that plays no simulation.

        Reading a large YAML body takes seconds and must not delay ticks.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)

    async def create(self, scenario: Scenario, name: str | None) -> str:
        """Create a simulation.

        Raises:
            ServiceError: 429 if there are too many simulations, 422 if the engine refuses the scenario, 503
                if the simulation cannot be stored.
        """
        self._expire()
        if len(self._entries) + self._pending >= self._settings.max_simulations:
            limit = self._settings.max_simulations
            raise ServiceError(429, f"the limit of {limit} simulations is reached; delete some first")
        self._pending += 1
        return await self._finish(self._create(scenario, name))

    def summaries(self, limit: int, offset: int = 0) -> list[SimulationSummary]:
        """Return at most `limit` summaries, oldest simulation first, starting at `offset`."""
        entries = islice(self._entries.values(), offset, offset + limit)
        return [entry.simulation.summary() for entry in entries]

    def summary(self, simulation_id: str) -> SimulationSummary:
        """Return the summary of a simulation; 404 if it is unknown."""
        return self._find(simulation_id).simulation.summary()

    async def tick(self, simulation_id: str) -> dict[str, Any]:
        """Play one tick; 404 if the simulation is unknown, 409 if it cannot play."""
        outcomes, _ = await self._finish(self._run(self._find(simulation_id), 1))
        return outcomes[0]

    async def run(self, simulation_id: str, ticks: int) -> RunResult:
        """Play several ticks; fails as `tick` does, and with 422 for too many ticks."""
        entry = self._find(simulation_id)
        if ticks > (limit := self._settings.max_ticks_per_run):
            raise ServiceError(422, f"ticks = {ticks}: must be at most {limit} for this service")
        outcomes, stopped_by = await self._finish(self._run(entry, ticks))
        return _run_result(outcomes, stopped_by, entry.simulation)

    async def read(self, simulation_id: str, function: Callable[[Simulation], Result]) -> Result:
        """Call a function on a simulation between two ticks; 404 if it is unknown."""
        return await self._finish(self._read(self._find(simulation_id), function))

    async def delete(self, simulation_id: str) -> None:
        """Delete a simulation (404 if unknown); a run stops after its present slice."""
        self._find(simulation_id)
        await self._finish(self._delete(self._entries.pop(simulation_id)))

    async def expire_forever(self) -> None:
        """Delete idle simulations periodically; return at once if none expire."""
        while self._settings.idle_seconds:
            await asyncio.sleep(min(30.0, self._settings.idle_seconds / 4))
            self._expire()

    def _start_threads(self) -> None:
        threads = self._settings.threads
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="simulation")
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="reader")

    def _expire(self) -> None:
        if not self._settings.idle_seconds:
            return
        oldest = time.monotonic() - self._settings.idle_seconds
        for simulation_id, entry in list(self._entries.items()):
            if entry.last_used < oldest and not entry.play_lock.locked() and not entry.engine_lock.locked():
                _log.info("Simulation expired", extra={"simulation_id": simulation_id})
                self._start(self._delete(self._entries.pop(simulation_id)))

    def _find(self, simulation_id: str) -> _Entry:
        entry = self._entries.get(simulation_id)
        if entry is None:
            raise ServiceError(404, NOT_FOUND)
        entry.last_used = time.monotonic()
        return entry

    async def _create(self, scenario: Scenario, name: str | None) -> str:
        simulation_id = str(uuid.uuid4())
        spec = SimulationSpec(
            simulation_id=simulation_id, name=name, created_at=datetime.now(UTC), scenario=scenario
        )
        try:
            simulation = await self._work(self._build, spec)
            self._entries[simulation_id] = _Entry(simulation, time.monotonic())
        finally:
            self._pending -= 1
        about = {
            "simulation_id": simulation_id,
            "scenario": name,
            "ticks_per_day": scenario.ticks_per_day,
            "num_agents": len(scenario.agents),
            "seed": scenario.seed,
        }
        _log.info("Simulation created", extra=about)
        return simulation_id

    def _build(self, spec: SimulationSpec) -> Simulation:
        try:
            simulation = Simulation(spec, self._settings.max_queue_depth)
            if self._store is not None:
                self._store.add(simulation)
        except (ValueError, RuntimeError) as error:
            raise ServiceError(422, f"the engine refuses the scenario: {error}") from None
        except OSError as error:
            _log.error("simulation not stored: %s", error, extra={"simulation_id": spec.simulation_id})
            raise ServiceError(503, "the simulation could not be stored") from None
        return simulation

    async def _run(self, entry: _Entry, ticks: int) -> tuple[list[dict[str, Any]], StoppedBy]:
        outcomes: list[dict[str, Any]] = []
        stopped_by: StoppedBy | None = None
        async with entry.play_lock:
            until = time.monotonic() + self._settings.max_run_seconds
            while stopped_by is None:
                async with entry.engine_lock:
                    _refuse_deleted(entry)
                    outcomes += await self._work(self._play, entry.simulation, ticks - len(outcomes))
                stopped_by = self._reason_to_stop(entry, ticks - len(outcomes), until)
        entry.last_used = time.monotonic()
        return outcomes, stopped_by

    def _reason_to_stop(self, entry: _Entry, left: int, until: float) -> StoppedBy | None:
        if left == 0:
            return StoppedBy.TICKS
        if entry.simulation.is_over:
            return StoppedBy.END
        if entry.is_deleted:
            return StoppedBy.DELETED
        if self._is_closing:
            return StoppedBy.SHUTDOWN
        return StoppedBy.TIME if time.monotonic() >= until else None

    def _play(self, simulation: Simulation, ticks: int) -> list[dict[str, Any]]:
        """Play a slice of a run and store its checkpoint."""
        try:
            return simulation.play(ticks, _SLICE_SECONDS)
        finally:
            self._save(simulation)

    def _save(self, simulation: Simulation) -> None:
        """Store a checkpoint; if that fails, the simulation fails too.

        Otherwise a restart would revert ticks that a client has seen.
        """
        if self._store is None:
            return
        try:
            self._store.save(simulation)
        except OSError as error:
            simulation.fail(f"its state could not be stored: {error.strerror}")
            raise ServiceError(409, f"the simulation has failed: {simulation.error}") from None

    async def _read(self, entry: _Entry, function: Callable[[Simulation], Result]) -> Result:
        async with entry.engine_lock:
            _refuse_deleted(entry)
            return await self._work(function, entry.simulation)

    async def _delete(self, entry: _Entry) -> None:
        entry.is_deleted = True
        simulation_id = entry.simulation.spec.simulation_id
        async with entry.engine_lock:
            if self._store is not None:
                try:
                    await self._work(self._store.remove, simulation_id)
                except OSError as error:
                    _log.error("simulation not removed: %s", error, extra={"simulation_id": simulation_id})
        _log.info("Simulation deleted", extra={"simulation_id": simulation_id})

    async def _work(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function on a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *arguments)

    async def _finish(self, action: Coroutine[Any, Any, Result]) -> Result:
        """Complete an action even if its client disconnects: a lock must outlast its thread."""
        return await asyncio.shield(self._start(action))

    def _start(self, action: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(action)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved here, because the client may have disconnected


def _refuse_deleted(entry: _Entry) -> None:
    if entry.is_deleted:
        raise ServiceError(404, NOT_FOUND)


def _run_result(outcomes: list[dict[str, Any]], stopped_by: StoppedBy, simulation: Simulation) -> RunResult:
    def total(name: str) -> int:
        return sum(outcome[name] for outcome in outcomes)

    return RunResult(
        ticks_played=len(outcomes),
        stopped_by=stopped_by,
        status=simulation.status,
        arrivals=total("arrivals"),
        settlements=total("settlements"),
        dropped=total("dropped"),
        settled_value=total("settled_value"),
        costs=sum_costs(outcome["costs"] for outcome in outcomes),
        last_tick=TickResult(**outcomes[-1]),
    )
