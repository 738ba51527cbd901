"""The scenario: everything that defines a payment system and its days, as a typed and checked object.

This module and those it imports are the public schema. They check each field by itself; the rules that
tie fields together (unknown banks, overlapping windows, costs that could overflow) live in the engine,
which sees every scenario before it becomes an object here.
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
    "ArrivalConfig",
    "Costs",
    "EventConfig",
    "InitialTransaction",
    "LiquiditySaving",
    "OverdraftTier",
    "PaymentLimits",
    "PolicyConfig",
    "PriorityEscalation",
    "Rail",
    "Scenario",
    "ScenarioSource",
    "TimeWindow",
    "load_scenario",
]


class PaymentLimits(Model):
    """How much more than it receives a bank may pay in a day; what would exceed that waits."""

    bilateral: dict[Identifier, Money] = Field(default={})
    """Other bank to what may be paid to it, net of what it pays, in cents; no limit where absent."""
    multilateral: Money | None = None
    """What may be paid to all banks together, net of what they pay, in cents; no limit if absent."""


class Agent(Model):
    """A bank."""

    id: Identifier
    """Its unique name."""
    balance: Money
    """Opening balance in cents."""
    credit_limit: Money = 0
    """How far the balance may fall below zero, in cents."""
    collateral: Money = 0
    """Value of the assets it has pledged for further credit, in cents."""
    collateral_haircut: Share = 0.0
    """Fraction of that value that gives no credit."""
    liquidity_pool: Money = 0
    """Money outside the system of which it may commit a share at the opening of a day, in cents."""
    liquidity_share: Share = 1.0
    """Fraction of the pool that it commits, unless it is a learner that decides so."""
    limits: PaymentLimits = PaymentLimits()
    """How much more than it receives it may pay in a day."""
    arrival_config: ArrivalConfig | None = None
    """Its customers' payments; without it the bank sends only what `initial_transactions`, `events` and
    the `payments_file` name."""
    policy: PolicyConfig = ReleaseAllPolicy()
    """Who decides when its payments are released."""


class PriorityEscalation(Model):
    """How a payment gains priority as its deadline comes near; no priority exceeds 10."""

    ticks: Annotated[int, IntRange(1, 10**6, "ticks")]
    """Ticks before the deadline at which the gain begins."""
    boost: Annotated[int, IntRange(1, 10)]
    """Gain at the deadline, in steps of priority; it grows evenly up to there."""


class Scenario(Model):
    """A payment system: its clock, banks, rails, prices, known payments and events."""

    description: Text = ""
    """What it models and where its numbers come from."""
    ticks_per_day: Annotated[int, IntRange(1, 1000)]
    """Decision moments in a day."""
    num_days: Annotated[int, IntRange(1, 10_000)] = 1
    """Days in an episode."""
    seed: Annotated[int, IntRange(0, 2**64 - 1)] = 0
    """Seed of the plain simulator (`Orchestrator`); an environment is seeded by `reset(seed=)`."""
    agents: Annotated[tuple[Agent, ...], LengthRange(2, 1000)]
    """The banks."""
    rails: Annotated[tuple[Rail, ...], LengthRange(1, 8)] = (Rail(id="RTGS"),)
    """The settlement systems; payments that name none go through the first."""
    costs: Costs = Costs()
    """The prices."""
    initial_transactions: tuple[InitialTransaction, ...] = ()
    """Payments known in advance."""
    events: tuple[EventConfig, ...] = ()
    """What happens at given ticks."""
    payments_file: PaymentsPath | None = None
    """CSV or Parquet file of real payments to replay; in a scenario file, relative to its folder."""
    opening_time: TimeOfDay | None = None
    """When a day opens, as HH:MM; with `closing_time` it turns the times of `payments_file` into ticks."""
    closing_time: TimeOfDay | None = None
    """When a day closes, as HH:MM, later than `opening_time`; 24:00 is midnight."""
    priority_escalation: PriorityEscalation | None = None
    """How a payment gains priority as its deadline comes near; not at all if absent."""
    end_of_day: Literal["carry", "drop", "borrow"] = "carry"
    """What happens to unsettled payments: they stay queued, are cancelled, or settle with borrowed money.

    `borrow`: every bank borrows overnight what its unsettled payments exceed its own positive balance by,
    gross (no netting between banks), whatever its credit limit; the loan is repaid when the next day
    opens, which may leave it overdrawn beyond its limit until money comes in."""
    overnight: Literal["carry", "reset"] = "carry"
    """Whether balances go on as they are or return to their opening values."""

    @model_validator(mode="after")
    def _pass_engine(self) -> Self:
        _engine.validate_scenario(self.model_dump_json())
        return self

    @cached_property
    def payments(self) -> _engine.Payments | None:
        """The payments of `payments_file` as the engine replays them, read once; None without a file.

        Raises:
            ScenarioError: If the file cannot be read or holds what the scenario cannot play.
        """
        if self.payments_file is None:
            return None
        from paysim_gym.payments.payments_file import load_payments

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
        """Bank to the network that plays it, for each whose policy is one; every file is read once.

        Raises:
            ScenarioError: If a file cannot be read, or holds no network that the engine can play.
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
        """All but what was read from files, which is read anew where it is needed."""
        state = super().__getstate__()
        fields = {key: value for key, value in state["__dict__"].items() if key not in _READ}
        return state | {"__dict__": fields}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy the scenario, some fields replaced (unchecked, as pydantic does); files are read anew."""
        copy = super().model_copy(update=update, deep=deep)
        for name in _READ:
            copy.__dict__.pop(name, None)
        return copy


_READ = ("payments", "networks")


ScenarioSource = str | os.PathLike[str] | Mapping[str, Any] | Scenario
"""A bundled scenario's name, the path of a YAML file, a mapping, or a scenario."""


def load_scenario(source: ScenarioSource) -> Scenario:
    """Read and check a scenario, and the payments and networks that it names.

    Args:
        source: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.

    Returns:
        The checked scenario.

    Raises:
        ScenarioError: If it cannot be read or breaks a rule: one line for each problem, as
            `path = value: what is allowed`.
    """
    scenario = source if isinstance(source, Scenario) else _check(source)
    _ = scenario.payments, scenario.networks
    return scenario


def _check(source: str | os.PathLike[str] | Mapping[str, Any]) -> Scenario:
    data = source if isinstance(source, Mapping) else read_scenario(source)
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(format_errors(error, Scenario, "scenario")) from None
