"""One simulation: a running system, its life cycle, and how it is written down.

Its methods compute, so they belong on a worker thread, and only one of them may run at a time; `registry`
sees to both.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from paysim_gym.orchestrator import Orchestrator
from paysim_gym.scenario import Scenario
from paysim_gym.server.problem_details import ServiceError, fit
from paysim_gym.server.schemas import SimulationSummary, Status
from paysim_gym.simulate.metrics import RunMetrics
from paysim_gym.simulate.records import TickRecord
from paysim_gym.simulate.statistics import Statistics

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class Origin(BaseModel):
    """What a simulation is made from; it never changes."""

    simulation_id: str
    name: str | None
    """Name of the scenario, if it has one."""
    created_at: datetime
    scenario: Scenario


class Progress(BaseModel):
    """How far a simulation has come."""

    tick: int
    state: str
    """What the engine saved, in base 64; nothing if the simulation has failed."""
    statistics: Statistics
    error: str | None


class Simulation:
    """A running system.

    Attributes:
        origin: What it is made from.
        tick: The tick to be played next.
        is_over: Whether the last tick of the last day has been played.
        error: Why it failed, if it has.
    """

    def __init__(self, origin: Origin, max_queue_depth: int) -> None:
        """Start at the scenario's first tick.

        Raises:
            ScenarioError: If the engine refuses the scenario.
            RuntimeError: If the engine breaks off.
        """
        self.origin = origin
        self.tick = 0
        self.is_over = False
        self.error: str | None = None
        self._max_queue_depth = max_queue_depth
        self._banks = [agent.id for agent in origin.scenario.agents]
        self._orchestrator = Orchestrator(origin.scenario, record_events=True)
        self._statistics = Statistics.of(self._banks)

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        if self.error is not None:
            return Status.FAILED
        if self.is_over:
            return Status.COMPLETED
        return Status.RUNNING if self.tick else Status.CREATED

    def summary(self) -> SimulationSummary:
        """It from outside; computes nothing."""
        scenario = self.origin.scenario
        return SimulationSummary(
            simulation_id=self.origin.simulation_id,
            status=self.status,
            scenario=self.origin.name,
            seed=scenario.seed,
            tick=self.tick,
            day=min(self.tick // scenario.ticks_per_day, scenario.num_days - 1),
            ticks_per_day=scenario.ticks_per_day,
            num_days=scenario.num_days,
            agents=self._banks,
            created_at=self.origin.created_at,
            error=self.error,
        )

    def play(self, ticks: int, seconds: float) -> list[dict[str, Any]]:
        """Play ticks until there are enough of them, the run is over or time is up; at least one.

        Returns:
            What `Orchestrator.tick` returned for each.

        Raises:
            ServiceError: 409 if the simulation is over or has failed, or fails now.
        """
        self._refuse_failed()
        if self.is_over:
            raise ServiceError(409, "the simulation is completed: its last tick has been played")
        return self._with_engine(lambda: self._play(ticks, time.monotonic() + seconds))

    def state(self) -> dict[str, Any]:
        """What `Orchestrator.get_state` returns.

        Raises:
            ServiceError: 409 if the simulation has failed.
        """
        return self._with_engine(self._orchestrator.get_state)

    def costs(self) -> dict[str, Any]:
        """Costs since the start of the run, in the form of `schemas.CostReport`.

        Raises:
            ServiceError: 409 if the simulation has failed.
        """
        metrics = self.metrics()
        return {
            "tick": self.tick,
            "total": metrics.cost,
            "components": metrics.costs,
            "agents": [{"id": own.bank, "total": own.cost, "components": own.costs} for own in metrics.banks],
        }

    def metrics(self) -> RunMetrics:
        """What the run has come to.

        Raises:
            ServiceError: 409 if the simulation has failed.
        """
        self._refuse_failed()
        return self._statistics.metrics()

    def progress(self) -> Progress:
        """How far it has come, for `restore`."""
        state = b"" if self.error else self._orchestrator.save_state()
        encoded = base64.b64encode(state).decode()
        return Progress(tick=self.tick, state=encoded, statistics=self._statistics, error=self.error)

    def restore(self, progress: Progress) -> None:
        """Go on from where another process left off; if that is not possible, the simulation has failed."""
        self.tick, self._statistics, self.error = progress.tick, progress.statistics, progress.error
        if self.error is None:
            try:
                self._orchestrator.restore_state(base64.b64decode(progress.state))
                self._note_place()
            except (ValueError, RuntimeError) as error:
                self.fail(f"its state could not be restored: {error}")

    def fail(self, reason: str) -> None:
        """End its life, if it has not ended yet."""
        if self.error is None:
            self.error = fit(reason)
            about = {"simulation_id": self.origin.simulation_id, "tick": self.tick}
            _log.error("simulation failed: %s", self.error, extra=about)

    def _play(self, ticks: int, until: float) -> list[dict[str, Any]]:
        outcomes: list[dict[str, Any]] = []
        while not outcomes or (len(outcomes) < ticks and not self.is_over and time.monotonic() < until):
            outcome = self._orchestrator.tick()
            self._note_place()
            self._count(outcome)
            outcomes.append(outcome)
        return outcomes

    def _count(self, outcome: dict[str, Any]) -> None:
        record = TickRecord(outcome, self._orchestrator.events())
        self._statistics.apply(record, self.tick)
        if record.ends_day:
            self._statistics.close_day(is_whole=True)
        if outcome["queue_depth"] > self._max_queue_depth:
            raise RuntimeError(
                f"{outcome['queue_depth']} payments wait at tick {outcome['tick']}; "
                f"this service keeps at most {self._max_queue_depth}"
            )

    def _note_place(self) -> None:
        self.is_over = self._orchestrator.is_over
        self.tick = self._orchestrator.next_tick

    def _with_engine(self, work: Callable[[], Result]) -> Result:
        self._refuse_failed()
        try:
            return work()
        except BaseException as error:  # a panic of the engine outside its own guard is no Exception
            self.fail(str(error) or type(error).__name__)
            raise ServiceError(409, f"the simulation has failed: {self.error}") from error

    def _refuse_failed(self) -> None:
        if self.error is not None:
            raise ServiceError(409, f"the simulation has failed: {self.error}")
