"""The evaluation table, which compares policies on the same unseen seeds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

TEXT_WIDTH = 160


def make_table(metrics: Mapping[str, Any]) -> Table:
    """Builds a table from ``metrics.json``, cheapest policy first, money in units of 100 cents.

    Args:
        metrics: The result of `paysim_training.evaluate.evaluate_run`.
    """
    evaluation = metrics["evaluation"]
    table = Table(
        title=f"{metrics['env']}: {evaluation['episodes']} unseen episodes per policy",
        caption="Money in units of 100 cents, means over episodes; brackets: 95% intervals. "
        "Extra cost vs PPO: mean of the paired differences per seed.",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("policy", no_wrap=True)
    for title in ("cost", "", "extra cost vs PPO", "", "settled", "delay, ticks", "liquidity used"):
        table.add_column(title, justify="right")
    table.add_column("parameters, cents")
    by_cost = sorted(metrics["policies"].items(), key=lambda item: item[1]["cost_cents_mean"])
    for name, policy in by_cost:
        table.add_row(*_row(name, policy), style="bold" if name == "ppo" else "")
    return table


def table_text(table: Table) -> str:
    """Renders a table as plain text of a fixed width."""
    console = Console(file=io.StringIO(), width=TEXT_WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _row(name: str, policy: Mapping[str, Any]) -> list[str]:
    difference = policy.get("minus_ppo_cents")
    return [
        name,
        _money(policy["cost_cents_mean"]),
        _interval(policy["cost_cents_ci95"]),
        _money(difference["mean"]) if difference else "",
        _interval(difference["ci95"]) if difference else "",
        f"{policy['settlement_rate']:.1%}",
        f"{policy['mean_delay_ticks']:.2f}",
        _money(policy["liquidity_used_cents_mean"]),
        " ".join(f"{key}={value}" for key, value in policy["policy"].items() if key != "type"),
    ]


def _interval(bounds: list[float]) -> str:
    low, high = bounds
    return f"[{_money(low)}, {_money(high)}]"


def _money(cents: float) -> str:
    return f"{cents / 100:,.0f}"
