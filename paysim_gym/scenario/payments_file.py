"""Loads and validates payments files as columns of integers.

docs/payments_file.md describes the format.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paysim_gym._engine import ScenarioError, minutes_of_day
from paysim_gym.scenario.field_types import ID, ID_RULE, MAX_MONEY
from paysim_gym.scenario.payment_cells import INVALID, MAX_ERRORS, MISSING, Cells, open_cells
from paysim_gym.validation_errors import format_value

Column = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PaymentTable:
    """The payments of a file, sorted by day and tick.

    Payments of one tick keep the order of the file.

    Attributes:
        banks: Ids of the banks.
        days: The days of the file in ascending order, as text.
        hours: Opening and closing time if the file has times, or None if it has ticks.
        day: Index into `days`, int64 of shape (payments,), as are all that follow.
        tick: Tick of the day of the arrival.
        sender: Index into `banks`.
        receiver: Index into `banks`.
        amount: Cents.
        deadline: Tick of the day, or -1 for the end of the day.
        priority: 0 to 10.
        divisible: Whether it may be split, bool.
    """

    banks: tuple[str, ...]
    days: tuple[str, ...]
    hours: tuple[str, str] | None
    day: Column
    tick: Column
    sender: Column
    receiver: Column
    amount: Column
    deadline: Column
    priority: Column
    divisible: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of payments."""
        return len(self.day)


@dataclass(frozen=True)
class _Clock:
    """Converts a file's times, which are ticks or seconds since midnight, to ticks.

    Attributes:
        ticks_per_day: Ticks in a day, of equal length.
        start: The first time of the day.
        end: The first time after the day.
        last_deadline: The last time that a deadline may have.
        hours: Opening and closing time, if times are seconds.
        allowed_arrivals: For error messages.
        allowed_deadlines: For error messages.
    """

    ticks_per_day: int
    start: int
    end: int
    last_deadline: int
    hours: tuple[str, str] | None
    allowed_arrivals: str
    allowed_deadlines: str

    def ticks(self, times: Column) -> Column:
        elapsed = (times - self.start) * self.ticks_per_day // (self.end - self.start)
        return np.minimum(elapsed, self.ticks_per_day - 1)


@dataclass(frozen=True)
class _Check:
    """A rule for a column: which rows violate it, and what is allowed."""

    column: str
    is_invalid: NDArray[np.bool_]
    allowed: str


def load_payments(
    path: str | os.PathLike[str],
    *,
    banks: Sequence[str] | None = None,
    ticks_per_day: int,
    opening_time: str | None = None,
    closing_time: str | None = None,
    whole_hours: bool = False,
) -> PaymentTable:
    """Load and validate a payments file.

    Args:
        path: A CSV file (.csv) with a header, or a Parquet file (.parquet).
        banks: Ids of the allowed banks; by default those in the file, sorted.
        ticks_per_day: Ticks in a day.
        opening_time: Start of the first tick, as "07:00"; required if the file has times.
        closing_time: End of the last tick, as "19:00" or "24:00"; required if the file has times.
        whole_hours: Whether the day of a file with times defaults to the whole hours around its arrivals
            and deadlines.

    Raises:
        ScenarioError: If an argument or the file is invalid; lists the first 20 invalid cells with line,
            value and what is allowed.
    """
    if type(ticks_per_day) is not int or not 1 <= ticks_per_day <= 1000:
        raise ScenarioError(
            f"ticks_per_day = {format_value(ticks_per_day)}: must be an integer between 1 and 1000"
        )
    if banks is not None:
        _validate_banks(banks)
    hours = _business_hours(opening_time, closing_time)
    with open_cells(path) as cells:
        ids = cells.banks() if banks is None else tuple(banks)
        values = cells.values(ids)
        if whole_hours and hours is None:
            hours = _whole_hours(values["arrival"], values["deadline"])
        clock = _clock(cells, ticks_per_day, hours)
        allowed_banks = ID_RULE if banks is None else _one_of(ids)
        errors = _errors(cells, values, list(_checks(cells, values, clock, allowed_banks)))
    if errors:
        raise ScenarioError("\n".join([f"{cells.name}: has invalid values", *errors]))
    if not len(values["day"]):
        raise ScenarioError(f"{cells.name}: has no payments, only a header")
    return _payment_table(ids, values, clock, cells.has_dates)


def _validate_banks(banks: Sequence[str]) -> None:
    seen: set[str] = set()
    for index, bank in enumerate(banks):
        if not isinstance(bank, str) or not re.fullmatch(ID, bank):
            raise ScenarioError(f"banks[{index}] = {format_value(bank)}: {ID_RULE}")
        if bank in seen:
            raise ScenarioError(f"banks[{index}] = {format_value(bank)}: must be unique")
        seen.add(bank)


def _business_hours(opening_time: str | None, closing_time: str | None) -> tuple[int, int] | None:
    """Return start and end of the day in seconds since midnight."""
    if opening_time is None and closing_time is None:
        return None
    if opening_time is None:
        raise ScenarioError("opening_time: missing; it is required with closing_time")
    if closing_time is None:
        raise ScenarioError("closing_time: missing; it is required with opening_time")
    seconds = []
    for name, value in {"opening_time": opening_time, "closing_time": closing_time}.items():
        minutes = minutes_of_day(value)
        if minutes is None:
            allowed = 'must be a time of day as text, like "07:00"'
            raise ScenarioError(f"{name} = {format_value(value)}: {allowed}")
        seconds.append(60 * minutes)
    if seconds[0] >= seconds[1]:
        raise ScenarioError(
            f"closing_time = {closing_time!r}: must be after the opening time {opening_time!r}"
        )
    return seconds[0], seconds[1]


