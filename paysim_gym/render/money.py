"""Cents as people write money."""

from __future__ import annotations

_UNITS = ((10**14, "tn"), (10**11, "bn"), (10**8, "M"), (10**5, "k"))


def exact(cents: int) -> str:
    """All of it: `-1,234,567.89`."""
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole:,}.{rest:02}"


def short(cents: int) -> str:
    """About three digits: `-1.23M`; below a thousand all of it: `12.50`, `0`."""
    if cents == 0:
        return "0"
    # What would be rounded to 1,000 of a unit is 1 of the next.
    for unit, name in _UNITS:
        if abs(cents) * 2000 >= unit * 1999:
            amount = cents / unit
            digits = f"{amount:,.0f}" if abs(amount) >= 999.5 else f"{amount:#.3g}".removesuffix(".")
            return digits + name
    return exact(cents)


def axis_label(cents: int, step: int) -> str:
    """A label of an axis whose marks are `step` apart: `-2.5M`, with as many digits as the step needs."""
    if cents == 0:
        return "0"
    unit, name = next(((unit, name) for unit, name in _UNITS if step * 5 >= unit), (100, ""))
    digits = next((digits for digits in range(3) if step * 10**digits % unit == 0), 2)
    return f"{cents / unit:,.{digits}f}{name}"


def axis_step(span: int, marks: int) -> int:
    """The smallest of 1, 2 and 5 times a power of ten, in cents, that divides a span into at most `marks`."""
    power = int(10 ** (len(str(span // marks)) - 1))
    while True:
        for factor in (1, 2, 5):
            if factor * power * marks >= span:
                return factor * power
        power *= 10


def axis_marks(low: int, high: int, marks: int) -> range:
    """Round amounts in cents around two others; at most two more than `marks`."""
    step = axis_step(max(high - low, 1), marks)
    bottom, top = low // step * step, -(-high // step) * step
    return range(bottom, max(top, bottom + step) + 1, step)
