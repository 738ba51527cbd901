"""The scenario model: everything that defines a payment system and its days.

This module and those that it imports are the public schema. They validate each field by itself. The engine
validates rules between fields (unknown banks, overlapping windows, costs that could overflow) before a
`Scenario` exists.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from paysim_gym import _engine
from paysim_gym._engine import ScenarioError
from paysim_gym.scenario.demand import ArrivalConfig, InitialTransaction, TimeWindow
from paysim_gym.scenario.field_limits import IntRange, LengthRange
from paysim_gym.scenario.field_types import (
    MAX_MONEY,
    Identifier,
    Model,
    Money,
    PaymentsPath,
    Share,
    Text,
    TimeOfDay,
)
from paysim_gym.scenario.loader import read_scenario
from paysim_gym.scenario.policies import POLICIES, NetworkPolicy, PolicyConfig, ReleaseAllPolicy
from paysim_gym.scenario.prices import Costs, OverdraftTier
from paysim_gym.scenario.rails import LiquiditySaving, Rail
from paysim_gym.scenario.scheduled_events import EVENTS, EventConfig
from paysim_gym.validation_errors import format_errors

__all__ = [
    "EVENTS",
    "MAX_MONEY",
    "POLICIES",
    "Agent",
    "AgentConfig",
    "ArrivalConfig",
    "CostConfig",
    "Costs",
    "EventConfig",
    "InitialTransaction",
    "LiquiditySaving",
    "OverdraftTier",
    "PaymentLimits",
    "PolicyConfig",
    "PriorityEscalation",
    "Rail",
    "RailConfig",
    "Scenario",
    "ScenarioSource",
    "SimulationConfig",
    "TimeWindow",
    "TransactionConfig",
    "load_scenario",
]


class PaymentLimits(Model):
    """Net amounts that a bank may pay in a day; excess payments wait."""

    bilateral: dict[Identifier, Money] = Field(default={})
    """Other bank to the net amount that may be paid to it, in cents; no limit if absent."""
    multilateral: Money | None = None
    """Net amount that may be paid to all banks together, in cents; no limit if absent."""


class Agent(Model):
    """A bank."""

    _part = "agent"

    id: Identifier
    """Unique name."""
    balance: Money
    """Opening balance in cents."""
    credit_limit: Money = 0
    """How far the balance may fall below zero, in cents."""
    collateral: Money = 0
    """Value of pledged assets, which give further credit, in cents."""
    collateral_haircut: Share = 0.0
    """Fraction of that value that gives no credit."""
    liquidity_pool: Money = 0
    """Liquidity outside the system, in cents; the bank commits a share of it at the opening of a day."""
    liquidity_share: Share = 1.0
    """Fraction of the pool that it commits, unless a learner decides it."""
    limits: PaymentLimits = PaymentLimits()
    """Net amounts that it may pay in a day."""
    arrival_config: ArrivalConfig | None = None
    """Random payments of its customers; without it the bank has only the payments of
    `initial_transactions`, `events` and `payments_file`."""
    policy: PolicyConfig = ReleaseAllPolicy()
    """Decides when its payments are released."""


class PriorityEscalation(Model):
    """Increase of a payment's priority towards its deadline, to at most 10."""

    ticks: Annotated[int, IntRange(1, 10**6, "ticks")]
    """Ticks before the deadline at which the increase begins."""
    boost: Annotated[int, IntRange(1, 10)]
    """Increase at the deadline; it is linear in time."""


