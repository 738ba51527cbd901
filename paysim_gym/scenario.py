"""The scenario: everything that defines a payment system and its day, as a typed and checked object.

This module is the public schema. It checks each field by itself; the rules that tie fields together
(unknown banks, overlapping windows, costs that could overflow) live in the engine, which sees every
scenario before it becomes an object here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictStr,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from paysim_gym import _engine
from paysim_gym._engine import ScenarioError
from paysim_gym.bounds import Length, Real, Whole
from paysim_gym.problems import describe
from paysim_gym.reading import read_scenario

MAX_MONEY = 10**15
"""The largest amount, balance or fee a scenario may name, in cents."""


def _check_id(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[A-Z0-9_]{1,64}", value):
        return value
    raise PydanticCustomError("identifier", "must be 1 to 64 characters from A-Z, 0-9 and _")


def _check_text(value: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise PydanticCustomError("text", "must be text without lone surrogates, which no file can hold")
    return value


def _check_some(value: object) -> object:
    if isinstance(value, Mapping) and not value:
        raise PydanticCustomError("weights", "must have at least one weight")
    return value


def _check_policy(value: object) -> object:
    kind = value.get("type") if isinstance(value, Mapping) else None
    if isinstance(value, _Model) or (isinstance(kind, str) and kind in POLICIES):
        return value
    raise PydanticCustomError("policy", f"must be a mapping with a `type`, one of {', '.join(POLICIES)}")


def _check_keys(value: object) -> object:
    """Keys that are equal once JSON has made them text would lose a value."""
    if isinstance(value, Mapping) and len({str(key) for key in value}) < len(value):
        raise PydanticCustomError("repeated_key", "must name each priority once")
    return value


def _priority_form(value: object) -> str:
    return "weights" if isinstance(value, Mapping) else "level"


Identifier = Annotated[str, BeforeValidator(_check_id), Field(pattern=r"^[A-Z0-9_]+$", max_length=64)]
Money = Annotated[int, Whole(0, MAX_MONEY, "cents")]
Amount = Annotated[int, Whole(1, MAX_MONEY, "cents")]
Tick = Annotated[int, Whole(0, 2**32 - 1, "ticks")]
TickSpan = Annotated[int, Whole(0, 10**6, "ticks")]
Priority = Annotated[int, Whole(0, 10)]
PriorityKey = Annotated[int, Whole(0, 10, is_key=True)]
Share = Annotated[float, Real(0, 1)]
Weight = Annotated[float, Real(0, 1e9)]
Multiplier = Annotated[float, Real(0, 1000)]
PriorityWeights = Annotated[
    dict[PriorityKey, Weight], BeforeValidator(_check_keys), BeforeValidator(_check_some)
]
PriorityMultipliers = Annotated[dict[PriorityKey, Multiplier], BeforeValidator(_check_keys)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class TimeWindow(_Model):
    """A part of the day in which payments arrive more or less often."""

    start_tick: Annotated[int, Whole(0, 999)]
    """First tick of the day inside the window."""
    end_tick: Annotated[int, Whole(1, 1000)]
    """First tick of the day after the window."""
    multiplier: Multiplier
    """Factor on `rate_per_tick`."""


class ArrivalConfig(_Model):
    """The payments a bank's customers ask it to make."""

    agent_id: Identifier | None = None
    """The bank this belongs to; if given, it must be the id of the agent that holds it."""
    rate_per_tick: Annotated[float, Real(0, 1000, above_low=True)]
    """Expected number of payments a tick (Poisson)."""
    distribution_type: Literal["normal", "lognormal", "uniform", "exponential"]
    """Distribution of a payment's amount."""
    amount_mean: Amount
    """Mean amount in cents (of the amount itself, not of its logarithm)."""
    amount_std_dev: Money | None = None
    """Standard deviation of the amount in cents: required for normal and lognormal, optional for
    uniform (without it amounts lie between one cent and twice the mean), refused for exponential."""
    counterparty_weights: Annotated[dict[Identifier, Weight], BeforeValidator(_check_some)] | None = None
    """Receiver's bank to relative frequency; without it all other banks are equally likely."""
    time_windows: tuple[TimeWindow, ...] = ()
    """Windows of the day that must not overlap; outside them the multiplier is 1."""
    deadline_range: tuple[TickSpan, TickSpan] | None = None
    """Least and most ticks from arrival to deadline (uniform, capped at the day's last tick); without
    it every payment is due on the day's last tick."""
    priority: Annotated[
        Annotated[Priority, Tag("level")] | Annotated[PriorityWeights, Tag("weights")],
        Discriminator(_priority_form),
    ] = 5
    """Priority of every payment, 0 to 10, or a mapping of priority to relative frequency."""
    divisible: StrictBool = True
    """Whether payments may be split."""


