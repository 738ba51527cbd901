"""The bodies of requests and answers, as OpenAPI describes them. All money is an integer number of cents."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from paysim_gym.scenario import Scenario
from paysim_gym.scenario.field_limits import IntRange
from paysim_gym.server.problem_details import FieldProblem

Item = TypeVar("Item")


class Body(BaseModel):
    """A body that has no fields but its own."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Status(StrEnum):
    """Where a simulation is in its life."""

    CREATED = "created"
    """No tick has been played."""
    RUNNING = "running"
    """Some ticks have been played."""
    COMPLETED = "completed"
    """The last tick of the last day has been played."""
    FAILED = "failed"
    """It broke off; it can only be deleted."""


class Health(Body):
    """The service answers."""

    status: str = Field(examples=["ok"])
    """Always `ok`."""
    version: str = Field(examples=["0.1.0"])
    """Of the package."""
    event_schema_version: int = Field(examples=[2])
    """Of the events, see docs/events.md."""
    simulations: int = Field(examples=[3])
    """How many there are."""


class NamedScenario(Body):
    """A scenario by name, or beside it a seed of its own."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"scenario": "two_bank", "seed": 7}]})

    scenario: str | Scenario
    """A name that `GET /api/scenarios` lists, or a scenario."""
    seed: Annotated[int, IntRange(0, 2**64 - 1)] | None = None
    """In place of the scenario's own `seed`."""


class Created(Body):
    """A new simulation."""

    simulation_id: str = Field(examples=["0f9b4c1d6f0e4c77a2d09d64c3a1b8e5"])
    """By which it is reached; nobody can guess it."""


class SimulationSummary(Body):
    """A simulation from outside."""

    simulation_id: str = Field(examples=["0f9b4c1d6f0e4c77a2d09d64c3a1b8e5"])
    """By which it is reached."""
    status: Status
    """Where it is in its life."""
    scenario: str | None = Field(examples=["two_bank"])
    """Name of its scenario; null if a client sent it."""
    seed: int = Field(examples=[7])
    """Seed of the run."""
    tick: int = Field(examples=[12])
    """The tick to be played next."""
    day: int = Field(examples=[0])
    """Its day; the last one when all are over."""
    ticks_per_day: int = Field(examples=[48])
    """Ticks in a day."""
    num_days: int = Field(examples=[1])
    """Days in the run."""
    agents: list[str] = Field(examples=[["BANK_A", "BANK_B"]])
    """Ids of the banks."""
    created_at: datetime
    """When it was made."""
    error: str | None = None
    """Why it failed."""