class Scenario(Model):
    """A payment system: clock, banks, rails, prices, known payments and events."""

    description: Text = ""
    """What it models, and the sources of its numbers."""
    ticks_per_day: Annotated[int, IntRange(1, 1000)]
    """Ticks in a day."""
    num_days: Annotated[int, IntRange(1, 10_000)] = 1
    """Days in an episode."""
    seed: Annotated[int, IntRange(0, 2**64 - 1)] = 0
    """Seed of the simulator (`Orchestrator`); environments are seeded by `reset(seed=)`."""
    agents: Annotated[tuple[Agent, ...], LengthRange(2, 1000)]
    """The banks."""
    rails: Annotated[tuple[Rail, ...], LengthRange(1, 8)] = (Rail(id="RTGS"),)
    """The settlement systems; the first is the default of payments."""
    costs: Costs = Costs()
    """The prices."""
    initial_transactions: tuple[InitialTransaction, ...] = ()
    """Payments known in advance."""
    events: tuple[EventConfig, ...] = ()
    """Scheduled events."""
    payments_file: PaymentsPath | None = None
    """CSV or Parquet file of payments to replay; in a scenario file, relative to its folder."""
    opening_time: TimeOfDay | None = None
    """When a day opens, as HH:MM; with `closing_time` it converts times of `payments_file` to ticks."""
    closing_time: TimeOfDay | None = None
    """When a day closes, as HH:MM, later than `opening_time`; 24:00 is midnight."""
    priority_escalation: PriorityEscalation | None = None
    """Increase of priorities towards the deadline; none if absent."""
    end_of_day: Literal["carry", "drop", "borrow"] = "carry"
    """What happens to unsettled payments: they stay queued, are cancelled, or settle with borrowed money.

    `carry`: deadlines stay the same, so that a payment settled on a later day can still be on time.
    `borrow`: every bank borrows overnight the excess of its unsettled payments over its positive balance,
    gross (no netting between banks), regardless of its credit limit. Repayment when the next day opens may
    leave it overdrawn beyond its limit until it receives money."""
    overnight: Literal["carry", "reset"] = "carry"
    """Whether balances carry over to the next day or return to their opening values."""

    @model_validator(mode="after")
    def _validate_in_engine(self) -> Self:
        _engine.validate_scenario(self.model_dump_json())
        return self

    @cached_property
    def payments(self) -> _engine.Payments | None:
        """The payments of `payments_file`, read once; None without a file.

        Raises:
            ScenarioError: If the file cannot be read, or does not fit the scenario.
        """
        if self.payments_file is None:
            return None
        from paysim_gym.scenario.payments_file import load_payments

        read = load_payments(
            self.payments_file,
            banks=[agent.id for agent in self.agents],
            ticks_per_day=self.ticks_per_day,
            opening_time=self.opening_time,
            closing_time=self.closing_time,
        )
        columns = (read.day, read.tick, read.sender, read.receiver, read.amount, read.deadline, read.priority)
        return _engine.Payments(self.model_dump_json(), *columns, read.divisible)

    @cached_property
    def networks(self) -> dict[str, _engine.Network]:
        """Networks by the bank whose policy they are; every file is read once.

        Raises:
            ScenarioError: If a file cannot be read, or is not a supported network.
        """
        files: dict[str, _engine.Network] = {}
        networks = {}
        for index, agent in enumerate(self.agents):
            if isinstance(agent.policy, NetworkPolicy):
                file = agent.policy.weights
                try:
                    files[file] = networks[agent.id] = files.get(file) or _engine.Network(
                        Path(file).read_bytes()
                    )
                except (OSError, ValueError) as error:
                    raise ScenarioError(f"agents[{index}].policy.weights = {file!r}: {error}") from None
        return networks

    def __getstate__(self) -> dict[Any, Any]:
        """The state without content of files, which is read again on demand."""
        state = super().__getstate__()
        fields = {key: value for key, value in state["__dict__"].items() if key not in _FROM_FILES}
        return state | {"__dict__": fields}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the scenario with some fields replaced, unvalidated; files are read again."""
        copy = super().model_copy(update=update, deep=deep)
        for name in _FROM_FILES:
            copy.__dict__.pop(name, None)
        return copy


_FROM_FILES = ("payments", "networks")

AgentConfig = Agent
RailConfig = Rail
CostConfig = Costs
TransactionConfig = InitialTransaction
SimulationConfig = Scenario


ScenarioSource = str | os.PathLike[str] | Mapping[str, Any] | Scenario
"""A bundled scenario's name, the path of a YAML file, a mapping, or a scenario."""


def load_scenario(source: ScenarioSource) -> Scenario:
    """Load and validate a scenario with its payments and networks.

    Args:
        source: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.

    Raises:
        ScenarioNotFound: If there is no such file; a ScenarioError and a FileNotFoundError.
        ScenarioError: If it cannot be read or is invalid: one line for each error, as
            `path = value: what is allowed`.
    """
    scenario = source if isinstance(source, Scenario) else _validate(source)
    _ = scenario.payments, scenario.networks
    return scenario


def _validate(source: str | os.PathLike[str] | Mapping[str, Any]) -> Scenario:
    data = source if isinstance(source, Mapping) else read_scenario(source)
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(format_errors(error, Scenario, "scenario")) from None
