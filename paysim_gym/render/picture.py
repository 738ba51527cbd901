"""A day as a picture that a treasurer reads: account, flows, queues, costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paysim_gym.render.canvas import (
    BLUE,
    FAINT,
    GREEN,
    GRID,
    INK,
    MUTED,
    ORANGE,
    PALE_BLUE,
    PALE_VERMILION,
    SKY,
    VERMILION,
    Box,
    Canvas,
    Colour,
)
from paysim_gym.render.day_history import (
    QUEUES,
    URGENCIES,
    BankSnapshot,
    DayHistory,
    headline,
    queue_total,
    tick_of_day,
)
from paysim_gym.render.money import axis_label, axis_marks, exact, short

SIZE = (960, 640)
"""Width and height of a picture in pixels, unless told otherwise."""
SMALLEST = (640, 420)
"""Below this nobody could read it."""

_Run = tuple[tuple[int, int], int]
_URGENCY_COLOURS = dict(zip(URGENCIES, (VERMILION, ORANGE, SKY, FAINT), strict=True))


class _Chart:
    """Ticks of a day across, money up."""

    def __init__(self, canvas: Canvas, box: Box, money: tuple[int, int], ticks: int) -> None:
        """Draw the grid and its labels for amounts between two."""
        self.canvas, self.box = canvas, box
        self._marks, self._ticks = axis_marks(*money, 6), ticks
        step = next(step for step in (1, 2, 4, 5, 10, 20, 25, 50, 100) if ticks <= 12 * step)
        for tick in range(0, ticks + 1, step):
            x = self.x(tick)
            canvas.down(x, box.top, box.bottom, GRID)
            canvas.text(x, box.bottom + canvas.px(13), str(tick), size=12, side="middle", colour=MUTED)
        for mark in self._marks:
            x, label = box.left - canvas.px(8), axis_label(mark, self._marks.step)
            canvas.text(x, self.y(mark), label, size=12, side="right", colour=MUTED)
        self.rule()

    def x(self, tick: int) -> int:
        return self.box.left + tick * self.box.width // self._ticks

    def y(self, cents: int) -> int:
        low, high = self._marks[0], self._marks[-1]
        return self.box.bottom - (cents - low) * (self.box.bottom - self.box.top) // (high - low)

    def rule(self) -> None:
        """The grid's horizontal lines; the one at zero is darker."""
        for mark in self._marks:
            self.canvas.across(self.box.left, self.box.right, self.y(mark), GRID if mark else FAINT)

    def column(self, ticks: tuple[int, int], cents: int, colour: Colour, gap: int = 0) -> None:
        """A column from zero to an amount."""
        if cents:
            self.canvas.fill(Box(self.x(ticks[0]) + gap, self.y(cents), self.x(ticks[1]), self.y(0)), colour)

    def title(self, title: str, legend: Sequence[tuple[str, Colour | None]]) -> None:
        """The chart's name above it, with its legend at the right."""
        px = self.canvas.px
        y, right = self.box.top - px(17), self.box.right
        self.canvas.text(px(20), y, title, size=15)
        for name, colour in reversed(legend):
            self.canvas.text(right, y, name, size=12, side="right", colour=MUTED)
            right -= self.canvas.length(name, 12) + px(6)
            if colour:
                self.canvas.fill(Box(right - px(12), y - px(4), right, y + px(5)), colour)
            right -= px(28)


