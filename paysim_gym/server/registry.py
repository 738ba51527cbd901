"""All simulations of the service: who may touch which, when, and where it computes.

The actions on one simulation wait for each other in the order in which they came; different simulations play
at the same time. Whatever computes does so on a worker thread, and the engine plays without the GIL there.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from paysim_gym.scenario import Scenario
from paysim_gym.server.problem_details import ServiceError
from paysim_gym.server.saved_simulations import FolderStore
from paysim_gym.server.schemas import CostComponents, RunResult, SimulationSummary, StoppedBy, TickResult
from paysim_gym.server.settings import Settings
from paysim_gym.server.simulation import Origin, Simulation
from paysim_gym.simulate.metrics import summed_costs

Result = TypeVar("Result")

_SLICE_SECONDS = 0.05
"""How long a run keeps a worker thread before others get their turn."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Entry:
    """A simulation, and who is at it.

    `turn` is held by an action from its first tick to its last; `engine` by whoever reads or plays, one slice
    of a run at a time, so that a long run does not keep readers waiting.
    """

    simulation: Simulation
    touched: float
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    engine: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_deleted: bool = False


class Registry:
    """Makes, finds, plays and deletes simulations."""

    def __init__(self, settings: Settings) -> None:
        """Open it, with nothing in it yet.

        Raises:
            OSError: If the store's folder cannot be made.
        """
        self._settings = settings
        self._entries: dict[str, _Entry] = {}
        self._coming = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closing = False
        self._store = FolderStore(settings.store) if settings.store else None
        self._workers = ThreadPoolExecutor(settings.threads, thread_name_prefix="simulation")
        self._readers = ThreadPoolExecutor(settings.threads, thread_name_prefix="reader")

    def __len__(self) -> int:
        """How many simulations there are."""
        return len(self._entries)

    async def open(self) -> None:
        """Take up what the store has kept."""
        if self._store is None:
            return
        for simulation in await self._work(self._store.load, self._settings.max_queue_depth):
            self._entries[simulation.origin.simulation_id] = _Entry(simulation, time.monotonic())
        _log.info("simulations restored", extra={"count": len(self._entries)})

    def stop_runs(self) -> None:
        """Let runs of ticks end at the next chance."""
        self._is_closing = True

    async def close(self) -> None:
        """Wait for what is being computed; every simulation is stored by then, if there is a store."""
        self.stop_runs()
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._workers.shutdown()
        self._readers.shutdown()

    async def prepare(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function that is about no simulation on a thread that none plays on.

        A large body of YAML takes seconds to read; ticks must not wait for that.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *arguments)

    async def create(self, scenario: Scenario, name: str | None) -> str:
        """Make a simulation.

        Raises:
            ServiceError: 429 if there are too many, 422 if the engine refuses the scenario, 503 if it cannot
                be stored.
        """
        self._expire()
        if len(self._entries) + self._coming >= self._settings.max_simulations:
            most = self._settings.max_simulations
            raise ServiceError(429, f"there are {most} simulations, no more are allowed; delete some")
        self._coming += 1
        return await self._finish(self._create(scenario, name))

    def summaries(self, limit: int, offset: int = 0) -> list[SimulationSummary]:
        """Simulations from outside, the oldest first: at most `limit` of them from `offset` on."""
        entries = islice(self._entries.values(), offset, offset + limit)
        return [entry.simulation.summary() for entry in entries]

    def summary(self, simulation_id: str) -> SimulationSummary:
        """A simulation from outside.

        Raises:
            ServiceError: 404 if there is none of this id.
        """
        return self._find(simulation_id).simulation.summary()

    async def tick(self, simulation_id: str) -> dict[str, Any]:
        """Play one tick.

        Raises:
            ServiceError: 404 if there is no such simulation, 409 if it cannot play.
        """
        outcomes, _ = await self._finish(self._run(self._find(simulation_id), 1))
        return outcomes[0]

    async def run(self, simulation_id: str, ticks: int) -> RunResult:
        """Play many ticks.

        Raises:
            ServiceError: 404 if there is no such simulation, 409 if it cannot play, 422 for too many ticks.
        """
        entry = self._find(simulation_id)
        if ticks > (most := self._settings.max_ticks_per_run):
            raise ServiceError(422, f"ticks = {ticks}: must be at most {most} here")
        outcomes, stopped_by = await self._finish(self._run(entry, ticks))
        return _run_result(outcomes, stopped_by, entry.simulation)

    async def read(self, simulation_id: str, reading: Callable[[Simulation], Result]) -> Result:
        """Look at a simulation, between two ticks.

        Raises:
            ServiceError: 404 if there is no such simulation, and what `reading` raises.
        """
        return await self._finish(self._read(self._find(simulation_id), reading))

    async def delete(self, simulation_id: str) -> None:
        """Delete a simulation; a run that it is in ends at the next chance.

        Raises:
            ServiceError: 404 if there is none of this id.
        """
        self._find(simulation_id)
        await self._finish(self._forget(self._entries.pop(simulation_id)))

    async def expire_forever(self) -> None:
        """Delete what nobody has touched for too long, again and again; at once done if all is kept."""
        while self._settings.idle_seconds:
            await asyncio.sleep(min(30.0, self._settings.idle_seconds / 4))
            self._expire()

    def _expire(self) -> None:
        if not self._settings.idle_seconds:
            return
        oldest = time.monotonic() - self._settings.idle_seconds
        for simulation_id, entry in list(self._entries.items()):
            if entry.touched < oldest and not entry.turn.locked() and not entry.engine.locked():
                _log.info("simulation expired", extra={"simulation_id": simulation_id})
                self._start(self._forget(self._entries.pop(simulation_id)))

    def _find(self, simulation_id: str) -> _Entry:
        entry = self._entries.get(simulation_id)
        if entry is None:
            raise ServiceError(404, "there is no simulation of this id")
        entry.touched = time.monotonic()
        return entry

    async def _create(self, scenario: Scenario, name: str | None) -> str:
        simulation_id = secrets.token_hex(16)
        origin = Origin(
            simulation_id=simulation_id, name=name, created_at=datetime.now(UTC), scenario=scenario
        )
        try:
            simulation = await self._work(self._make, origin)
            self._entries[simulation_id] = _Entry(simulation, time.monotonic())
        finally:
            self._coming -= 1
        _log.info("simulation created", extra={"simulation_id": simulation_id, "scenario": name})
        return simulation_id

    def _make(self, origin: Origin) -> Simulation:
        try:
            simulation = Simulation(origin, self._settings.max_queue_depth)
            if self._store is not None:
                self._store.add(simulation)
        except (ValueError, RuntimeError) as error:
            raise ServiceError(422, f"the engine refuses the scenario: {error}") from None
        except OSError as error:
            _log.error("simulation not stored: %s", error, extra={"simulation_id": origin.simulation_id})
            raise ServiceError(503, "the simulation could not be stored") from None
        return simulation

    async def _run(self, entry: _Entry, ticks: int) -> tuple[list[dict[str, Any]], StoppedBy]:
        outcomes: list[dict[str, Any]] = []
        stopped_by: StoppedBy | None = None
        async with entry.turn:
            until = time.monotonic() + self._settings.max_run_seconds
            while stopped_by is None:
                async with entry.engine:
                    _refuse_deleted(entry)
                    outcomes += await self._work(self._play, entry.simulation, ticks - len(outcomes))
                stopped_by = self._reason_to_stop(entry, ticks - len(outcomes), until)
        entry.touched = time.monotonic()
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
        """Play a slice of a run, and store what has become of it."""
        try:
            return simulation.play(ticks, _SLICE_SECONDS)
        finally:
            self._save(simulation)

    def _save(self, simulation: Simulation) -> None:
        """Store a simulation; what cannot be stored must not seem to have happened, and so has failed."""
        if self._store is None:
            return
        try:
            self._store.save(simulation)
        except OSError as error:
            simulation.fail(f"its state could not be stored: {error.strerror}")
            raise ServiceError(409, f"the simulation has failed: {simulation.error}") from None

    async def _read(self, entry: _Entry, reading: Callable[[Simulation], Result]) -> Result:
        async with entry.engine:
            _refuse_deleted(entry)
            return await self._work(reading, entry.simulation)

    async def _forget(self, entry: _Entry) -> None:
        entry.is_deleted = True
        simulation_id = entry.simulation.origin.simulation_id
        async with entry.engine:
            if self._store is not None:
                try:
                    await self._work(self._store.remove, simulation_id)
                except OSError as error:
                    _log.error("simulation not removed: %s", error, extra={"simulation_id": simulation_id})
        _log.info("simulation deleted", extra={"simulation_id": simulation_id})

    async def _work(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function on a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *arguments)

    async def _finish(self, action: Coroutine[Any, Any, Result]) -> Result:
        """Carry an action through even if whoever asked for it goes away: a lock must outlast its thread."""
        return await asyncio.shield(self._start(action))

    def _start(self, action: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(action)
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever asked may be gone


def _refuse_deleted(entry: _Entry) -> None:
    if entry.is_deleted:
        raise ServiceError(404, "there is no simulation of this id")


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
        costs=CostComponents(**summed_costs(outcome["costs"] for outcome in outcomes)),
        last_tick=TickResult(**outcomes[-1]),
    )
