"""Table and figure of the learning curves of the games."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from paysim_gym.files import write_atomically

BANK_COLOURS = {"A": "#1f77b4", "B": "#d95f02"}


def make_table(result: Mapping[str, Any]) -> Table:
    """Make the results table; money is in thousandths of the pool.

    Args:
        result: The content of the results file.
    """
    table = Table(
        title=f"Seed {result['seed']}, {result['wall_seconds']:.0f} seconds",
        caption="near: runs within one grid step of the equilibrium. x0: share of the pool committed. "
        "Costs: means over runs in thousandths of the pool; brackets: 95% intervals. "
        "system: total cost of both banks relative to the social planner's.",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("game, algorithm", no_wrap=True)
    for title in ("near", "x0 A, B", "cost A", "cost B", "system"):
        table.add_column(title, justify="right")
    for name, game in result["games"].items():
        pool = game["pool_cents"]
        table.add_row(name, *_equilibrium_row(game["equilibrium"], pool), style="bold")
        for algorithm, found in game["algorithms"].items():
            table.add_row(f" {algorithm}", *_row(found, pool))
        table.add_section()
    return table


def save_figure(result: Mapping[str, Any], path: Path) -> None:
    """Plot the learning curves of the commitments, one panel per game and algorithm.

    Args:
        result: The content of the results file.
        path: The image file; the suffix sets the format.

    Raises:
        ValueError: If the format is unknown.
    """
    games = result["games"]
    columns = len(next(iter(games.values()))["algorithms"])
    figure = Figure(figsize=(3.2 * columns, 2.1 * len(games)), layout="constrained")
    panels = np.atleast_2d(figure.subplots(len(games), columns, sharey=True))
    for line, (name, game) in zip(panels, games.items(), strict=True):
        for axes, (algorithm, found) in zip(line, game["algorithms"].items(), strict=True):
            _draw(axes, found["curve"], game["equilibrium"]["x0"])
            axes.set_title(f"{name.removeprefix('castro_')}, {algorithm}", fontsize=7)
    panels[0, 0].legend(fontsize=7, frameon=False)
    figure.supxlabel("batches of days", fontsize=8)
    figure.supylabel("liquidity committed, share of the pool", fontsize=8)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], dpi=110)
    write_atomically(path, content.getvalue())


def _draw(axes: Axes, curve: Mapping[str, Any], equilibrium: list[float]) -> None:
    commitments = np.array(curve["x0"])
    for column, (bank, colour) in enumerate(BANK_COLOURS.items()):
        axes.plot(curve["update"], commitments[:, column], color=colour, linewidth=1.2, label=f"bank {bank}")
        axes.axhline(equilibrium[column], color=colour, linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 0.6)
    axes.tick_params(labelsize=7)


def _equilibrium_row(equilibrium: Mapping[str, Any], pool: int) -> list[str]:
    costs = equilibrium["cost_cents"]
    committed = " ".join(f"{share:.3f}" for share in equilibrium["x0"])
    ratio = sum(costs) / equilibrium["social_planner_cents"]
    return ["", committed, *(_thousandths(cost, pool) for cost in costs), f"{ratio:.3f}"]


def _row(found: Mapping[str, Any], pool: int) -> list[str]:
    return [
        f"{found['within_one_grid_step']}/{found['runs']}",
        " ".join(f"{found['x0'][bank]['mean']:.3f}" for bank in BANK_COLOURS),
        *(_cost(found["cost_cents"][bank], pool) for bank in BANK_COLOURS),
        f"{found['system_cost_over_social_planner']:.3f}",
    ]


def _cost(summary: Mapping[str, Any], pool: int) -> str:
    low, high = (_thousandths(bound, pool) for bound in summary["ci95"])
    return f"{_thousandths(summary['mean'], pool)} [{low}, {high}]"


def _thousandths(cents: float, pool: int) -> str:
    return f"{1000 * cents / pool:.1f}"
