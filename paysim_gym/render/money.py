"""Formats cents as amounts of money, and chooses marks of axes."""

from __future__ import annotations

_UNITS = ((10**14, "tn"), (10**11, "bn"), (10**8, "M"), (10**5, "k"))


def exact(cents: int) -> str:
    """Format the exact amount: `-1,234,567.89`."""
    units, remainder = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{units:,}.{remainder:02}"


def short(cents: int) -> str:
    """Format three digits: `-1.23M`; exact below a thousand: `12.50`, `0`."""
    if cents == 0:
        return "0"
    # Amounts that round to 1,000 of a unit are 1 of the next.
    for unit, name in _UNITS:
        if abs(cents) * 2000 >= unit * 1999:
            amount = cents / unit
            digits = f"{amount:,.0f}" if abs(amount) >= 999.5 else f"{amount:#.3g}".removesuffix(".")
            return digits + name
    return exact(cents)


def axis_label(cents: int, step: int) -> str:
    """Format an axis label with the digits that its step needs: `-2.5M`."""
    if cents == 0:
        return "0"
    unit, name = next(((unit, name) for unit, name in _UNITS if step * 5 >= unit), (100, ""))
    digits = next((digits for digits in range(3) if step * 10**digits % unit == 0), 2)
    return f"{cents / unit:,.{digits}f}{name}"


def axis_step(span: int, marks: int) -> int:
    """Return the smallest round step that divides a span into `marks` or fewer."""
    power = int(10 ** (len(str(span // marks)) - 1))
    while True:
        for factor in (1, 2, 5):
            if factor * power * marks >= span:
                return factor * power
        power *= 10


def axis_marks(low: int, high: int, marks: int) -> range:
    """Return at most `marks` + 2 round amounts in cents that enclose a range."""
    step = axis_step(max(high - low, 1), marks)
    bottom, top = low // step * step, -(-high // step) * step
    return range(bottom, max(top, bottom + step) + 1, step)
