"""Renders a day as a picture: account, flows, queues and costs."""

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
"""Default width and height of a picture in pixels."""
MIN_SIZE = (640, 420)
"""Minimum width and height, for legible text."""

_Segment = tuple[tuple[int, int], int]  # (first tick, end tick), amount in cents
_URGENCY_COLOURS = dict(zip(URGENCIES, (VERMILION, ORANGE, SKY, FAINT), strict=True))


class _Chart:
    """A chart of money over the ticks of a day."""

    def __init__(self, canvas: Canvas, box: Box, money: tuple[int, int], ticks: int) -> None:
        """Draw the grid and its labels for a range of amounts."""
        self.canvas, self.box = canvas, box
        self._marks, self._ticks = axis_marks(*money, 6), ticks
        step = next(step for step in (1, 2, 4, 5, 10, 20, 25, 50, 100) if ticks <= 12 * step)
        for tick in range(0, ticks + 1, step):
            x = self.x(tick)
            canvas.vertical_line(x, box.top, box.bottom, GRID)
            canvas.text(x, box.bottom + canvas.px(13), str(tick), size=12, side="middle", colour=MUTED)
        for mark in self._marks:
            x, label = box.left - canvas.px(8), axis_label(mark, self._marks.step)
            canvas.text(x, self.y(mark), label, size=12, side="right", colour=MUTED)
        self.draw_gridlines()

    def x(self, tick: int) -> int:
        return self.box.left + tick * self.box.width // self._ticks

    def y(self, cents: int) -> int:
        low, high = self._marks[0], self._marks[-1]
        return self.box.bottom - (cents - low) * (self.box.bottom - self.box.top) // (high - low)

    def draw_gridlines(self) -> None:
        """Draw the horizontal grid lines; the one at zero is darker."""
        for mark in self._marks:
            self.canvas.horizontal_line(self.box.left, self.box.right, self.y(mark), GRID if mark else FAINT)

    def column(self, ticks: tuple[int, int], cents: int, colour: Colour, gap: int = 0) -> None:
        """Draw a column from zero to an amount."""
        if cents:
            self.canvas.fill(Box(self.x(ticks[0]) + gap, self.y(cents), self.x(ticks[1]), self.y(0)), colour)

    def title(self, title: str, legend: Sequence[tuple[str, Colour | None]]) -> None:
        px = self.canvas.px
        y, right = self.box.top - px(17), self.box.right
        self.canvas.text(px(20), y, title, size=15)
        for name, colour in reversed(legend):
            self.canvas.text(right, y, name, size=12, side="right", colour=MUTED)
            right -= self.canvas.text_width(name, 12) + px(6)
            if colour:
                self.canvas.fill(Box(right - px(12), y - px(4), right, y + px(5)), colour)
            right -= px(28)


