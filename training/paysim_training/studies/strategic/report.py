"""Tables and page of a study of strategic learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table

from paysim_gym.markdown import markdown_table

TITLES = {
    "release_all": "all release at once",
    "hold_until_deadline": "all wait for the deadline",
    "shared": "all learn, one network",
    "independent": "all learn, one network each",
}
_COST_TITLES = ["", "bank", "cost", "settled", "delay"]
_EXPLOITABILITY_TITLES = ["", "bank", "own cost", "response", "saves", "of its cost"]
_RESPONSES = {"own": "its own", "learned": "learned"}
_PAGE = """# Strategic learning: every bank learns

<!-- Made by `paysim strategic --results docs/strategic.json --page docs/strategic.md`: edit
training/paysim_training/studies/strategic/report.py, not this page. -->

A bank that waits saves liquidity, but the other banks miss its payments. What happens if every bank learns
from its own costs? All {banks} banks of `{scenario}` learn at the same time with PPO: with **one network**
for all banks, which sees only the observation of the bank it decides for, or with **one network each**. Every
bank plays {ticks} ticks. Then the networks are frozen, and one bank at a time learns a **best response** to
the others.

```sh
uv run --extra train paysim strategic --out strategic
uv run --extra train paysim strategic --results strategic/results.json --page page.md
```

`--quick` takes a minute or two and learns little; `--policies` and `--bank` run a part of the study. Finished
trainings are skipped. The same seed and machine give the same results. `strategic/shared` and
`strategic/independent` hold the networks for use in a scenario ([frozen opponents](frozen_opponents.md)). The
hyperparameters are in [strategic.yaml](../training/paysim_training/configs/strategic.yaml).

## Costs

Means over the same {days} unseen days; brackets: 95% bootstrap intervals. Cost: units of 100 cents per day.
Settled: share of the arrived value that settles before the end of the day. Delay: value-weighted ticks from
arrival to settlement; unsettled payments count with their waiting time. All policies play inside the engine;
learned networks take their most likely action. All wait for the deadline: each payment is released at the
last tick before its deadline (`hold_until_deadline`).

{costs}

{comparisons}

## Exploitability

Exploitability is the saving of a bank that changes its policy while the others keep theirs, on the same days.
The response is the candidate with the lowest cost on {tuning} other days: the bank's own policy, a policy
trained with PPO against the frozen others for {ticks} ticks (initialised with the bank's own network, if it
has one), `release_all` or `hold_until_deadline`. This is a **lower bound**, because better responses may
exist. In an equilibrium, exploitability is zero.

{exploitability}

Measured in `{environment}` with `{command}` at commit {commit}{changed}, seed {seed}.
"""


def make_page(results: Mapping[str, Any]) -> str:
    """Make the Markdown page.

    Args:
        results: The content of ``results.json``.
    """
    config, commit = results["config"], results["commit"]
    return _PAGE.format(
        banks=len(results["scenario"]["agents"]),
        scenario=config["env"]["kwargs"]["scenario"],
        environment=config["env"]["id"],
        ticks=f"{config['timesteps']:,}",
        days=config["evaluation"]["episodes"],
        tuning=config["tuning"]["episodes"],
        costs=markdown_table(_COST_TITLES, _cost_rows(results)),
        comparisons="\n".join(_comparisons(results)),
        exploitability=markdown_table(_EXPLOITABILITY_TITLES, _exploitability_rows(results)),
        command=results["command"],
        commit=f"`{commit[:10]}`" if commit else "unknown",
        changed=" with uncommitted changes" if results["uncommitted_changes"] else "",
        seed=config["seed"],
    )


def make_tables(results: Mapping[str, Any]) -> list[Table]:
    """Make the tables of costs and exploitability for the terminal.

    Args:
        results: The content of ``results.json``.
    """
    costs = Table(
        title=f"{results['config']['evaluation']['episodes']} unseen days",
        caption="Cost in units of 100 cents per day, delay in ticks; brackets: 95% intervals.",
        box=box.SIMPLE_HEAD,
    )
    exploitability = Table(
        title="Exploitability",
        caption="A lower bound, in units of 100 cents per day; brackets: 95% intervals.",
        box=box.SIMPLE_HEAD,
    )
    for table, titles, rows in (
        (costs, _COST_TITLES, _cost_rows(results)),
        (exploitability, _EXPLOITABILITY_TITLES, _exploitability_rows(results)),
    ):
        for column, title in enumerate(titles):
            table.add_column(title, justify="left" if column < 2 else "right")
        for row in rows:
            table.add_row(*(cell.replace("`", "") for cell in row))
    return [costs, exploitability]


def _cost_rows(results: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, profile in results["profiles"].items():
        yield [TITLES[name], "all", *_metrics(profile["system"])]
        for bank, metrics in profile["banks"].items():
            yield ["", f"`{bank}`", *_metrics(metrics)]


def _exploitability_rows(results: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, profile in results["profiles"].items():
        title = TITLES[name]
        for bank, found in profile["exploitability"].items():
            response = _RESPONSES.get(found["response"], f"`{found['response']}`")
            own, share = found["own_cents"] / 100, found["saves_share"]
            yield [title, f"`{bank}`", f"{own:,.0f}", response, _money(found["saves_cents"]), f"{share:.1%}"]
            title = ""


def _comparisons(results: Mapping[str, Any]) -> Iterator[str]:
    profiles = results["profiles"]
    for name in (name for name in profiles if "curve" in profiles[name]):
        for rule, saves in profiles[name]["saves_cents"].items():
            cost = profiles[rule]["system"]["cost_cents"]["mean"]
            share = f"{abs(saves['mean'] / cost):.0%} " if cost else ""
            word = "less" if saves["mean"] >= 0 else "more"
            yield (
                f"- {TITLES[name].capitalize()}: the system costs {share}{word} than with "
                f"`{rule}`; saving per day: {_money(saves)}."
            )


def _metrics(metrics: Mapping[str, Any]) -> list[str]:
    rate, delay = metrics["settlement_rate"], metrics["mean_delay_ticks"]
    return [
        _money(metrics["cost_cents"]),
        f"{rate['mean']:.1%} [{rate['ci95'][0]:.1%}, {rate['ci95'][1]:.1%}]",
        f"{delay['mean']:.2f} [{delay['ci95'][0]:.2f}, {delay['ci95'][1]:.2f}]",
    ]


def _money(cents: Mapping[str, Any]) -> str:
    low, high = cents["ci95"]
    return f"{cents['mean'] / 100:,.0f} [{low / 100:,.0f}, {high / 100:,.0f}]"
