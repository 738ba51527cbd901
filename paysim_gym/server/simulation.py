"""One simulation: a running system, its life cycle and its checkpoints.

Methods that compute must be called from a worker thread, one at a time; `registry` takes care of both.
Status codes in docstrings are those of the `ServiceError` raised.
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
from paysim_gym.server.problem_details import ServiceError, clean_text
from paysim_gym.server.schemas import SimulationSummary, Status
from paysim_gym.simulate.accumulator import MetricsAccumulator
from paysim_gym.simulate.metrics import RunMetrics
from paysim_gym.simulate.records import TickRecord

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class SimulationSpec(BaseModel):
    """The immutable definition of a simulation."""

    simulation_id: str
    name: str | None
    """Name of the scenario, if it has one."""
    created_at: datetime
    scenario: Scenario


class Checkpoint(BaseModel):
    """The mutable state of a simulation."""

    tick: int
    state: str
    """Engine state in base 64; empty if the simulation has failed."""
    metrics: MetricsAccumulator
    error: str | None


class Simulation:
    """A running system.

    Attributes:
        spec: Definition of the simulation.
        tick: The next tick to play.
        is_over: Whether the last tick of the last day has been played.
        error: Why the simulation failed; None if it has not.
    """

    def __init__(self, spec: SimulationSpec, max_queue_depth: int) -> None:
        """Start before the first tick, or raise a ScenarioError or RuntimeError of the engine."""
        self.spec = spec
        self.tick = 0
        self.is_over = False
        self.error: str | None = None
        self._max_queue_depth = max_queue_depth
        self._banks = [agent.id for agent in spec.scenario.agents]
        self._orchestrator = Orchestrator(spec.scenario, record_events=True)
        self._metrics = MetricsAccumulator.for_banks(self._banks)

    @property
    def status(self) -> Status:
        """Status in the life cycle."""
        if self.error is not None:
            return Status.FAILED
        if self.is_over:
            return Status.COMPLETED
        return Status.RUNNING if self.tick else Status.CREATED

    def summary(self) -> SimulationSummary:
        """Return the summary, without any computation."""
        scenario = self.spec.scenario
        return SimulationSummary(
            simulation_id=self.spec.simulation_id,
            status=self.status,
            scenario=self.spec.name,
            seed=scenario.seed,
            tick=self.tick,
            day=min(self.tick // scenario.ticks_per_day, scenario.num_days - 1),
            ticks_per_day=scenario.ticks_per_day,
            num_days=scenario.num_days,
            agents=self._banks,
            created_at=self.spec.created_at,
            error=self.error,
        )

    def play(self, ticks: int, seconds: float) -> list[dict[str, Any]]:
        """Play up to `ticks` ticks within the time; at least one. Returns their outcomes.

        Raises:
            ServiceError: 409 if the simulation is completed, has failed or fails now.
        """
        self._refuse_failed()
        if self.is_over:
            raise ServiceError(409, "the simulation is completed: its last tick has been played")
        return self._with_engine(lambda: self._play(ticks, time.monotonic() + seconds))

    def state(self) -> dict[str, Any]:
        """Return the state, as `Orchestrator.get_state` does; 409 if the simulation has failed."""
        return self._with_engine(self._orchestrator.get_state)

    def costs(self) -> dict[str, Any]:
        """Return the costs so far as a `schemas.CostReport`; 409 if the simulation has failed."""
        metrics = self.metrics()
        return {
            "tick": self.tick,
            "total": metrics.cost,
            "components": metrics.costs,
            "agents": [
                {"id": name, "total": bank.cost, "components": bank.costs}
                for name, bank in metrics.agent_metrics.items()
            ],
        }

    def metrics(self) -> RunMetrics:
        """Compute the metrics of the run so far; 409 if the simulation has failed."""
        self._refuse_failed()
        return self._metrics.metrics()

    def checkpoint(self) -> Checkpoint:
        """Return the state for `restore`."""
        state = b"" if self.error else self._orchestrator.save_state()
        encoded = base64.b64encode(state).decode()
        return Checkpoint(tick=self.tick, state=encoded, metrics=self._metrics, error=self.error)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint; the simulation fails if that is not possible."""
        self.tick, self._metrics, self.error = checkpoint.tick, checkpoint.metrics, checkpoint.error
        if self.error is None:
            try:
                self._orchestrator.restore_state(base64.b64decode(checkpoint.state))
                self._update_position()
            except (ValueError, RuntimeError) as error:
                self.fail(f"its state could not be restored: {error}")

    def fail(self, reason: str) -> None:
        """Mark the simulation as failed, unless it already is."""
        if self.error is None:
            self.error = clean_text(reason)
            about = {"simulation_id": self.spec.simulation_id, "tick": self.tick}
            _log.error("simulation failed: %s", self.error, extra=about)

    def _play(self, ticks: int, until: float) -> list[dict[str, Any]]:
        outcomes: list[dict[str, Any]] = []
        while not outcomes or (len(outcomes) < ticks and not self.is_over and time.monotonic() < until):
            outcome = self._orchestrator.tick()
            self._update_position()
            self._add_metrics(outcome)
            outcomes.append(outcome)
        return outcomes

    def _add_metrics(self, outcome: dict[str, Any]) -> None:
        record = TickRecord(outcome, self._orchestrator.events())
        self._metrics.apply(record, self.tick)
        if record.ends_day:
            self._metrics.close_day(is_complete=True)
        if outcome["queue_depth"] > self._max_queue_depth:
            raise RuntimeError(
                f"{outcome['queue_depth']} payments are unsettled at tick {outcome['tick']}; "
                f"this service allows at most {self._max_queue_depth}"
            )

    def _update_position(self) -> None:
        self.is_over = self._orchestrator.is_over
        self.tick = self._orchestrator.next_tick

    def _with_engine(self, work: Callable[[], Result]) -> Result:
        self._refuse_failed()
        try:
            return work()
        except BaseException as error:  # an engine panic outside its guard is not an Exception
            self.fail(str(error) or type(error).__name__)
            raise ServiceError(409, f"the simulation has failed: {self.error}") from error

    def _refuse_failed(self) -> None:
        if self.error is not None:
            raise ServiceError(409, f"the simulation has failed: {self.error}")
