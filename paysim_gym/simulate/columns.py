"""Converts records to columns of a store's tables, and rows back to records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.simulate.event_replay import Event
from paysim_gym.simulate.metrics import BankDayMetrics, DayMetrics, TickResult
from paysim_gym.simulate.payment_outcomes import PaymentRecord
from paysim_gym.simulate.records import DayReport, TickRecord
from paysim_gym.simulate.store_schema import COSTS, DECIMALS

Columns = dict[str, NDArray[Any]]
_TICK = tuple(name for name in TickResult.model_fields if name not in ("costs", "agents"))
_EVENT = ("type", "payment", "bank", "sender", "receiver", "amount")
_DAY = tuple(field.name for field in fields(DayMetrics))
_BANK_DAY = tuple(field.name for field in fields(BankDayMetrics) if field.name != "costs")
_PAYMENT = tuple(field.name for field in fields(PaymentRecord))


def day_columns(run: int, report: DayReport) -> Columns:
    """Return a day as one row of `days`."""
    return _columns(run, _attributes([report.day], _DAY))


def bank_day_columns(run: int, report: DayReport) -> Columns:
    """Return the banks' days as rows of `bank_days`."""
    costs = _cost_columns(bank.costs for bank in report.banks)
    return _columns(run, _attributes(report.banks, _BANK_DAY) | costs)


def payment_columns(run: int, payments: Sequence[PaymentRecord]) -> Columns:
    """Return payments as rows of `payments`."""
    return _columns(run, _attributes(payments, _PAYMENT))


def tick_columns(run: int, records: Sequence[TickRecord]) -> Columns:
    """Return ticks as rows of `ticks`."""
    outcomes = [record.outcome for record in records]
    values: dict[str, list[Any]] = {name: [outcome[name] for outcome in outcomes] for name in _TICK}
    values["agents"] = [json.dumps(outcome["agents"]) for outcome in outcomes]
    return _columns(run, values | _cost_columns(outcome["costs"] for outcome in outcomes))


def event_columns(run: int, records: Sequence[TickRecord]) -> Columns:
    """Return events as rows of `events`, numbered within their tick.

    Keys without a column of their own go to `details`, as JSON.
    """
    rows = [(record.outcome["day"], *each) for record in records for each in enumerate(record.events)]
    events = [event for _, _, event in rows]
    return _columns(
        run,
        {
            "day": [day for day, _, _ in rows],
            "tick": [event["tick"] for event in events],
            "sequence": [sequence for _, sequence, _ in rows],
            **{name: [event.get(name) for event in events] for name in _EVENT},
            "details": [json.dumps(_details(event)) for event in events],
        },
    )


def day_from(row: Mapping[str, Any]) -> DayMetrics:
    """Convert a row of `days`."""
    return DayMetrics(**{name: row[name] for name in _DAY})


def bank_day_from(row: Mapping[str, Any]) -> BankDayMetrics:
    """Convert a row of `bank_days`."""
    values: dict[str, Any] = {name: int(row[name]) if name in DECIMALS else row[name] for name in _BANK_DAY}
    return BankDayMetrics(**values, costs=_costs_from(row))


def outcome_from(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row of `ticks` to a return value of `Orchestrator.tick`."""
    values = {name: row[name] for name in _TICK}
    return {**values, "costs": _costs_from(row), "agents": json.loads(row["agents"])}


def event_from(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a row of `events` to an event of `Orchestrator.events`."""
    known = {name: row[name] for name in ("tick", *_EVENT) if row[name] is not None}
    return {**known, **json.loads(row["details"])}


def _attributes(records: Sequence[Any], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [getattr(record, name) for record in records] for name in names}


def _cost_columns(costs: Iterable[Mapping[str, int]]) -> dict[str, list[int]]:
    rows = list(costs)
    return {column: [row[name] for row in rows] for column, name in zip(COSTS, COST_COMPONENTS, strict=True)}


def _costs_from(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: row[column] for column, name in zip(COSTS, COST_COMPONENTS, strict=True)}


def _details(event: Event) -> dict[str, Any]:
    return {
        key: value for key, value in event.items() if key != "tick" and (key not in _EVENT or value is None)
    }


def _columns(run: int, values: Mapping[str, Sequence[Any]]) -> Columns:
    """Convert lists to arrays that DuckDB reads: masked integers, else objects."""
    rows = len(next(iter(values.values())))
    return {name: _column(name, column) for name, column in {"run": [run] * rows, **values}.items()}


def _column(name: str, values: Sequence[Any]) -> NDArray[Any]:
    if name in DECIMALS:
        return np.array([str(value) for value in values], object)
    if any(type(value) is int for value in values):
        is_missing = [value is None for value in values]
        filled = [0 if value is None else value for value in values]
        return np.ma.masked_array(filled, is_missing, dtype=np.int64)
    return np.array(values, object)
