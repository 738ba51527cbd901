"""Records as columns of a store's tables, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.simulate.event_replay import Event
from paysim_gym.simulate.metrics import COUNTED, BankDay, Day
from paysim_gym.simulate.payment_outcomes import PaymentRecord
from paysim_gym.simulate.records import DayReport, TickRecord
from paysim_gym.simulate.store_schema import COSTS, DECIMALS

Columns = dict[str, NDArray[Any]]
_OUTCOME = ("arrivals", "settlements", "dropped", "queue_depth", "settled_value")
_EVENT = ("type", "payment", "bank", "sender", "receiver", "amount")
_DAY = tuple(name.name for name in fields(Day))
_PAYMENT = tuple(name.name for name in fields(PaymentRecord))


def day_columns(run: int, report: DayReport) -> Columns:
    """A day as a row of `days`."""
    return columns({"run": [run], **{name: [getattr(report.day, name)] for name in _DAY}})


def bank_day_columns(run: int, report: DayReport) -> Columns:
    """The banks' days as rows of `bank_days`."""
    banks = report.banks
    names = ("day", "bank", *COUNTED)
    values: dict[str, list[Any]] = {name: [getattr(bank, name) for bank in banks] for name in names}
    costs = {
        column: [bank.costs[name] for bank in banks]
        for column, name in zip(COSTS, COST_COMPONENTS, strict=True)
    }
    return columns({"run": [run] * len(banks), **values, **costs})


def payment_columns(run: int, payments: Sequence[PaymentRecord]) -> Columns:
    """Payments as rows of `payments`."""
    values = {name: [getattr(payment, name) for payment in payments] for name in _PAYMENT}
    return columns({"run": [run] * len(payments), **values})


def tick_columns(run: int, records: Sequence[TickRecord]) -> Columns:
    """Ticks as rows of `ticks`."""
    outcomes = [record.outcome for record in records]
    values = {name: [outcome[name] for outcome in outcomes] for name in ("day", "tick", *_OUTCOME)}
    costs = {
        column: [outcome["costs"][name] for outcome in outcomes]
        for column, name in zip(COSTS, COST_COMPONENTS, strict=True)
    }
    return columns({"run": [run] * len(outcomes), **values, **costs})


def event_columns(run: int, records: Sequence[TickRecord]) -> Columns:
    """Events as rows of `events`, numbered within their tick; keys without a column go to `details`."""
    rows = [(record.outcome["day"], *each) for record in records for each in enumerate(record.events)]
    events = [event for _, _, event in rows]
    return columns(
        {
            "run": [run] * len(rows),
            "day": [day for day, _, _ in rows],
            "tick": [event["tick"] for event in events],
            "sequence": [sequence for _, sequence, _ in rows],
            **{name: [event.get(name) for event in events] for name in _EVENT},
            "details": [json.dumps(_details(event)) for event in events],
        }
    )


def _details(event: Event) -> dict[str, Any]:
    return {
        key: value for key, value in event.items() if key != "tick" and (key not in _EVENT or value is None)
    }


def columns(values: Mapping[str, list[Any]]) -> Columns:
    """Lists as arrays that DuckDB reads: integers with a mask, everything else as objects."""
    return {name: _column(name, column) for name, column in values.items()}


def _column(name: str, values: list[Any]) -> NDArray[Any]:
    if name in DECIMALS:
        return np.array([str(value) for value in values], object)
    if any(type(value) is int for value in values):
        is_absent = [value is None for value in values]
        filled = [0 if value is None else value for value in values]
        return np.ma.masked_array(filled, is_absent, dtype=np.int64)
    return np.array(values, object)


def day_from(row: Mapping[str, Any]) -> Day:
    """A row of `days` as a day."""
    return Day(**{name: row[name] for name in _DAY})


def bank_day_from(row: Mapping[str, Any]) -> BankDay:
    """A row of `bank_days` as a bank's day."""
    costs = {name: row[column] for column, name in zip(COSTS, COST_COMPONENTS, strict=True)}
    figures = {name: int(row[name]) for name in COUNTED}
    return BankDay(day=row["day"], bank=row["bank"], costs=costs, **figures)


def outcome_from(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `ticks` as what `Orchestrator.tick` returned."""
    outcome = {name: row[name] for name in ("tick", "day", *_OUTCOME)}
    outcome["costs"] = {name: row[column] for column, name in zip(COSTS, COST_COMPONENTS, strict=True)}
    return outcome


def event_from(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `events` as what `Orchestrator.events` returned."""
    known = {name: row[name] for name in ("tick", *_EVENT) if row[name] is not None}
    return {**known, **json.loads(row["details"])}