class LearnerPolicy(_Model):
    """Decisions come from outside, through an environment."""

    type: Literal["learner"] = "learner"


class ReleaseAllPolicy(_Model):
    """Release every payment as it arrives."""

    type: Literal["release_all"] = "release_all"


class HoldUntilDeadlinePolicy(_Model):
    """Release a payment `margin` ticks before its deadline."""

    type: Literal["hold_until_deadline"] = "hold_until_deadline"
    margin: TickSpan = 0


class LiquidityAwarePolicy(_Model):
    """Go through the queue in order and release each payment that leaves liquidity at or above `buffer`.

    A smaller payment may so go although a larger one before it is held. Whatever is due is released.
    """

    type: Literal["liquidity_aware"] = "liquidity_aware"
    buffer: Money = 0


class SplitLargePolicy(_Model):
    """Release everything, splitting what exceeds both `threshold` and the bank's liquidity."""

    type: Literal["split_large"] = "split_large"
    parts: Annotated[int, Whole(2, 100)] = 2
    threshold: Money = 0


class RandomPolicy(_Model):
    """Release each payment with a fixed probability at every tick."""

    type: Literal["random"] = "random"
    release_probability: Share = 0.5


PolicyConfig = Annotated[
    LearnerPolicy
    | ReleaseAllPolicy
    | HoldUntilDeadlinePolicy
    | LiquidityAwarePolicy
    | SplitLargePolicy
    | RandomPolicy,
    Field(discriminator="type"),
    BeforeValidator(_check_policy),
]


class Agent(_Model):
    """A bank."""

    id: Identifier
    """Its unique name."""
    balance: Money
    """Opening balance in cents."""
    credit_limit: Money = 0
    """How far the balance may fall below zero, in cents."""
    arrival_config: ArrivalConfig | None = None
    """Its customers' payments; without it the bank sends only what `initial_transactions` name."""
    policy: PolicyConfig = ReleaseAllPolicy()
    """Who decides when its payments are released."""


class Rail(_Model):
    """A settlement system that the banks share."""

    id: Identifier
    """Its name."""
    settlement_type: Literal["immediate"] = "immediate"
    """Gross, payment by payment, as soon as there is liquidity."""
    queue_discipline: Literal["fifo", "fifo_bypass", "priority"] = "fifo"
    """Order of the central queue: a blocked head blocks its bank (fifo), later payments may pass it
    (fifo_bypass), or urgent ones come first (priority)."""
    incoming_queue_visible: StrictBool = True
    """Whether a bank sees the payments that wait in the central queue to be paid to it."""


class OverdraftTier(_Model):
    """A higher price for the part of an overdraft above a threshold."""

    above: Amount
    """Threshold in cents."""
    rate: Share
    """Fraction of the part above it, per tick."""


