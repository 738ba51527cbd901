"""Bodies of requests and responses, as OpenAPI describes them; money in integer cents."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from paysim_gym.scenario import Scenario
from paysim_gym.scenario.field_limits import IntRange
from paysim_gym.server.problem_details import FieldProblem
from paysim_gym.simulate.metrics import Costs, TickResult

Item = TypeVar("Item")


class Body(BaseModel):
    """Base of bodies; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Status(StrEnum):
    """Status of a simulation."""

    CREATED = "created"
    """No tick has been played."""
    RUNNING = "running"
    """Some ticks have been played."""
    COMPLETED = "completed"
    """The last tick of the last day has been played."""
    FAILED = "failed"
    """The simulation has failed and can only be deleted."""


class Health(Body):
    """Status of the service."""

    status: str = Field(examples=["ok"])
    """Always `ok`."""
    version: str = Field(examples=["0.1.0"])
    """Version of the package."""
    event_schema_version: int = Field(examples=[2])
    """Version of the event schema, see docs/events.md."""
    simulations: int = Field(examples=[3])
    """Number of simulations."""


class NamedScenario(Body):
    """A scenario, or its name, with an optional seed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"scenario": "two_bank", "seed": 7}]})

    scenario: str | Scenario
    """A name that `GET /api/scenarios` lists, or a scenario."""
    seed: Annotated[int, IntRange(0, 2**64 - 1)] | None = None
    """Replaces the scenario's own `seed`."""


class Created(Body):
    """A new simulation."""

    simulation_id: str = Field(examples=["0f9b4c1d-6f0e-4c77-a2d0-9d64c3a1b8e5"])
    """Unguessable simulation id."""


class Deleted(Body):
    """A deleted simulation."""

    status: Literal["deleted"]
    """Always `deleted`."""


class SimulationSummary(Body):
    """Summary of a simulation."""

    simulation_id: str = Field(examples=["0f9b4c1d-6f0e-4c77-a2d0-9d64c3a1b8e5"])
    """Simulation id."""
    status: Status
    """Status of the simulation."""
    scenario: str | None = Field(examples=["two_bank"])
    """Name of the scenario; null if a client sent the scenario itself."""
    seed: int = Field(examples=[7])
    """Seed of the run."""
    tick: int = Field(examples=[12])
    """The next tick to play."""
    day: int = Field(examples=[0])
    """Day of that tick; the last day once the run is completed."""
    ticks_per_day: int = Field(examples=[48])
    """Ticks in a day."""
    num_days: int = Field(examples=[1])
    """Days in the run."""
    agents: list[str] = Field(examples=[["BANK_A", "BANK_B"]])
    """Ids of the banks."""
    created_at: datetime
    """Time of creation."""
    error: str | None = None
    """Why the simulation failed."""


class Page(Body, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    """At most `limit` items, starting at `offset`."""
    total: int = Field(examples=[1])
    """Number of items in the whole list."""
    limit: int = Field(examples=[50])
    """The requested limit."""
    offset: int = Field(examples=[0])
    """The requested offset."""


class RunRequest(Body):
    """Number of ticks to play."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ticks": 10}]})

    ticks: Annotated[int, IntRange(1, 10**9, "ticks")]
    """Number of ticks; fewer are played if the last day ends or the time limit of a request is reached."""


class StoppedBy(StrEnum):
    """Why a request stopped playing."""

    TICKS = "ticks"
    """All requested ticks have been played."""
    END = "end"
    """The last tick of the last day has been played."""
    TIME = "time"
    """The time limit of a request was reached; send another request to continue."""
    SHUTDOWN = "shutdown"
    """The service is shutting down."""
    DELETED = "deleted"
    """The simulation was deleted."""


class RunResult(Body):
    """The outcome of several ticks."""

    ticks_played: int
    """Number of ticks played."""
    stopped_by: StoppedBy
    """Why no more were played."""
    status: Status
    """Status of the simulation."""
    arrivals: int
    """Payment orders that arrived."""
    settlements: int
    """Payments that settled; each part of a split payment counts."""
    dropped: int
    """Payments that were cancelled."""
    settled_value: int
    """Value settled, in cents."""
    costs: Costs
    """Costs of all banks in these ticks, in cents by component."""
    last_tick: TickResult | None
    """The last tick played."""


class Payment(Body):
    """An unsettled payment."""

    id: int
    """Unique in its run."""
    parent: int | None
    """The payment that this one is a part of."""
    sender: str
    """Paying bank."""
    receiver: str
    """Receiving bank."""
    amount: int
    """Amount in cents."""
    arrival_tick: int
    """Tick in which the order arrived."""
    deadline_tick: int
    """Last tick on time."""
    priority: int
    """Priority, 0 to 10."""
    divisible: bool
    """Whether the payment may be split."""
    rail: str
    """Rail of the payment."""
    is_overdue: bool
    """Whether its deadline has passed."""


class BankState(Body):
    """Present state of a bank."""

    id: str
    """Id of the bank."""
    balance: int
    """Balance in cents; negative if overdrawn."""
    credit_limit: int
    """Credit limit in cents, without credit on collateral."""
    liquidity: int
    """Balance plus unused credit, in cents."""
    collateral: int
    """Value of the pledged assets, in cents."""
    pool_committed: int
    """Liquidity committed from the pool, in cents."""
    internal_queue: list[Payment]
    """Payments that the bank has not released."""
    central_queue: list[Payment]
    """Released payments that have not settled, rail by rail."""
    costs: Costs
    """Costs since the start of the run, in cents by component."""


class State(Body):
    """Present state of the system."""

    tick: int
    """The next tick to play."""
    day: int
    """Day of that tick; the last day once the run is completed."""
    agents: list[BankState]
    """The banks, in scenario order."""


class BankCosts(Body):
    """Costs of a bank since the start of the run."""

    id: str
    """Id of the bank."""
    total: int
    """Total in cents."""
    components: Costs
    """Cents by component."""


class CostReport(Body):
    """Costs since the start of the run."""

    tick: int
    """The next tick to play."""
    total: int
    """Total of all banks in cents."""
    components: Costs
    """Cents of all banks by component."""
    agents: list[BankCosts]
    """The banks, in scenario order."""


class ScenarioSummary(Body):
    """Summary of a named scenario."""

    name: str = Field(examples=["two_bank"])
    """Name of the scenario."""
    description: str
    """Purpose and sources of the scenario, or why it cannot be read."""
    agents: list[str] = Field(default=[], examples=[["BANK_A", "BANK_B"]])
    """Ids of the banks."""
    ticks_per_day: int | None = Field(default=None, examples=[48])
    """Ticks in a day."""
    num_days: int | None = Field(default=None, examples=[1])
    """Days in the run."""


class Validation(Body):
    """Result of the validation of a scenario."""

    is_valid: bool
    """Whether the scenario is valid."""
    errors: list[FieldProblem]
    """One entry per error, as in an error response."""
