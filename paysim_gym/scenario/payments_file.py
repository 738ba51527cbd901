"""Payments files: real payments, checked, as columns of integers.

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
from paysim_gym.scenario.payment_cells import MAX_PROBLEMS, NONE_GIVEN, WRONG, Cells, open_cells
from paysim_gym.validation_errors import format_value

Column = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PaymentTable:
    """The payments of a file by day and tick, those of one tick in the order of the file.

    Attributes:
        banks: Ids of the banks.
        days: The days of the file in ascending order, as it writes them.
        hours: Opening and closing time by which times became ticks, or None: the file gives ticks.
        day: Index into `days`, int64 of shape (payments,), as are all that follow.
        tick: Tick of the day at which it arrives.
        sender: Index into `banks`.
        receiver: Index into `banks`.
        amount: Cents.
        deadline: Tick of the day, or -1: none given, it is due at the end of the day.
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
    """The moments of a day, which are ticks or seconds, as ticks: equal parts of it.

    Attributes:
        ticks_per_day: How many.
        start: The first moment.
        end: The first moment after the day.
        last_deadline: The last moment at which a payment can be due.
        hours: Opening and closing time, if moments are seconds.
        arrives: What an arrival must be.
        due: What a deadline must be.
    """

    ticks_per_day: int
    start: int
    end: int
    last_deadline: int
    hours: tuple[str, str] | None
    arrives: str
    due: str

    def ticks(self, moments: Column) -> Column:
        elapsed = (moments - self.start) * self.ticks_per_day // (self.end - self.start)
        return np.minimum(elapsed, self.ticks_per_day - 1)


@dataclass(frozen=True)
class _Check:
    """A rule for a column: where it is broken, and what is allowed."""

    column: str
    is_broken: NDArray[np.bool_]
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
    """Read and check a payments file.

    Args:
        path: A CSV file (.csv) with a header, or a Parquet file (.parquet).
        banks: Ids of the banks that it may name; without it, those that it does name, sorted.
        ticks_per_day: Ticks in a day.
        opening_time: When the first tick starts, as "07:00"; needed if the file gives times, not ticks.
        closing_time: When the last tick ends, as "19:00" or "24:00"; needed likewise.
        whole_hours: Whether a file of times needs no opening and closing time: without them the day is the
            whole hours around its arrivals and deadlines.

    Raises:
        ScenarioError: If an argument or the file is wrong; of wrong cells, the first 20 with line, value and
            what is allowed.
    """
    if type(ticks_per_day) is not int or not 1 <= ticks_per_day <= 1000:
        raise ScenarioError(
            f"ticks_per_day = {format_value(ticks_per_day)}: must be an integer between 1 and 1000"
        )
    if banks is not None:
        _check_banks(banks)
    hours = _business_hours(opening_time, closing_time)
    with open_cells(path) as cells:
        ids = cells.ids() if banks is None else tuple(banks)
        values = cells.values(ids)
        if whole_hours and hours is None:
            hours = _whole_hours(values["moment"], values["deadline"])
        clock = _clock(cells, ticks_per_day, hours)
        allowed = ID_RULE if banks is None else _one_of(ids)
        problems = _problems(cells, values, list(_checks(cells, values, clock, allowed)))
    if problems:
        raise ScenarioError("\n".join([f"{cells.name}: not all of its values are allowed", *problems]))
    if not len(values["day"]):
        raise ScenarioError(f"{cells.name}: has no payments, only a header")
    return _payments(ids, values, clock, cells.has_dates)


def _check_banks(banks: Sequence[str]) -> None:
    seen: set[str] = set()
    for index, bank in enumerate(banks):
        if not isinstance(bank, str) or not re.fullmatch(ID, bank):
            raise ScenarioError(f"banks[{index}] = {format_value(bank)}: {ID_RULE}")
        if bank in seen:
            raise ScenarioError(f"banks[{index}] = {format_value(bank)}: must not stand twice")
        seen.add(bank)