def render_picture(day: DayHistory, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Draw a day as far as it has come.

    Args:
        day: A day of which something has been recorded.
        size: Width and height in pixels.

    Returns:
        A fresh array, uint8 of shape (height, width, 3).

    Raises:
        ValueError: If nothing has been recorded, or the size is below 640 x 420.
        DependencyNotInstalled: Without Pillow.
    """
    width, height = size
    if width < SMALLEST[0] or height < SMALLEST[1]:
        raise ValueError(f"size = {size}: must be at least {SMALLEST}")
    view = day.now
    canvas = Canvas(size, min(width / SIZE[0], height / SIZE[1]))
    px = canvas.px
    header, middle, margin = px(92), width - px(342), px(20)
    chart_left = margin + px(56)
    seam = header + (height - header) * 60 // 100
    _draw_header(canvas, view, width)
    _draw_account(canvas, day, Box(chart_left, header + px(34), middle - px(20), seam - px(22)))
    _draw_flows(canvas, day, Box(chart_left, seam + px(34), middle - px(20), height - px(44)))
    side = Box(middle + px(6), header, width - margin, height)
    _draw_queues(canvas, view, side)
    _draw_costs(canvas, view, side._replace(top=seam))
    return canvas.pixels


def _draw_header(canvas: Canvas, view: BankSnapshot, width: int) -> None:
    px = canvas.px
    figures = [
        ("Balance", short(view["balance"]), VERMILION if view["balance"] < 0 else INK),
        ("Liquidity", short(view["liquidity"]), INK),
        ("Received today", short(view["received_today"]), INK),
        ("Paid today", short(view["paid_today"]), INK),
        ("Cost today", short(sum(view["costs_today"].values())), INK),
    ]
    if view["pool"]:
        figures.insert(2, (f"Pool, of {short(view['pool'])}", short(view["pool_committed"]), INK))
    pitch = (width - px(250)) // 6
    _draw_name(canvas, view["bank"], width - px(40) - len(figures) * pitch)
    canvas.text(px(20), px(58), headline(view), colour=MUTED)
    for place, (name, amount, colour) in enumerate(reversed(figures)):
        right = width - px(20) - place * pitch
        canvas.text(right, px(30), amount, size=20, side="right", colour=colour)
        canvas.text(right, px(58), name, size=12, side="right", colour=MUTED)
    canvas.across(px(20), width - px(20), px(80), GRID)


def _draw_name(canvas: Canvas, name: str, room: int) -> None:
    shown = name
    while canvas.length(shown, 24) > room:
        name = name[:-1]
        shown = f"{name}..."
    canvas.text(canvas.px(20), canvas.px(30), shown, size=24)


def _draw_account(canvas: Canvas, day: DayHistory, box: Box) -> None:
    scale, ticks, now = day.account_scale(), day.now["ticks_per_day"], tick_of_day(day.now)
    chart = _Chart(canvas, box, (scale.low, scale.high), ticks)
    runs = _runs(day.balances(), now)
    for span, balance in runs:
        chart.column(span, balance, PALE_VERMILION if balance < 0 else PALE_BLUE)
    chart.rule()
    legend: list[tuple[str, Colour | None]] = [("Balance", BLUE), ("Overdrawn", PALE_VERMILION)]
    if scale.shows_limit:
        for (start, end), limit in _runs(day.limits(), ticks):
            canvas.dashes(chart.x(start), chart.x(end), chart.y(limit), VERMILION)
        legend.append(("Credit limit", VERMILION))
    else:
        limit = day.now["limit"]
        legend.append((f"Credit limit {short(limit)}, off the chart" if limit else "No credit", None))
    _draw_balances(chart, runs)
    chart.title("Account", legend)


def _draw_balances(chart: _Chart, runs: Sequence[_Run]) -> None:
    """A line in steps, with a dot at its end."""
    canvas, thick, dot = chart.canvas, max(chart.canvas.px(2), 2), chart.canvas.px(4)
    before = chart.y(runs[0][1])
    for (start, end), balance in runs:
        x, y = chart.x(start), chart.y(balance)
        top, bottom = sorted((before, y))
        canvas.down(x, top - thick // 2, bottom - thick // 2 + thick, BLUE, thick)
        canvas.across(x, chart.x(end), y, BLUE, thick)
        before = y
    x = chart.x(runs[-1][0][1])
    canvas.fill(Box(x - dot, before - dot, x + dot, before + dot), BLUE)


def _draw_flows(canvas: Canvas, day: DayHistory, box: Box) -> None:
    flows, ticks = day.flows(), day.now["ticks_per_day"]
    received = max((flow.received for flow in flows), default=0)
    paid = max((flow.paid for flow in flows), default=0)
    money = (-paid, received) if received or paid else (-100_00, 100_00)
    chart = _Chart(canvas, box, money, ticks)
    gap = 1 if box.width >= 3 * ticks else 0
    for flow in flows:
        chart.column((flow.tick, flow.tick + 1), flow.received, GREEN, gap)
        chart.column((flow.tick, flow.tick + 1), -flow.paid, ORANGE, gap)
    canvas.across(box.left, box.right, chart.y(0), FAINT)
    chart.title("Flows per tick", [("Receipts", GREEN), ("Payments", ORANGE)])
    x, y = (box.left + box.right) // 2, box.bottom + canvas.px(32)
    canvas.text(x, y, "tick", size=12, side="middle", colour=MUTED)


def _runs(points: Sequence[tuple[int, int]], end: int) -> list[_Run]:
    """From which tick to which an amount holds, the last one up to `end`."""
    ends = [*(tick for tick, _ in points[1:]), end]
    return [((tick, until), amount) for (tick, amount), until in zip(points, ends, strict=True)]


def _draw_queues(canvas: Canvas, view: BankSnapshot, box: Box) -> None:
    """Both queues by urgency."""
    px = canvas.px
    y = box.top + px(17)
    most = max(value for queue in QUEUES for _, value in view[queue].values())
    for queue, title in QUEUES.items():
        count, total = queue_total(view[queue])
        payments = "1 payment" if count == 1 else f"{count} payments"
        canvas.text(box.left, y, title, size=15)
        canvas.text(box.right - px(68), y, payments, size=12, side="right", colour=MUTED)
        canvas.text(box.right, y, short(total), size=15, side="right")
        for urgency, name in URGENCIES.items():
            y += px(25)
            count, value = view[queue][urgency]
            colour = INK if count else FAINT
            _draw_row(canvas, box, y, name, (value, most), _URGENCY_COLOURS[urgency])
            canvas.text(box.right - px(68), y, f"{count}", side="right", colour=colour)
            canvas.text(box.right, y, short(value), side="right", colour=colour)
        y += px(40)


def _draw_costs(canvas: Canvas, view: BankSnapshot, box: Box) -> None:
    """Costs of the day by component."""
    px = canvas.px
    costs = view["costs_today"]
    y, most = box.top + px(17), max(costs.values())
    canvas.text(box.left, y, "Costs today", size=15)
    canvas.text(box.right, y, _cost(sum(costs.values())), size=15, side="right")
    for name, cost in costs.items():
        y += px(22)
        _draw_row(canvas, box, y, name.replace("_", " "), (cost, most), BLUE)
        canvas.text(box.right, y, _cost(cost), side="right", colour=INK if cost else FAINT)


def _draw_row(canvas: Canvas, box: Box, y: int, name: str, share: tuple[int, int], colour: Colour) -> None:
    """A name and a bar as long as the share of the longest."""
    px = canvas.px
    canvas.text(box.left, y, name, colour=MUTED)
    left, (part, most) = box.left + px(108), share
    if part > 0:
        canvas.fill(Box(left, y - px(6), left + max(part * px(88) // most, 1), y + px(7)), colour)


def _cost(cents: int) -> str:
    """To the cent, as long as there is room for it."""
    return exact(cents) if cents < 10**11 else short(cents)