def render_picture(day: DayHistory, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Render a day so far.

    Args:
        day: A day with at least one snapshot.
        size: Width and height in pixels.

    Returns:
        A new array, uint8 of shape (height, width, 3).

    Raises:
        ValueError: If there is no snapshot, or the size is below 640 x 420.
        DependencyNotInstalled: If Pillow is not installed.
    """
    width, height = size
    if width < MIN_SIZE[0] or height < MIN_SIZE[1]:
        raise ValueError(f"size = {size}: must be at least {MIN_SIZE}")
    snapshot = day.latest
    canvas = Canvas(size, min(width / SIZE[0], height / SIZE[1]))
    px = canvas.px
    header, middle, margin = px(92), width - px(342), px(20)
    chart_left = margin + px(56)
    seam = header + (height - header) * 60 // 100
    _draw_header(canvas, snapshot, width)
    _draw_account(canvas, day, Box(chart_left, header + px(34), middle - px(20), seam - px(22)))
    _draw_flows(canvas, day, Box(chart_left, seam + px(34), middle - px(20), height - px(44)))
    side = Box(middle + px(6), header, width - margin, height)
    _draw_queues(canvas, snapshot, side)
    _draw_costs(canvas, snapshot, side._replace(top=seam))
    return canvas.pixels


def _draw_header(canvas: Canvas, snapshot: BankSnapshot, width: int) -> None:
    px = canvas.px
    totals = [
        ("Balance", short(snapshot["balance"]), VERMILION if snapshot["balance"] < 0 else INK),
        ("Liquidity", short(snapshot["liquidity"]), INK),
        ("Received today", short(snapshot["received_today"]), INK),
        ("Paid today", short(snapshot["paid_today"]), INK),
        ("Cost today", short(sum(snapshot["costs_today"].values())), INK),
    ]
    if snapshot["pool"]:
        totals.insert(2, (f"Pool, of {short(snapshot['pool'])}", short(snapshot["pool_committed"]), INK))
    pitch = (width - px(250)) // 6
    _draw_name(canvas, snapshot["bank"], width - px(40) - len(totals) * pitch)
    canvas.text(px(20), px(58), headline(snapshot), colour=MUTED)
    for index, (name, amount, colour) in enumerate(reversed(totals)):
        right = width - px(20) - index * pitch
        canvas.text(right, px(30), amount, size=20, side="right", colour=colour)
        canvas.text(right, px(58), name, size=12, side="right", colour=MUTED)
    canvas.horizontal_line(px(20), width - px(20), px(80), GRID)


def _draw_name(canvas: Canvas, name: str, max_width: int) -> None:
    label = name
    while canvas.text_width(label, 24) > max_width:
        name = name[:-1]
        label = f"{name}..."
    canvas.text(canvas.px(20), canvas.px(30), label, size=24)


def _draw_account(canvas: Canvas, day: DayHistory, box: Box) -> None:
    scale, ticks, now = day.account_scale(), day.latest["ticks_per_day"], tick_of_day(day.latest)
    chart = _Chart(canvas, box, (scale.low, scale.high), ticks)
    segments = _segments(day.balances(), now)
    for span, balance in segments:
        chart.column(span, balance, PALE_VERMILION if balance < 0 else PALE_BLUE)
    chart.draw_gridlines()
    legend: list[tuple[str, Colour | None]] = [("Balance", BLUE), ("Overdrawn", PALE_VERMILION)]
    if scale.shows_limit:
        for (start, end), limit in _segments(day.limits(), ticks):
            canvas.dashed_line(chart.x(start), chart.x(end), chart.y(limit), VERMILION)
        legend.append(("Credit limit", VERMILION))
    else:
        limit = day.latest["limit"]
        legend.append((f"Credit limit {short(limit)}, off the chart" if limit else "No credit", None))
    _draw_balances(chart, segments)
    chart.title("Account", legend)


def _draw_balances(chart: _Chart, segments: Sequence[_Segment]) -> None:
    """Draw the balance as a step line, with a dot at its end."""
    canvas, thickness, dot = chart.canvas, max(chart.canvas.px(2), 2), chart.canvas.px(4)
    before = chart.y(segments[0][1])
    for (start, end), balance in segments:
        x, y = chart.x(start), chart.y(balance)
        top, bottom = sorted((before, y))
        canvas.vertical_line(x, top - thickness // 2, bottom - thickness // 2 + thickness, BLUE, thickness)
        canvas.horizontal_line(x, chart.x(end), y, BLUE, thickness)
        before = y
    x = chart.x(segments[-1][0][1])
    canvas.fill(Box(x - dot, before - dot, x + dot, before + dot), BLUE)


def _draw_flows(canvas: Canvas, day: DayHistory, box: Box) -> None:
    flows, ticks = day.flows(), day.latest["ticks_per_day"]
    received = max((flow.received for flow in flows), default=0)
    paid = max((flow.paid for flow in flows), default=0)
    money = (-paid, received) if received or paid else (-100_00, 100_00)
    chart = _Chart(canvas, box, money, ticks)
    gap = 1 if box.width >= 3 * ticks else 0
    for flow in flows:
        chart.column((flow.tick, flow.tick + 1), flow.received, GREEN, gap)
        chart.column((flow.tick, flow.tick + 1), -flow.paid, ORANGE, gap)
    canvas.horizontal_line(box.left, box.right, chart.y(0), FAINT)
    chart.title("Flows per tick", [("Receipts", GREEN), ("Payments", ORANGE)])
    x, y = (box.left + box.right) // 2, box.bottom + canvas.px(32)
    canvas.text(x, y, "tick", size=12, side="middle", colour=MUTED)


def _segments(points: Sequence[tuple[int, int]], end: int) -> list[_Segment]:
    """Return the ticks during which each amount holds, the last one until `end`."""
    ends = [*(tick for tick, _ in points[1:]), end]
    return [((tick, until), amount) for (tick, amount), until in zip(points, ends, strict=True)]


def _draw_queues(canvas: Canvas, snapshot: BankSnapshot, box: Box) -> None:
    px = canvas.px
    y = box.top + px(17)
    largest = max(value for queue in QUEUES for _, value in snapshot[queue].values())
    for queue, title in QUEUES.items():
        count, total = queue_total(snapshot[queue])
        payments = "1 payment" if count == 1 else f"{count} payments"
        canvas.text(box.left, y, title, size=15)
        canvas.text(box.right - px(68), y, payments, size=12, side="right", colour=MUTED)
        canvas.text(box.right, y, short(total), size=15, side="right")
        for urgency, name in URGENCIES.items():
            y += px(25)
            count, value = snapshot[queue][urgency]
            colour = INK if count else FAINT
            _draw_row(canvas, box, y, name, (value, largest), _URGENCY_COLOURS[urgency])
            canvas.text(box.right - px(68), y, f"{count}", side="right", colour=colour)
            canvas.text(box.right, y, short(value), side="right", colour=colour)
        y += px(40)


def _draw_costs(canvas: Canvas, snapshot: BankSnapshot, box: Box) -> None:
    px = canvas.px
    costs = snapshot["costs_today"]
    y, largest = box.top + px(17), max(costs.values())
    canvas.text(box.left, y, "Costs today", size=15)
    canvas.text(box.right, y, _cost(sum(costs.values())), size=15, side="right")
    for name, cost in costs.items():
        y += px(22)
        _draw_row(canvas, box, y, name.replace("_", " "), (cost, largest), BLUE)
        canvas.text(box.right, y, _cost(cost), side="right", colour=INK if cost else FAINT)


def _draw_row(canvas: Canvas, box: Box, y: int, name: str, share: tuple[int, int], colour: Colour) -> None:
    """Draw a name and a bar; `share` is its value and the largest value."""
    px = canvas.px
    canvas.text(box.left, y, name, colour=MUTED)
    left, (value, largest) = box.left + px(108), share
    if value > 0:
        canvas.fill(Box(left, y - px(6), left + max(value * px(88) // largest, 1), y + px(7)), colour)


def _cost(cents: int) -> str:
    """Format exactly if it fits into the column."""
    return exact(cents) if cents < 10**11 else short(cents)
