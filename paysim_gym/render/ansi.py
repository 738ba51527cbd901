"""Renders a day as text for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from paysim_gym.render.day_history import QUEUES, URGENCIES, BankSnapshot, DayHistory, headline, queue_total
from paysim_gym.render.money import axis_label, axis_marks, exact, short

_WIDTH = 96
_COLUMNS = 80
_RISING = " ▁▂▃▄▅▆▇█"
_HANGING = " ▀█"


def render_text(day: DayHistory) -> str:
    """Render a day so far as text; amounts in tables are exact.

    Returns:
        Lines of at most 100 columns, without escape sequences.

    Raises:
        ValueError: If there is no snapshot.
    """
    snapshot = day.latest
    parts = (_totals(snapshot), _account(day), _flows(day), _queues(snapshot), _costs(snapshot))
    title = f"{snapshot['bank']}, {headline(snapshot)}"
    lines = [title[:_WIDTH], "─" * _WIDTH]
    for part in parts:
        lines += [*part, ""]
    return "\n".join(lines[:-1])


def _totals(snapshot: BankSnapshot) -> Iterator[str]:
    pairs = [
        ("Balance", snapshot["balance"], "Received today", snapshot["received_today"]),
        ("Credit limit", snapshot["limit"], "Paid today", snapshot["paid_today"]),
        ("Liquidity", snapshot["liquidity"], "Cost today", sum(snapshot["costs_today"].values())),
    ]
    if snapshot["pool"]:
        pairs.append(("Pool committed", snapshot["pool_committed"], "Pool", snapshot["pool"]))
    for name, amount, other_name, other in pairs:
        yield f"{name:<18}{exact(amount):>27}      {other_name:<18}{exact(other):>27}"


def _account(day: DayHistory) -> Iterator[str]:
    """Yield a chart of the balance with columns above and below zero."""
    ticks = day.latest["ticks_per_day"]
    columns: dict[int, int] = {}
    for tick, balance in day.balances():
        columns[_column(tick, ticks)] = balance
    scale = day.account_scale()
    marks = axis_marks(scale.low, scale.high, 10)
    limit = f"credit limit {short(day.latest['limit'])}"
    yield f"Account by tick, {limit}{' (╌)' if scale.shows_limit else ''}"
    for mark in reversed(marks):
        if mark == 0:
            yield _row("0", "┼", "─" * (_column(ticks, ticks) + 1), _repeats(ticks))
            continue
        # A row spans the values between its mark and the next mark towards zero.
        sign, blocks = (1, _RISING) if mark > 0 else (-1, _HANGING)
        inner = mark - sign * marks.step
        heights = {column: sign * (balance - inner) for column, balance in columns.items()}
        bars = _bars(heights, marks.step, blocks)
        if scale.shows_limit and mark <= -day.latest["limit"] < inner:
            bars = bars.ljust(_column(ticks, ticks) + 1).replace(" ", "╌")
        yield _row(axis_label(mark, marks.step), "│", bars, _repeats(ticks))


def _flows(day: DayHistory) -> Iterator[str]:
    """Yield charts of receipts and payments, relative to the maximum."""
    ticks = day.latest["ticks_per_day"]
    received: dict[int, int] = {}
    paid: dict[int, int] = {}
    for flow in day.flows():
        column = _column(flow.tick, ticks)
        received[column] = received.get(column, 0) + flow.received
        paid[column] = paid.get(column, 0) + flow.paid
    largest = max([*received.values(), *paid.values()], default=0)
    yield f"Flows by tick, at most {short(largest)} in a column"
    for name, amounts in (("Receipts", received), ("Payments", paid)):
        yield _row(name, "│", _bars(amounts, largest, _RISING), _repeats(ticks))


def _column(tick: int, ticks: int) -> int:
    return tick * min(ticks, _COLUMNS) // ticks


def _repeats(ticks: int) -> int:
    """Return the width of a column in characters."""
    return min(max(_COLUMNS // ticks, 1), 4)


def _bars(values: Mapping[int, int], full_height: int, blocks: str) -> str:
    """Return one block per column; positive values have at least the lowest block."""
    levels_above_zero = len(blocks) - 1
    levels = {
        column: -(-min(max(value, 0), full_height) * levels_above_zero // max(full_height, 1))
        for column, value in values.items()
    }
    return "".join(blocks[levels.get(column, 0)] for column in range(max(levels, default=-1) + 1))


def _row(label: str, border: str, cells: str, repeats: int) -> str:
    return f"{label:>9} {border}{''.join(cell * repeats for cell in cells)}".rstrip()


def _queues(snapshot: BankSnapshot) -> Iterator[str]:
    yield f"{'':<18}" + "".join(f"{title:>39}" for title in QUEUES.values())
    yield f"{'':<18}" + f"{'payments':>12}{'value':>27}" * len(QUEUES)
    for urgency, name in URGENCIES.items():
        yield _queue_row(name, [snapshot[queue][urgency] for queue in QUEUES])
    yield _queue_row("total", [queue_total(snapshot[queue]) for queue in QUEUES])


def _queue_row(name: str, amounts: Iterable[tuple[int, int]]) -> str:
    return f"{name:<18}" + "".join(f"{count:>12,}{exact(value):>27}" for count, value in amounts)


def _costs(snapshot: BankSnapshot) -> Iterator[str]:
    yield f"{'Costs':<18}{'today':>39}{'episode':>39}"
    for name, cost in snapshot["costs_today"].items():
        yield f"{name.replace('_', ' '):<18}{exact(cost):>39}{exact(snapshot['costs'][name]):>39}"
    totals = [exact(sum(snapshot[key].values())) for key in ("costs_today", "costs")]
    yield f"{'total':<18}{totals[0]:>39}{totals[1]:>39}"
