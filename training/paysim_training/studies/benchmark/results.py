"""Statistics and table of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from paysim_agents.tasks.suite import planner_note

from paysim_gym.markdown import markdown_table

BASELINES = ("release_all", "best_rule", "planner", "hindsight")
"""Policies that the learned ones are compared with, by name in the results of `paysim_agents.tasks`."""
_RESAMPLES = 2000


def compare_learned(baselines: Mapping[str, ArrayLike], learned: ArrayLike) -> dict[str, Any]:
    """Compare learned policies with the baselines of a task.

    Args:
        baselines: For each of `BASELINES`, costs in cents of shape (days,).
        learned: Costs in cents of shape (training seeds, days), on the same days in the same order.

    Returns:
        `policies`: for each policy `iqm`, `ci95`, `mean` and `mean_ci95`; for `learned` also `seeds`, the
        mean by training seed. `saves`: for each baseline, `mean` and `ci95` of the learned policies' saving,
        paired by day. `gap_closed`: the share of the gap between best rule and hindsight that they close,
        computed from interquartile means, and `gap_closed_mean`, from means; None if there is no gap.

    Raises:
        ValueError: If the numbers of days differ.
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
    """Interquartile mean and mean with 95% intervals.

    Args:
        costs: Of shape (training seeds, days).
    """
    iqm, mean = crossed_ci95(costs, _iqm), crossed_ci95(costs, np.mean)
    return {"iqm": iqm[0], "ci95": list(iqm[1:]), "mean": mean[0], "mean_ci95": list(mean[1:])}


def crossed_ci95(values: NDArray[np.float64], statistic: Any) -> tuple[float, float, float]:
    """A statistic over seeds and days with its 95% percentile bootstrap interval.

    Each resample draws training seeds and days independently, with replacement, and uses every drawn seed on
    every drawn day, because costs are correlated within a seed and within a day. Resampling single cells
    would treat them as independent and give too narrow an interval. The result is reproducible.

    Args:
        values: Of shape (training seeds, days).
        statistic: Function of a flat array.
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
    """The content of ``results.json``: interquartile means in cents.

    Args:
        tasks: Task id -> result of `compare_learned`.
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
    """The Markdown table of a benchmark.

    Args:
        details: The content of ``details.json``.
    """
    titles = ["task", "`release_all`", "best tuned rule", "planner", "PPO", "hindsight"]
    titles += ["gap closed", "PPO saving (paired)"]
    table = markdown_table(titles, (_row(task, entry) for task, entry in details["tasks"].items()))
    return f"{table}\n\n{_caption(details)}\n"


def origin(details: Mapping[str, Any]) -> str:
    """Command and commit of the results, and what the planner knew."""
    commit = details["commit"]
    made = f"{details['command']} at commit {commit[:10] if commit else 'unknown'}"
    return "\n".join(filter(None, [made, planner_note(details)]))


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
        f"Cents per day, interquartile means over the same {details['days']} unseen days and, for PPO, "
        f"{details['seeds']} training seeds; in brackets 95% bootstrap intervals over days and seeds. Gap "
        "closed: share of the gap between the best tuned rule and the hindsight optimum. PPO saving: mean "
        "difference from the best tuned rule, paired by day. Made by "
        f"`{details['command']}` at commit `{(details['commit'] or 'unknown')[:10]}`."
        + (f" {note}" if (note := planner_note(details)) else "")
    )
