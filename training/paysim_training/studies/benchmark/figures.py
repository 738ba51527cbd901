"""Figures of a benchmark: what everyone costs on each task, and how much of the gap has been closed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

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
    """Draw ``cost.png`` and ``gap_closed.png``.

    Args:
        details: The content of ``details.json``.
        folder: Where they go.

    Returns:
        Their paths.
    """
    drawn = {"cost.png": draw_costs(details), "gap_closed.png": draw_gap_closed(details)}
    for name, figure in drawn.items():
        figure.text(0.01, 0.01, origin(details), fontsize=7, color="#606060")
        save_figure(figure, folder / name)
    return [folder / name for name in drawn]


def draw_costs(details: Mapping[str, Any]) -> Figure:
    """A panel a task, a row a policy: interquartile mean of a day's cost, and its 95% interval."""
    tasks = details["tasks"]
    columns = min(_COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = Figure(figsize=(2 + 3.2 * columns, 0.9 + 2.3 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel, (task, entry) in zip(panels, tasks.items(), strict=False):
        for place, (name, (_, color)) in enumerate(_POLICIES.items()):
            policy = entry["policies"][name]
            panel.plot(np.array(policy["ci95"]) / 100, [place, place], color=color, linewidth=3)
            panel.plot(policy["iqm"] / 100, place, "o", color=color)
        panel.set(title=_short(task), xlabel="cost of a day, currency units")
        panel.set_xlim(left=0)
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(_POLICIES)), [label for label, _ in _POLICIES.values()])
    panels[0].invert_yaxis()
    for panel in panels[len(tasks) :]:
        panel.set_visible(False)
    figure.get_layout_engine().set(rect=(0, 0.04, 1, 0.96))
    return figure


def draw_gap_closed(details: Mapping[str, Any]) -> Figure:
    """A bar a task: how much of the way from the best rule (0) to hindsight (1), by PPO and the planner."""
    tasks = {task: entry for task, entry in details["tasks"].items() if entry["gap_closed"] is not None}
    figure = Figure(figsize=(8, 1.2 + 0.6 * max(1, len(tasks))), layout="constrained")
    panel = figure.subplots()
    places = np.arange(len(tasks))
    for shift, name in ((-0.2, "planner"), (0.2, "learned")):
        label, color = _POLICIES[name]
        shares = [_share(entry["policies"], name) for entry in tasks.values()]
        panel.barh(places + shift, shares, height=0.38, color=color, label=label)
    panel.set_yticks(places, [_short(task) for task in tasks])
    panel.invert_yaxis()
    panel.axvline(0, color="black", linewidth=0.8)
    panel.set_xlabel("share of the gap from the best tuned rule (0) to the hindsight optimum (1)")
    panel.legend(frameon=False)
    figure.get_layout_engine().set(rect=(0, 0.06, 1, 0.94))
    return figure


def _share(policies: Mapping[str, Mapping[str, Any]], name: str) -> float:
    rule, floor = policies["best_rule"]["iqm"], policies["hindsight"]["iqm"]
    return (rule - policies[name]["iqm"]) / (rule - floor)


def _short(task: str) -> str:
    return task.removeprefix("PaySim/").removesuffix("-v0")
