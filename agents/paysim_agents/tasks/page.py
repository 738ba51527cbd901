"""The page of the task suite: the results of `paysim_agents.tasks` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paysim_agents.tasks.suite import TASKS
from paysim_gym.markdown import markdown_table

COMMAND = "uv run paysim tasks --out agents/paysim_agents/tasks/tasks.json --page docs/tasks.md"
_FOLDER = "../paysim_gym/scenarios"
_NAMES = {
    "release_all": "`release_all`",
    "best_rule": "best tuned rule",
    "planner": "planner",
    "hindsight": "hindsight optimum",
}
_OPENING = """# The task suite

<!-- Made by `paysim tasks`: edit agents/paysim_agents/tasks/page.py, then make it anew from the same results. -->

Days on which it matters when a bank pays, each made to teach one thing:
`gym.make("paysim_gym:PaySim/...-v0")`. With linear prices there would be nothing to learn: to pay what is
costliest to delay first, and to overdraw only where delay costs more (`myopic`), is best then. Here it is
not, for a reason that differs from task to task.

| task | scenario | what there is to learn |
|---|---|---|
{tasks}

## What everyone costs

Cents a day on the same {days} unseen days: the mean, and the interquartile mean with its 95% bootstrap
interval.

{costs}

* **`release_all`** pays everything at once.
* The **best tuned rule** is the best of `release_all`, `hold_until_deadline`, `liquidity_aware`,
  `split_large`, `random` and `myopic` with the best parameters of their grids (with a pool, the share it
  commits as well) on {tuning_days} other days.
* The **planner** ([agents/paysim_agents/planner.py](../agents/paysim_agents/planner.py)) knows what a treasurer knows. At every tick it
  draws {futures} futures and plans the rest of the day anew.
* The **hindsight optimum** ([agents/paysim_agents/hindsight/plan.py](../agents/paysim_agents/hindsight/plan.py)) knows the whole day in advance:
  a mixed-integer program, its plan played by the engine. Nobody who decides during the day can beat it.

## What there is to gain

{gains}

Headroom is what the best rule costs above the hindsight optimum; a task enters the suite with 15% or more.
"Planner saves" is what the planner is cheaper than the best rule on the same day, in cents, and the last
column what that is of the difference between rule and hindsight. Not all of it can be had without knowing
the future. No payment of the suite's learners can be split.

## How sure the optimum is

{proofs}

Where the learner's receipts are fixed (checked on each day: the engine plays it without a cent from the
learner, and still every payment of the others settles whole, in the tick of its release, by rules that do
not react), the program is the day itself, and a plan is proven optimal once the solver comes to an end.
Where it does not, or where others react, the gap says how far the best plan known lies above what is
proven. On a few days the optimal plan acts on a payment beyond the first eight of the queue, the slots that
an environment has by default: there it is a bound.

Measured with `{command}` at commit {commit}; [tasks.json](../agents/paysim_agents/tasks/tasks.json) holds the cost of every day.
"""


def make_page(results: Mapping[str, Any]) -> str:
    """The page.

    Args:
        results: What `paysim_agents.tasks` has written; tasks without all measurements are left out of the tables.
    """
    whole = {
        task: results["tasks"][task.id] for task in TASKS if "headroom" in results["tasks"].get(task.id, {})
    }
    settings = results["settings"]
    return _OPENING.format(
        tasks="\n".join(
            f"| `{task.id}` | [{task.scenario}]({_FOLDER}/{task.scenario}.yaml) | {task.teaches} |"
            for task in TASKS
        ),
        days=settings["days"],
        tuning_days=settings["tuning_days"],
        futures=settings["futures"],
        costs=markdown_table(
            ["task", *_NAMES.values()],
            [
                [_short(task.id), *(_cost(entry["policies"][name]) for name in _NAMES)]
                for task, entry in whole.items()
            ],
        ),
        gains=markdown_table(
            ["task", "best rule", "headroom", "planner saves", "of the gap"],
            [[_short(task.id), *_gains(entry)] for task, entry in whole.items()],
        ),
        proofs=markdown_table(
            ["task", "receipts fixed", "days proven optimal", "gap", "beyond eight slots"],
            [[_short(task.id), *_proofs(entry["policies"]["hindsight"])] for task, entry in whole.items()],
        ),
        command=COMMAND,
        commit=f"`{results['commit'][:10]}`" if results["commit"] else "unknown",
    )


def _short(task_id: str) -> str:
    return f"`{task_id.removeprefix('PaySim/')}`"


def _cost(policy: Mapping[str, Any]) -> str:
    low, high = policy["iqm_ci95"]
    return f"{policy['mean']:,.0f}; {policy['iqm']:,.0f} ({low:,.0f} to {high:,.0f})"


def _gains(entry: Mapping[str, Any]) -> list[str]:
    rule, saved = entry["policies"]["best_rule"], entry["planner_saves"]
    parameters = {key: value for key, value in rule["policy"].items() if key != "type"}
    if rule["pool_share"] is not None:
        parameters["share"] = round(rule["pool_share"], 3)
    text = ", ".join(f"{key} {value:,}" for key, value in parameters.items())
    low, high = saved["ci95"]
    return [
        f"`{rule['policy']['type']}`" + (f", {text}" if text else ""),
        f"{entry['headroom']:.0%}",
        f"{saved['mean']:,.0f} ({low:,.0f} to {high:,.0f})",
        f"{entry['planner_gap_closed']:.0%}",
    ]


def _proofs(policy: Mapping[str, Any]) -> list[str]:
    return [
        f"{policy['days_with_fixed_receipts']:.0%}",
        f"{policy['days_proven']:.1%}",
        f"{policy['gap']:.2%}",
        f"{policy['days_beyond_eight_slots']:.1%}",
    ]
