"""What a benchmark says: learned costs beside those of rules, planner and hindsight on the same days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BASELINES = ("release_all", "best_rule", "planner", "hindsight")
"""Whom the learned policies are compared with, by their names in the results of `paysim_agents.tasks`."""
_RESAMPLES = 2000


def compare_learned(baselines: Mapping[str, ArrayLike], learned: ArrayLike) -> dict[str, Any]:
    """Everything that is said of a task.

    Args:
        baselines: Costs in cents, arrays of shape (days,), of each of `BASELINES`.
        learned: Costs in cents of shape (training seeds, days): the same days in the same order.

    Returns:
        For each policy `iqm`, `ci95`, `mean`, `mean_ci95`; `learned` also has the mean by training `seeds`.
        `saves`: for each baseline, `mean` and `ci95` of what the learned policies are cheaper than it on the
        same day. `gap_closed`: the way from the best rule to hindsight that they have gone, of interquartile
        means, and `gap_closed_mean`, of means; None where there is no gap.

    Raises:
        ValueError: If the days do not match.
    """
    table = np.asarray(learned, np.float64)
    costs = {name: np.asarray(baselines[name], np.float64)[None] for name in BASELINES}
    for name, values in costs.items():
        if values.shape[1] != table.shape[1]:
            raise ValueError(f"{name} has {values.shape[1]} days, the learned policies {table.shape[1]}")
    policies = {name: summarise_costs(values) for name, values in (*costs.items(), ("learned", table))}
    policies["learned"]["seeds"] = table.mean(axis=1).tolist()
    saves = {name: crossed_ci95(values - table, np.mean) for name, values in costs.items()}
    return {
        "policies": policies,
        "saves": {name: {"mean": mean, "ci95": [low, high]} for name, (mean, low, high) in saves.items()},
        "gap_closed": _gap_closed(policies, "iqm"),
        "gap_closed_mean": _gap_closed(policies, "mean"),
    }


def summarise_costs(costs: NDArray[np.float64]) -> dict[str, Any]:
    """Interquartile mean and mean of costs of shape (training seeds, days), with their 95% intervals."""
    iqm, mean = crossed_ci95(costs, _iqm), crossed_ci95(costs, np.mean)
    return {"iqm": iqm[0], "ci95": list(iqm[1:]), "mean": mean[0], "mean_ci95": list(mean[1:])}


def crossed_ci95(values: NDArray[np.float64], statistic: Any) -> tuple[float, float, float]:
    """A statistic over training seeds and days, and its 95% percentile bootstrap interval, reproducible.

    Each resample draws training seeds and days anew, both with replacement, and takes every drawn seed on
    every drawn day: a seed that learned badly is bad on all days, and a dear day is dear for all seeds. To
    draw the cells alone would take their costs for independent, and the interval would be too narrow.

    Args:
        values: Of shape (training seeds, days).
        statistic: Of a flat array.
    """
    rng = np.random.default_rng(0)
    seeds, days = values.shape
    drawn = [
        statistic(values[np.ix_(rng.integers(seeds, size=seeds), rng.integers(days, size=days))].ravel())
        for _ in range(_RESAMPLES)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(statistic(values.ravel())), float(low), float(high)


def brief(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The content of ``results.json``: interquartile means in cents, the learned one with its interval.

    Args:
        tasks: For each task's id, what `compare_learned` returns.
    """
    return {
        task: {
            **{name: entry["policies"][name]["iqm"] for name in BASELINES},
            "learned": {key: entry["policies"]["learned"][key] for key in ("iqm", "ci95")},
            "gap_closed": entry["gap_closed"],
        }
        for task, entry in tasks.items()
    }


def markdown(details: Mapping[str, Any]) -> str:
    """The table of a benchmark for a page.

    Args:
        details: The content of ``details.json``.
    """
    titles = ["task", "`release_all`", "best tuned rule", "planner", "PPO", "hindsight"]
    titles += ["gap closed", "PPO saves"]
    lines = [titles, ["---"] * len(titles)]
    lines += [_row(task, entry) for task, entry in details["tasks"].items()]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{_caption(details)}\n"


def origin(details: Mapping[str, Any]) -> str:
    """The command and the commit that a figure comes from."""
    commit = details["commit"]
    return f"{details['command']} at commit {commit[:10] if commit else 'unknown'}"


def _gap_closed(policies: Mapping[str, Mapping[str, Any]], key: str) -> float | None:
    rule, learned, floor = (policies[name][key] for name in ("best_rule", "learned", "hindsight"))
    return (rule - learned) / (rule - floor) if rule != floor else None


def _iqm(values: NDArray[np.float64]) -> float:
    # The bytes of `scipy.stats.trim_mean(values, 0.25)`, whose checks take longer than a resample's mean.
    cut = len(values) // 4
    middle = np.partition(values, (cut, len(values) - cut - 1))[cut : len(values) - cut]
    return float(middle.mean())


def _row(task: str, entry: Mapping[str, Any]) -> list[str]:
    policies, closed = entry["policies"], entry["gap_closed"]
    cells = [_cost(policies[name]) for name in ("release_all", "best_rule", "planner", "learned")]
    share = "" if closed is None else f"{closed:.0%}"
    saved = entry["saves"]["best_rule"]
    low, high = saved["ci95"]
    cells += [f"{policies['hindsight']['iqm']:,.0f}", share]
    return [f"`{task.removeprefix('PaySim/')}`", *cells, f"{saved['mean']:,.0f} ({low:,.0f} to {high:,.0f})"]


def _cost(policy: Mapping[str, Any]) -> str:
    low, high = policy["ci95"]
    return f"{policy['iqm']:,.0f} ({low:,.0f} to {high:,.0f})"


def _caption(details: Mapping[str, Any]) -> str:
    return (
        f"Cents a day, interquartile means over {details['days']} unseen days, the same for everyone, and "
        f"for PPO over {details['seeds']} training seeds; in brackets 95% bootstrap intervals over days and "
        "seeds. Gap closed: how much of the way from the best tuned rule to the hindsight optimum. PPO "
        "saves: the mean of what it is cheaper than the best tuned rule on the same day. Made by "
        f"`{details['command']}` at commit `{(details['commit'] or 'unknown')[:10]}`."
    )