def _whole_hours(arrivals: Column, deadlines: Column) -> tuple[int, int]:
    """Return the whole hours around all times, in seconds since midnight."""
    arrivals = arrivals[arrivals >= 0]
    opening = int(arrivals.min(initial=24 * 3600 - 1)) // 3600
    closing = max(int(arrivals.max(initial=0)) // 3600 + 1, -(-int(deadlines.max(initial=0)) // 3600))
    return 3600 * opening, 3600 * min(24, max(closing, opening + 1))


def _clock(cells: Cells, ticks_per_day: int, hours: tuple[int, int] | None) -> _Clock:
    if cells.arrival_column == "tick":
        last = ticks_per_day - 1
        arrivals = f"must be an integer between 0 and {last}"
        deadlines = f"must be an integer between the payment's tick and {last}"
        return _Clock(ticks_per_day, 0, ticks_per_day, last, None, arrivals, deadlines)
    if hours is None:
        raise ScenarioError(
            f"{cells.name}: has times of day, so opening_time and closing_time are required, "
            'like "07:00" and "19:00"'
        )
    opening, closing = (f"{seconds // 3600:02}:{seconds // 60 % 60:02}" for seconds in hours)
    arrivals = f"must be a time of day (HH:MM or HH:MM:SS) from {opening} to before {closing}"
    deadlines = f"must be a time of day (HH:MM or HH:MM:SS) between the payment's arrival and {closing}"
    return _Clock(ticks_per_day, *hours, hours[1], (opening, closing), arrivals, deadlines)


def _one_of(ids: Sequence[str]) -> str:
    return f"must be one of {', '.join(ids[:10])}{f' and {len(ids) - 10} more' if len(ids) > 10 else ''}"


def _checks(cells: Cells, values: dict[str, Column], clock: _Clock, allowed_banks: str) -> Iterator[_Check]:
    """Yield the rules for all columns."""
    day, arrival, sender, receiver = (values[name] for name in ("day", "arrival", "sender", "receiver"))
    amount, deadline, priority = (values[name] for name in ("amount", "deadline", "priority"))
    days = "a date like 2024-03-01" if cells.has_dates else "an integer from 0"
    amounts = f"must be an integer number of cents between 1 and {MAX_MONEY}"
    is_outside = (arrival < clock.start) | (arrival >= clock.end)
    earliest = np.where(is_outside, clock.start, arrival)
    is_late_or_early = (deadline < earliest) | (deadline > clock.last_deadline)
    yield _Check("day", day < 0, f"must be {days}, like the file's first day")
    yield _Check(cells.arrival_column, is_outside, clock.allowed_arrivals)
    yield _Check("sender", sender < 0, allowed_banks)
    yield _Check("receiver", receiver < 0, allowed_banks)
    yield _Check("receiver", (receiver == sender) & (receiver >= 0), "must not be the sender")
    yield _Check("amount", (amount < 1) | (amount > MAX_MONEY), amounts)
    yield _Check("deadline", is_late_or_early & (deadline != MISSING), clock.allowed_deadlines)
    yield _Check("priority", (priority < 0) | (priority > 10), "must be an integer between 0 and 10")
    yield _Check("divisible", values["divisible"] == INVALID, "must be true, false, 1 or 0")


def _errors(cells: Cells, values: dict[str, Column], checks: Sequence[_Check]) -> list[str]:
    """Return the first errors in file order, and the number of others."""
    columns = len(cells.columns)
    found: list[tuple[int, str, str]] = [
        (line, "", f"has {count} fields: must have {columns}, like the header")
        for line, count in cells.first_ragged_lines
    ]
    for check in checks:
        lines = values["line"][check.is_invalid]
        found += [(int(line), check.column, check.allowed) for line in np.sort(lines)[:MAX_ERRORS]]
    total = cells.ragged_lines + sum(int(check.is_invalid.sum()) for check in checks)
    first = sorted(found, key=lambda error: error[0])[:MAX_ERRORS]
    texts = cells.texts([line for line, _, _ in first])
    errors = []
    for line, column, allowed in first:
        text = texts[line][column] if column else ""
        value = f"{column} = {format_value(text)}: {allowed}" if text else f"{column}: missing; {allowed}"
        errors.append(f"{cells.unit} {line}: {value if column else allowed}")
    return errors + ([f"... and {total - len(first)} more"] if total > len(first) else [])


def _payment_table(
    ids: tuple[str, ...], values: dict[str, Column], clock: _Clock, has_dates: bool
) -> PaymentTable:
    days, day = np.unique(values["day"], return_inverse=True)
    deadline = values["deadline"]
    columns = {
        "day": day.astype(np.int64),
        "tick": clock.ticks(values["arrival"]),
        "deadline": np.where(deadline == MISSING, MISSING, clock.ticks(deadline)),
        **{name: values[name] for name in ("sender", "receiver", "amount", "priority")},
    }
    labels = np.datetime64("0001-01-01") + days if has_dates else days
    divisible = values["divisible"] == 1
    for column in (*columns.values(), divisible):
        column.flags.writeable = False
    names = tuple(str(label) for label in labels)
    return PaymentTable(ids, names, clock.hours, **columns, divisible=divisible)
