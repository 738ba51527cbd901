"""Figures of a run: what every policy costs, and one day of the learned one beside that of a rule."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.files import write_atomically
from paysim_gym.render import DayHistory
from paysim_gym.render.day_history import QUEUES, queue_total, tick_of_day
from paysim_gym.render.money import axis_label, axis_marks
from paysim_training.core.hparams import LEARNED

# Okabe and Ito's palette, which colour-blind people can tell apart, two of them pale, and greys.
BLUE, SKY, GREEN, ORANGE = "#0072b2", "#56b4e9", "#009e73", "#e69f00"
VERMILION, PURPLE, YELLOW = "#d55e00", "#cc79a7", "#f0e442"
PALE_BLUE, PALE_GREEN, PALE_VERMILION = "#d5e7f3", "#b3e0d2", "#fadac8"
INK, MUTED, FAINT, GRID = "#1f2933", "#5f6b7a", "#9aa5b1", "#e4e7eb"
_COMPONENT_COLOURS = (GREEN, VERMILION, YELLOW, SKY, PURPLE, FAINT, BLUE)
_NAMES = {"ppo": "PPO", "tree": "tree of PPO"}
_LEARNED_COLOURS = dict(zip(LEARNED, (BLUE, SKY), strict=True))


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG: whole or not at all, and the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=150, metadata={"Software": None})
    write_atomically(path, buffer.getvalue())


def draw_costs(metrics: Mapping[str, Any]) -> Figure:
    """A row a policy, cheapest first: mean cost of an episode and its 95% interval, the learned in colour.

    Args:
        metrics: The content of ``metrics.json``.
    """
    policies = sorted(metrics["policies"].items(), key=lambda item: item[1]["cost_cents_mean"])
    figure = Figure(figsize=(8, 1.3 + 0.42 * len(policies)), layout="constrained")
    panel = figure.subplots()
    for place, (name, policy) in enumerate(policies):
        mean, ends = policy["cost_cents_mean"], policy["cost_cents_ci95"]
        colour = _LEARNED_COLOURS.get(name, FAINT)
        panel.plot(ends, [place, place], color=colour, linewidth=4, solid_capstyle="butt", alpha=0.6)
        panel.plot(mean, place, "o", color=colour, markersize=8)
        panel.annotate(
            f"{mean / 100:,.0f}",
            (ends[1], place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=INK if name in LEARNED else MUTED,
            weight="bold" if name in LEARNED else "normal",
        )
    panel.set_yticks(range(len(policies)), [_shown(name) for name, _ in policies])
    for label, (name, _) in zip(panel.get_yticklabels(), policies, strict=True):
        label.set(color=INK, weight="bold" if name in LEARNED else "normal")
    panel.invert_yaxis()
    panel.set_xlim(left=0)
    panel.margins(x=0.12, y=0.08)
    _clean(panel, "x")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda cents, _: f"{cents / 100:,.0f}"))
    panel.set_xlabel("Cost of an episode in currency units: mean and its 95% interval", color=MUTED)
    count = metrics["evaluation"]["episodes"]
    panel.set_title(f"{metrics['env']}: {count:,} unseen episodes under each policy", loc="left", color=INK)
    return figure


def draw_days(days: Mapping[str, DayHistory], env: str, seed: int) -> Figure:
    """A column a policy: the balance, what waits, and the cost so far, tick by tick.

    Args:
        days: The same day under each policy, by its name.
        env: The environment's id.
        seed: The seed of the episode that the day ends.
    """
    figure = Figure(figsize=(11, 8), layout="constrained")
    panels = figure.subplots(3, len(days), sharex=True, sharey="row", squeeze=False)
    happened = [
        name for name in COST_COMPONENTS if any(day.latest["costs_today"][name] for day in days.values())
    ]
    for column, (name, day) in zip(panels.T, days.items(), strict=True):
        cost = sum(day.latest["costs_today"].values())
        is_learned = name in LEARNED
        column[0].set_title(
            f"{_shown(name) if is_learned else f'Best rule: {_shown(name)}'}, cost {cost / 100:,.0f}",
            **{"loc": "left", "color": BLUE if is_learned else INK, "weight": "bold"},
        )
        _draw_balance(column[0], day)
        _draw_waiting(column[1], day)
        _draw_cost(column[2], day, happened)
        column[2].set_xlabel("tick", color=MUTED)
        for panel in column:
            _clean(panel, "y")
            panel.set_xlim(0, day.latest["ticks_per_day"])
            panel.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    for row, title in zip(panels, ("Balance", "Waiting payments", "Cost so far"), strict=True):
        low, high = row[0].get_ylim()
        marks = axis_marks(round(low), round(high), 6)
        shown = [mark for mark in marks if low <= mark <= high]
        row[0].set_yticks(shown, [axis_label(mark, marks.step) for mark in shown])
        row[0].set_ylabel(title, color=INK)
        handles, labels = row[-1].get_legend_handles_labels()
        row[-1].legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.align_ylabels(panels[:, 0])
    bank = next(iter(days.values())).latest["bank"]
    figure.suptitle(
        f"One day of {bank} with the same payments: {env}, seed {seed}, in currency units", color=MUTED
    )
    return figure


def _draw_balance(panel: Axes, day: DayHistory) -> None:
    ticks, balances = zip(*day.balances(), strict=True)
    above, below = np.maximum(balances, 0), np.minimum(balances, 0)
    panel.fill_between(ticks, above, step="post", color=PALE_BLUE, linewidth=0)
    panel.fill_between(ticks, below, step="post", color=PALE_VERMILION, linewidth=0, label="overdrawn")
    if day.account_scale().shows_limit:
        starts, limits = zip(*day.limits(), strict=True)
        ends = (*starts[1:], day.latest["ticks_per_day"])
        panel.hlines(limits, starts, ends, VERMILION, "dashed", label="credit limit", linewidth=1.2)
    panel.plot(ticks, balances, color=BLUE, linewidth=1.6, drawstyle="steps-post", label="balance")
    panel.axhline(0, color=FAINT, linewidth=0.8)


def _draw_waiting(panel: Axes, day: DayHistory) -> None:
    ticks = [tick_of_day(view) for view in day.snapshots]
    values = [[queue_total(view[queue])[1] for view in day.snapshots] for queue in QUEUES]
    names = [title.lower() for title in QUEUES.values()]
    panel.stackplot(ticks, values, labels=names, colors=(PALE_GREEN, ORANGE), step="post", linewidth=0)


def _draw_cost(panel: Axes, day: DayHistory, components: Sequence[str]) -> None:
    ticks = [tick_of_day(view) for view in day.snapshots]
    costs = [[view["costs_today"][name] for view in day.snapshots] for name in components]
    names = [name.replace("_", " ") for name in components]
    colours = [_COMPONENT_COLOURS[COST_COMPONENTS.index(name)] for name in components]
    if costs:
        panel.stackplot(ticks, costs, labels=names, colors=colours, linewidth=0)


def _clean(panel: Axes, grid_axis: str) -> None:
    """A grid across what is read, behind it, and no frame."""
    panel.set_axisbelow(True)
    panel.grid(axis=grid_axis, color=GRID)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0, labelcolor=MUTED)


def _shown(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))
