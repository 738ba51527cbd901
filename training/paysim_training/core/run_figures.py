"""Figures of a run: cost of every policy, and one day under two policies."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from paysim_gym._engine import COST_COMPONENTS
from paysim_gym.files import write_atomically
from paysim_gym.render import DayHistory
from paysim_gym.render.day_history import QUEUES, queue_total, tick_of_day
from paysim_gym.render.money import axis_label, axis_marks
from paysim_training.core.hparams import LEARNED_POLICIES

# Okabe and Ito's palette for colour-blind readers, some colours also in pale, and greys.
BLUE, SKY, GREEN, ORANGE = "#0072b2", "#56b4e9", "#009e73", "#e69f00"
VERMILION, PURPLE, YELLOW = "#d55e00", "#cc79a7", "#f0e442"
PALE_BLUE, PALE_GREEN, PALE_VERMILION = "#d5e7f3", "#b3e0d2", "#fadac8"
INK, MUTED, FAINT, GRID = "#1f2933", "#5f6b7a", "#9aa5b1", "#e4e7eb"
_COMPONENT_COLOURS = (GREEN, VERMILION, YELLOW, SKY, PURPLE, FAINT, BLUE)
_NAMES = {"ppo": "PPO", "tree": "tree of PPO"}
_LEARNED_COLOURS = dict(zip(LEARNED_POLICIES, (BLUE, SKY), strict=True))


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, atomically and with reproducible bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=150, metadata={"Software": None})
    write_atomically(path, buffer.getvalue())


def draw_costs(metrics: Mapping[str, Any]) -> Figure:
    """Draws the mean cost and 95% interval of each policy, cheapest first.

    Learned policies are in colour.

    Args:
        metrics: The content of ``metrics.json``.
    """
    policies = sorted(metrics["policies"].items(), key=lambda item: item[1]["cost_cents_mean"])
    figure = Figure(figsize=(8, 1.3 + 0.42 * len(policies)), layout="constrained")
    panel = figure.subplots()
    for row, (name, policy) in enumerate(policies):
        mean, ends = policy["cost_cents_mean"], policy["cost_cents_ci95"]
        colour = _LEARNED_COLOURS.get(name, FAINT)
        panel.plot(ends, [row, row], color=colour, linewidth=4, solid_capstyle="butt", alpha=0.6)
        panel.plot(mean, row, "o", color=colour, markersize=8)
        panel.annotate(
            f"{mean / 100:,.0f}",
            (ends[1], row),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=INK if name in LEARNED_POLICIES else MUTED,
            weight="bold" if name in LEARNED_POLICIES else "normal",
        )
    panel.set_yticks(range(len(policies)), [_title(name) for name, _ in policies])
    for label, (name, _) in zip(panel.get_yticklabels(), policies, strict=True):
        label.set(color=INK, weight="bold" if name in LEARNED_POLICIES else "normal")
    panel.invert_yaxis()
    panel.set_xlim(left=0)
    panel.margins(x=0.12, y=0.08)
    _style(panel, "x")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda cents, _: f"{cents / 100:,.0f}"))
    panel.set_xlabel("Cost of an episode in currency units: mean and its 95% interval", color=MUTED)
    count = metrics["evaluation"]["episodes"]
    panel.set_title(f"{metrics['env']}: {count:,} unseen episodes under each policy", loc="left", color=INK)
    return figure


def draw_days(days: Mapping[str, DayHistory], env: str, seed: int) -> Figure:
    """Draws balance, queued payments and cumulative cost of a day, one column per policy.

    Args:
        days: The same day under each policy, by name of the policy.
        env: Id of the environment.
        seed: Seed of the episode whose last day is drawn.
    """
    figure = Figure(figsize=(11, 8), layout="constrained")
    panels = figure.subplots(3, len(days), sharex=True, sharey="row", squeeze=False)
    components = [
        name for name in COST_COMPONENTS if any(day.latest["costs_today"][name] for day in days.values())
    ]
    for column, (name, day) in zip(panels.T, days.items(), strict=True):
        cost = sum(day.latest["costs_today"].values())
        is_learned = name in LEARNED_POLICIES
        column[0].set_title(
            f"{_title(name) if is_learned else f'Best rule: {_title(name)}'}, cost {cost / 100:,.0f}",
            **{"loc": "left", "color": BLUE if is_learned else INK, "weight": "bold"},
        )
        _draw_balance(column[0], day)
        _draw_queues(column[1], day)
        _draw_cost(column[2], day, components)
        column[2].set_xlabel("tick", color=MUTED)
        for panel in column:
            _style(panel, "y")
            panel.set_xlim(0, day.latest["ticks_per_day"])
            panel.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    for row, title in zip(panels, ("Balance", "Waiting payments", "Cost so far"), strict=True):
        low, high = row[0].get_ylim()
        marks = axis_marks(round(low), round(high), 6)
        visible = [mark for mark in marks if low <= mark <= high]
        row[0].set_yticks(visible, [axis_label(mark, marks.step) for mark in visible])
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


def _draw_queues(panel: Axes, day: DayHistory) -> None:
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


def _style(panel: Axes, grid_axis: Literal["x", "y"]) -> None:
    panel.set_axisbelow(True)
    panel.grid(axis=grid_axis, color=GRID)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0, labelcolor=MUTED)


def _title(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))