def _business_hours(opening_time: str | None, closing_time: str | None) -> tuple[int, int] | None:
    """Seconds since midnight at which the day starts and ends."""
    if opening_time is None and closing_time is None:
        return None
    if opening_time is None:
        raise ScenarioError("opening_time: is required beside closing_time")
    if closing_time is None:
        raise ScenarioError("closing_time: is required beside opening_time")
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
    """Seconds since midnight between which all lie; a deadline, but no arrival, may be at the end."""
    arrivals = arrivals[arrivals >= 0]
    opening = int(arrivals.min(initial=24 * 3600 - 1)) // 3600
    closing = max(int(arrivals.max(initial=0)) // 3600 + 1, -(-int(deadlines.max(initial=0)) // 3600))
    return 3600 * opening, 3600 * min(24, max(closing, opening + 1))


def _clock(cells: Cells, ticks_per_day: int, hours: tuple[int, int] | None) -> _Clock:
    if cells.moment == "tick":
        last = ticks_per_day - 1
        arrives = f"must be an integer between 0 and {last}"
        due = f"must be an integer between the payment's tick and {last}"
        return _Clock(ticks_per_day, 0, ticks_per_day, last, None, arrives, due)
    if hours is None:
        raise ScenarioError(
            f"{cells.name}: gives times of day, which need opening_time and closing_time to become ticks, "
            'like "07:00" and "19:00"'
        )
    opening, closing = (f"{seconds // 3600:02}:{seconds // 60 % 60:02}" for seconds in hours)
    arrives = f"must be a time of day (HH:MM or HH:MM:SS) from {opening} to before {closing}"
    due = f"must be a time of day (HH:MM or HH:MM:SS) between the payment's own and {closing}"
    return _Clock(ticks_per_day, *hours, hours[1], (opening, closing), arrives, due)


def _one_of(ids: Sequence[str]) -> str:
    return f"must be one of {', '.join(ids[:10])}{f' and {len(ids) - 10} more' if len(ids) > 10 else ''}"


def _checks(cells: Cells, values: dict[str, Column], clock: _Clock, banks: str) -> Iterator[_Check]:
    """Every rule, for values each of which is a number or `WRONG`; `banks` says what a bank must be."""
    day, moment, sender, receiver = (values[name] for name in ("day", "moment", "sender", "receiver"))
    amount, deadline, priority = (values[name] for name in ("amount", "deadline", "priority"))
    kind = "a date like 2024-03-01" if cells.has_dates else "an integer from 0"
    amounts = f"must be an integer number of cents between 1 and {MAX_MONEY}"
    is_outside = (moment < clock.start) | (moment >= clock.end)
    earliest = np.where(is_outside, clock.start, moment)
    is_wrong_deadline = (deadline < earliest) | (deadline > clock.last_deadline)
    yield _Check("day", day < 0, f"must be {kind}, as the file's first day is")
    yield _Check(cells.moment, is_outside, clock.arrives)
    yield _Check("sender", sender < 0, banks)
    yield _Check("receiver", receiver < 0, banks)
    yield _Check("receiver", (receiver == sender) & (receiver >= 0), "must not be the sender")
    yield _Check("amount", (amount < 1) | (amount > MAX_MONEY), amounts)
    yield _Check("deadline", is_wrong_deadline & (deadline != NONE_GIVEN), clock.due)
    yield _Check("priority", (priority < 0) | (priority > 10), "must be an integer between 0 and 10")
    yield _Check("divisible", values["divisible"] == WRONG, "must be true, false, 1 or 0")


def _problems(cells: Cells, values: dict[str, Column], checks: Sequence[_Check]) -> list[str]:
    """One line for each of the first problems, by their place in the file, and how many more there are."""
    columns = len(cells.columns)
    found: list[tuple[int, str, str]] = [
        (place, "", f"has {count} fields: must have {columns}, as the header has")
        for place, count in cells.first_misfits
    ]
    for check in checks:
        places = values["place"][check.is_broken]
        found += [(int(place), check.column, check.allowed) for place in np.sort(places)[:MAX_PROBLEMS]]
    total = cells.misfits + sum(int(check.is_broken.sum()) for check in checks)
    first = sorted(found, key=lambda problem: problem[0])[:MAX_PROBLEMS]
    texts = cells.texts([place for place, _, _ in first])
    lines = []
    for place, column, allowed in first:
        text = texts[place][column] if column else ""
        value = f"{column} = {format_value(text)}: {allowed}" if text else f"{column}: missing; {allowed}"
        lines.append(f"{cells.unit} {place}: {value if column else allowed}")
    return lines + ([f"... and {total - len(first)} more"] if total > len(first) else [])


def _payments(
    ids: tuple[str, ...], values: dict[str, Column], clock: _Clock, has_dates: bool
) -> PaymentTable:
    days, day = np.unique(values["day"], return_inverse=True)
    deadline = values["deadline"]
    columns = {
        "day": day.astype(np.int64),
        "tick": clock.ticks(values["moment"]),
        "deadline": np.where(deadline == NONE_GIVEN, NONE_GIVEN, clock.ticks(deadline)),
        **{name: values[name] for name in ("sender", "receiver", "amount", "priority")},
    }
    labels = np.datetime64("0001-01-01") + days if has_dates else days
    divisible = values["divisible"] == 1
    for column in (*columns.values(), divisible):
        column.flags.writeable = False
    names = tuple(str(label) for label in labels)
    return PaymentTable(ids, names, clock.hours, **columns, divisible=divisible)
