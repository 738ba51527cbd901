"""A day as text for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from paysim_gym.render.day_history import QUEUES, URGENCIES, BankSnapshot, DayHistory, headline, queue_total
from paysim_gym.render.money import axis_label, axis_marks, exact, short

_WIDTH = 96
_COLUMNS = 80
_RISING = " ▁▂▃▄▅▆▇█"
_HANGING = " ▀█"


def render_text(day: DayHistory) -> str:
    """Write a day as far as it has come; amounts in the tables are to the cent.

    Args:
        day: A day of which something has been recorded.

    Returns:
        Lines of at most 100 columns, without escape sequences.

    Raises:
        ValueError: If nothing has been recorded.
    """
    view = day.now
    parts = (_figures(view), _account(day), _flows(day), _queues(view), _costs(view))
    title = f"{view['bank']}, {headline(view)}"
    lines = [title[:_WIDTH], "─" * _WIDTH]
    for part in parts:
        lines += [*part, ""]
    return "\n".join(lines[:-1])


def _figures(view: BankSnapshot) -> Iterator[str]:
    pairs = [
        ("Balance", view["balance"], "Received today", view["received_today"]),
        ("Credit limit", view["limit"], "Paid today", view["paid_today"]),
        ("Liquidity", view["liquidity"], "Cost today", sum(view["costs_today"].values())),
    ]
    if view["pool"]:
        pairs.append(("Pool committed", view["pool_committed"], "Pool", view["pool"]))
    for name, amount, other_name, other in pairs:
        yield f"{name:<18}{exact(amount):>27}      {other_name:<18}{exact(other):>27}"


def _account(day: DayHistory) -> Iterator[str]:
    """Balances as columns above and below a line at zero."""
    ticks = day.now["ticks_per_day"]
    columns: dict[int, int] = {}
    for tick, balance in day.balances():
        columns[_column(tick, ticks)] = balance
    scale = day.account_scale()
    marks = axis_marks(scale.low, scale.high, 10)
    limit = f"credit limit {short(day.now['limit'])}"
    yield f"Account by tick, {limit}{' (╌)' if scale.shows_limit else ''}"
    for mark in reversed(marks):
        if mark == 0:
            yield _row("0", "┼", "─" * (_column(ticks, ticks) + 1), _repeats(ticks))
            continue
        # A row lies between its mark and the next one nearer to zero.
        sign, blocks = (1, _RISING) if mark > 0 else (-1, _HANGING)
        inner = mark - sign * marks.step
        parts = {column: sign * (balance - inner) for column, balance in columns.items()}
        bars = _bars(parts, marks.step, blocks)
        if scale.shows_limit and mark <= -day.now["limit"] < inner:
            bars = bars.ljust(_column(ticks, ticks) + 1).replace(" ", "╌")
        yield _row(axis_label(mark, marks.step), "│", bars, _repeats(ticks))


def _flows(day: DayHistory) -> Iterator[str]:
    """Receipts and payments of every tick, as shares of the most in any column."""
    ticks = day.now["ticks_per_day"]
    received: dict[int, int] = {}
    paid: dict[int, int] = {}
    for flow in day.flows():
        column = _column(flow.tick, ticks)
        received[column] = received.get(column, 0) + flow.received
        paid[column] = paid.get(column, 0) + flow.paid
    most = max([*received.values(), *paid.values()], default=0)
    yield f"Flows by tick, at most {short(most)} in a column"
    for name, amounts in (("Receipts", received), ("Payments", paid)):
        yield _row(name, "│", _bars(amounts, most, _RISING), _repeats(ticks))


def _column(tick: int, ticks: int) -> int:
    return tick * min(ticks, _COLUMNS) // ticks


def _repeats(ticks: int) -> int:
    """How many characters wide a column is."""
    return min(max(_COLUMNS // ticks, 1), 4)


def _bars(parts: Mapping[int, int], whole: int, blocks: str) -> str:
    """One block a column, as high as its part of the whole; the least amount shows."""
    highest = len(blocks) - 1
    levels = {
        column: -(-min(max(part, 0), whole) * highest // max(whole, 1)) for column, part in parts.items()
    }
    return "".join(blocks[levels.get(column, 0)] for column in range(max(levels, default=-1) + 1))


def _row(label: str, border: str, cells: str, repeats: int) -> str:
    return f"{label:>9} {border}{''.join(cell * repeats for cell in cells)}".rstrip()


def _queues(view: BankSnapshot) -> Iterator[str]:
    yield f"{'':<18}" + "".join(f"{title:>39}" for title in QUEUES.values())
    yield f"{'':<18}" + f"{'payments':>12}{'value':>27}" * len(QUEUES)
    for urgency, name in URGENCIES.items():
        yield _queue_row(name, [view[queue][urgency] for queue in QUEUES])
    yield _queue_row("total", [queue_total(view[queue]) for queue in QUEUES])


def _queue_row(name: str, amounts: Iterable[tuple[int, int]]) -> str:
    return f"{name:<18}" + "".join(f"{count:>12,}{exact(value):>27}" for count, value in amounts)


def _costs(view: BankSnapshot) -> Iterator[str]:
    """The day's costs by component, beside those of the episode."""
    yield f"{'Costs':<18}{'today':>39}{'episode':>39}"
    for name, cost in view["costs_today"].items():
        yield f"{name.replace('_', ' '):<18}{exact(cost):>39}{exact(view['costs'][name]):>39}"
    totals = [exact(sum(view[key].values())) for key in ("costs_today", "costs")]
    yield f"{'total':<18}{totals[0]:>39}{totals[1]:>39}"