class Page(Body, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    """From `offset`, at most `limit` of them."""
    total: int = Field(examples=[1])
    """How many there are in all."""
    limit: int = Field(examples=[50])
    """As asked."""
    offset: int = Field(examples=[0])
    """As asked."""


class CostComponents(Body):
    """Cents by component."""

    liquidity: int
    """Liquidity committed from pools."""
    overdraft: int
    """Overdrawn balances."""
    collateral: int
    """Pledged collateral."""
    delay: int
    """Unsettled payments."""
    deadline: int
    """Missed deadlines."""
    split: int
    """Extra parts of split payments."""
    end_of_day: int
    """What was unsettled when a day closed."""


class TickResult(Body):
    """What one tick brought."""

    tick: int
    """Which."""
    day: int
    """Its day."""
    arrivals: int
    """Payments that reached their banks."""
    settlements: int
    """Payments that settled."""
    dropped: int
    """Payments that were cancelled."""
    queue_depth: int
    """Payments that wait, in both kinds of queue."""
    settled_value: int
    """Value that settled, in cents."""
    costs: CostComponents
    """What all banks were charged in this tick."""


class RunRequest(Body):
    """How far to play."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ticks": 10}]})

    ticks: Annotated[int, IntRange(1, 10**9, "ticks")]
    """How many ticks; the run ends sooner with its last day, or when the service's time for it is up."""


class StoppedBy(StrEnum):
    """Why a run of ticks ended."""

    TICKS = "ticks"
    """As many as asked have been played."""
    END = "end"
    """The last tick of the last day has been played."""
    TIME = "time"
    """The service gives one request no more time; ask again."""
    SHUTDOWN = "shutdown"
    """The service is going down."""
    DELETED = "deleted"
    """Somebody has deleted the simulation."""


class RunResult(Body):
    """What a run of ticks brought."""

    ticks_played: int
    """How many."""
    stopped_by: StoppedBy
    """Why no more."""
    status: Status
    """Of the simulation."""
    arrivals: int
    """Payments that reached their banks in these ticks."""
    settlements: int
    """Payments that settled."""
    dropped: int
    """Payments that were cancelled."""
    settled_value: int
    """Value that settled, in cents."""
    costs: CostComponents
    """What all banks were charged."""
    last_tick: TickResult | None
    """The last tick that was played."""


class Payment(Body):
    """A payment that waits."""

    id: int
    """Unique in its run."""
    parent: int | None
    """The payment that it is a part of."""
    sender: str
    """The bank that pays."""
    receiver: str
    """The bank that is paid."""
    amount: int
    """In cents."""
    arrival_tick: int
    """Tick of the run in which it came."""
    deadline_tick: int
    """Last tick in which it settles on time."""
    priority: int
    """0 to 10."""
    divisible: bool
    """Whether it may be split."""
    rail: str
    """The rail it is sent through."""
    is_overdue: bool
    """Whether its deadline has passed."""


class BankState(Body):
    """A bank as it is now."""

    id: str
    """Its name."""
    balance: int
    """Cents; overdrawn below zero."""
    credit_limit: int
    """Cents."""
    liquidity: int
    """Cents that it can pay: balance and unused credit."""
    collateral: int
    """Value of its pledged assets in cents."""
    pool_committed: int
    """Cents that it has committed of its pool."""
    internal_queue: list[Payment]
    """Payments that it has not released."""
    central_queue: list[Payment]
    """Payments that wait for liquidity, rail after rail."""
    costs: CostComponents
    """Since the start of the run."""


class State(Body):
    """The whole system as it is now."""

    tick: int
    """The tick to be played next."""
    day: int
    """Its day; the last one when all are over."""
    agents: list[BankState]
    """The banks, in the order of the scenario."""


class BankCosts(Body):
    """A bank's costs since the start of the run."""

    id: str
    """The bank."""
    total: int
    """Cents, all components together."""
    components: CostComponents
    """Cents by component."""


class CostReport(Body):
    """Costs since the start of the run."""

    tick: int
    """The tick to be played next."""
    total: int
    """Cents of all banks, all components together."""
    components: CostComponents
    """Cents of all banks by component."""
    agents: list[BankCosts]
    """The banks, in the order of the scenario."""


class BankMetrics(Body):
    """What a run has come to for one bank."""

    bank: str
    """Its id."""
    arrivals: int
    """Payments that reached it."""
    settlements: int
    """Payments of its own that settled; each part of a split one counts."""
    dropped: int
    """Payments of its own that were cancelled."""
    settlement_rate: float
    """Share of the value of its payments that settled before a day's close; 1 if none came."""
    mean_delay: float
    """Ticks from arrival to settlement or cancellation, weighted by value, the unsettled with what they have
    waited; 0 if none came."""
    mean_balance: float | None
    """Over the ticks, at the end of each but before a day's close, in cents; null before the first."""
    min_balance: int | None
    """Least of these balances, in cents; null before the first tick."""
    sent: int
    """Value of its payments that settled, in cents."""
    received: int
    """Value of others' payments to it that settled, in cents."""
    liquidity_used: int
    """Deepest fall of its balance below a day's opening, in cents."""
    turnover: float | None
    """Value sent for each cent of liquidity used; null if none was used."""
    cost: int
    """Cents, all components together."""
    costs: CostComponents
    """Cents by component."""


class Metrics(Body):
    """What a run has come to."""

    days: int
    """Days played, the last one perhaps in part."""
    ticks: int
    """Ticks played."""
    arrivals: int
    """Payments that reached their banks."""
    arrived_value: int
    """Their value in cents."""
    settlements: int
    """Payments that settled; each part of a split one counts."""
    settled_value: int
    """Their value in cents."""
    dropped: int
    """Payments that were cancelled."""
    settlement_rate: float
    """As for a bank."""
    mean_delay: float
    """As for a bank, in ticks."""
    max_queue_depth: int
    """Most payments that waited at the end of a tick."""
    cost: int
    """Cents, all components together."""
    costs: CostComponents
    """Cents by component."""
    banks: list[BankMetrics]
    """In the order of the scenario."""


class ScenarioSummary(Body):
    """A scenario that the service has by name."""

    name: str = Field(examples=["two_bank"])
    """By which it is asked for."""
    description: str
    """What it models and where its numbers come from, or that it cannot be read."""
    agents: list[str] = Field(default=[], examples=[["BANK_A", "BANK_B"]])
    """Ids of the banks."""
    ticks_per_day: int | None = Field(default=None, examples=[48])
    """Ticks in a day."""
    num_days: int | None = Field(default=None, examples=[1])
    """Days in the run."""


class Validation(Body):
    """Whether a scenario would be accepted."""

    is_valid: bool
    """Whether there is no problem."""
    errors: list[FieldProblem]
    """One entry for each problem, as in a refusal."""