class Costs(_Model):
    """What waiting, borrowing and failing cost. Everything is free unless priced."""

    overdraft_rate: Share = 0.0
    """Fraction of the overdrawn balance, per tick."""
    overdraft_tiers: tuple[OverdraftTier, ...] = ()
    """Marginal prices of larger overdrafts, in ascending order of `above`."""
    delay_penalty_per_tick: Money = 0
    """Cents per unsettled payment per tick."""
    delay_rate: Share = 0.0
    """Fraction of an unsettled payment's value, per tick."""
    priority_multipliers: PriorityMultipliers = {}
    """Priority to factor on the cost of delay (1 where absent)."""
    overdue_multiplier: Annotated[float, Real(1, 1000)] = 1.0
    """Factor on the cost of delay from the tick after the deadline."""
    deadline_penalty: Money = 0
    """Cents, once, for a payment that misses its deadline."""
    split_fee: Money = 0
    """Cents for each part of a split payment beyond the first."""
    eod_penalty: Money = 0
    """Cents for each payment unsettled at the end of a day."""
    eod_rate: Share = 0.0
    """Fraction of the value unsettled at the end of a day."""
    delay_in_central_queue: StrictBool = True
    """Whether delay also costs while a payment waits in the central queue."""


class InitialTransaction(_Model):
    """A payment known in advance, beside the sampled ones."""

    sender: Identifier
    receiver: Identifier
    amount: Amount
    """In cents."""
    arrival_tick: Tick
    """Tick of the episode in which it enters the sender's internal queue."""
    deadline_tick: Tick
    """Last tick of the episode in which it settles on time."""
    priority: Priority = 5
    divisible: StrictBool = True
    rail: Identifier | None = None
    """Rail it is sent through (the only one, if absent)."""


class Scenario(_Model):
    """A payment system: its clock, banks, rails, prices and known payments."""

    description: Annotated[StrictStr, AfterValidator(_check_text)] = ""
    """What it models and where its numbers come from."""
    ticks_per_day: Annotated[int, Whole(1, 1000)]
    """Decision moments in a day."""
    num_days: Annotated[int, Whole(1, 10_000)] = 1
    """Days in an episode."""
    seed: Annotated[int, Whole(0, 2**64 - 1)] = 0
    """Seed of the plain simulator (`Orchestrator`); an environment is seeded by `reset(seed=)`."""
    agents: Annotated[tuple[Agent, ...], Length(2, 1000)]
    """The banks."""
    rails: Annotated[tuple[Rail, ...], Length(1, 1)] = (Rail(id="RTGS"),)
    """The settlement systems."""
    costs: Costs = Costs()
    """The prices."""
    initial_transactions: tuple[InitialTransaction, ...] = ()
    """Payments known in advance."""
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


ScenarioSource = str | os.PathLike[str] | Mapping[str, Any] | Scenario
"""A bundled scenario's name, the path of a YAML file, a mapping, or a scenario."""


def load_scenario(source: ScenarioSource) -> Scenario:
    """Read and check a scenario.

    Args:
        source: A bundled scenario's name, the path of a YAML file, a mapping, or a scenario.

    Returns:
        The checked scenario.

    Raises:
        ScenarioError: If it cannot be read or breaks a rule: one line for each problem, as
            `path = value: what is allowed`.
    """
    if isinstance(source, Scenario):
        return source
    data = source if isinstance(source, Mapping) else read_scenario(source)
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        raise ScenarioError("\n".join(_problem(detail) for detail in error.errors())) from None


POLICIES: dict[str, type[BaseModel]] = {
    model.model_fields["type"].default: model for model in get_args(get_args(PolicyConfig)[0])
}
"""Type of a policy to its model."""
_MODELS: dict[str, type[BaseModel]] = {
    "": Scenario,
    "agents": Agent,
    "arrival_config": ArrivalConfig,
    "time_windows": TimeWindow,
    "rails": Rail,
    "costs": Costs,
    "overdraft_tiers": OverdraftTier,
    "initial_transactions": InitialTransaction,
    **POLICIES,
}


def _problem(error: ErrorDetails) -> str:
    """One problem as `path = value: what is allowed`; the engine's come like that."""
    cause = error.get("ctx", {}).get("error")
    return str(cause) if isinstance(cause, ScenarioError) else describe(error, _MODELS)
