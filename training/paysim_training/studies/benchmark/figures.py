"""Figures of a benchmark: costs by task, and the share of the gap closed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from paysim_training.core.run_figures import save_figure
from paysim_training.studies.benchmark.results import origin

_POLICIES = {
    "release_all": ("release_all", "#b0b0b0"),
    "best_rule": ("best tuned rule", "#e69f00"),
    "planner": ("planner", "#56b4e9"),
    "learned": ("PPO", "#0072b2"),
    "hindsight": ("hindsight", "#009e73"),
}
_COLUMNS = 3


def write_figures(details: Mapping[str, Any], folder: Path) -> list[Path]:
    """Plot ``cost.png`` and ``gap_closed.png``.

    Args:
        details: The content of ``details.json``.
        folder: The folder to write to.

    Returns:
        The paths of the files.
    """
    figures = {"cost.png": plot_costs(details), "gap_closed.png": plot_gap_closed(details)}
    for name, figure in figures.items():
        figure.text(0.01, 0.01, origin(details), fontsize=7, color="#606060")
        save_figure(figure, folder / name)
    return [folder / name for name in figures]


def plot_costs(details: Mapping[str, Any]) -> Figure:
    """Interquartile mean cost per day and its 95% interval, one panel per task."""
    tasks = details["tasks"]
    columns = min(_COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    layout = ConstrainedLayoutEngine(rect=(0, 0.04, 1, 0.96))
    figure = Figure(figsize=(2 + 3.2 * columns, 0.9 + 2.3 * rows), layout=layout)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel, (task, entry) in zip(panels, tasks.items(), strict=False):
        for row, (name, (_, color)) in enumerate(_POLICIES.items()):
            policy = entry["policies"][name]
            panel.plot(np.array(policy["ci95"]) / 100, [row, row], color=color, linewidth=3)
            panel.plot(policy["iqm"] / 100, row, "o", color=color)
        panel.set(title=_short(task), xlabel="cost of a day, currency units")
        panel.set_xlim(left=0)
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(_POLICIES)), [label for label, _ in _POLICIES.values()])
    panels[0].invert_yaxis()
    for panel in panels[len(tasks) :]:
        panel.set_visible(False)
    return figure


def plot_gap_closed(details: Mapping[str, Any]) -> Figure:
    """Share of the gap closed by PPO and by the planner, by task."""
    tasks = {task: entry for task, entry in details["tasks"].items() if entry["gap_closed"] is not None}
    layout = ConstrainedLayoutEngine(rect=(0, 0.06, 1, 0.94))
    figure = Figure(figsize=(8, 1.2 + 0.6 * max(1, len(tasks))), layout=layout)
    panel = figure.subplots()
    positions = np.arange(len(tasks))
    for shift, name in ((-0.2, "planner"), (0.2, "learned")):
        label, color = _POLICIES[name]
        shares = [_share(entry["policies"], name) for entry in tasks.values()]
        panel.barh(positions + shift, shares, height=0.38, color=color, label=label)
    panel.set_yticks(positions, [_short(task) for task in tasks])
    panel.invert_yaxis()
    panel.axvline(0, color="black", linewidth=0.8)
    panel.set_xlabel("share of the gap from the best tuned rule (0) to the hindsight optimum (1)")
    panel.legend(frameon=False)
    return figure


def _share(policies: Mapping[str, Mapping[str, Any]], name: str) -> float:
    rule, floor, cost = (policies[key]["iqm"] for key in ("best_rule", "hindsight", name))
    return float((rule - cost) / (rule - floor))


def _short(task: str) -> str:
    return task.removeprefix("PaySim/").rsplit("-v", 1)[0]
