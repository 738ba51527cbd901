"""Tables and the page of a study of strategic learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table

from paysim_gym.markdown import markdown_table

TITLES = {
    "release_all": "everyone releases",
    "hold_until_deadline": "everyone waits",
    "shared": "all learn, one network",
    "independent": "all learn, one network each",
}
_RESPONSES = {"own": "its own", "learned": "learned"}
_PAGE = """# Strategic learning: every bank learns

<!-- Made by `paysim strategic --results docs/strategic.json --page docs/strategic.md`; edit report.py, not this page. -->

A bank that waits saves liquidity, and the others miss its money. What happens if every bank learns, each
from its own costs alone? Here all {banks} banks of `{scenario}` do so at once, with PPO: **one network** for
all of them, which sees only what the bank sees that it decides for, or with **one network each**. Every bank
plays {ticks} ticks. What they have learned is frozen; then one bank at a time learns a **best response** to
the others, who stay as they are.

```sh
uv run --extra train paysim strategic --out strategic
uv run --extra train paysim strategic --results strategic/results.json --page page.md
```

`--quick` takes a minute or two and learns little; `--policies` and `--bank` do only a part. A training that
has ended is not done again. The same seed and machine give the same figures. `strategic/shared` and
`strategic/independent` hold the networks, ready for the seats of a scenario
([frozen opponents](frozen_opponents.md)). The hyperparameters are in
[strategic.yaml](../training/paysim_training/configs/strategic.yaml).

## What they pay

Means over the same {days} unseen days, in brackets 95% bootstrap intervals. Cost: units of 100 cents a day.
Settled: share of the arrived value that settles before the day's close. Delay: ticks from arrival to
settlement, weighted by value; what does not settle counts with what it has waited. Everyone plays inside the
engine; the learned networks take their best action. Everyone waits: each payment is released in the last
tick that is in time (`hold_until_deadline`).

{costs}

{verdicts}

## What one bank could still save

Exploitability: what a bank saves on the same days if it changes its policy and nobody else does. It takes
the cheapest, on {tuning} other days, of its own policy, a policy that PPO has trained against the frozen
others for {ticks} ticks (from its own network where it has one, else from nothing), `release_all` and
`hold_until_deadline`. That is a **lower bound**: there may be better responses that nobody found. In an
equilibrium nobody could save anything.

{exploitability}

Measured with `{command}` at commit {commit}{changed}, seed {seed}.
"""


def make_page(results: Mapping[str, Any]) -> str:
    """The page.

    Args:
        results: What `paysim_training.studies.strategic` has written.
    """
    config, commit = results["config"], results["commit"]
    return _PAGE.format(
        banks=len(results["scenario"]["agents"]),
        scenario=config["env"]["kwargs"]["scenario"],
        ticks=f"{config['timesteps']:,}",
        days=config["evaluation"]["episodes"],
        tuning=config["tuning"]["episodes"],
        costs=markdown_table(["", "bank", "cost", "settled", "delay"], _cost_rows(results)),
        verdicts="\n".join(_verdicts(results)),
        exploitability=markdown_table(
            ["", "bank", "own cost", "response", "saves", "of its cost"], _exploit_rows(results)
        ),
        command=results["command"],
        commit=f"`{commit[:10]}`" if commit else "unknown",
        changed=" with uncommitted changes" if results["uncommitted_changes"] else "",
        seed=config["seed"],
    )


def make_tables(results: Mapping[str, Any]) -> list[Table]:
    """Costs and exploitability for a terminal.

    Args:
        results: What `paysim_training.studies.strategic` writes.
    """
    costs = Table(
        title=f"{results['config']['evaluation']['episodes']} unseen days",
        caption="Cost in units of 100 cents a day, delay in ticks; brackets: 95% intervals.",
        box=box.SIMPLE_HEAD,
    )
    exploitability = Table(
        title="What one bank could still save",
        caption="A lower bound; units of 100 cents a day; brackets: 95% intervals.",
        box=box.SIMPLE_HEAD,
    )
    for table, titles, rows in (
        (costs, ("", "bank", "cost", "settled", "delay"), _cost_rows(results)),
        (
            exploitability,
            ("", "bank", "own cost", "response", "saves", "of its cost"),
            _exploit_rows(results),
        ),
    ):
        for place, title in enumerate(titles):
            table.add_column(title, justify="left" if place < 2 else "right")
        for row in rows:
            table.add_row(*(cell.replace("`", "") for cell in row))
    return [costs, exploitability]


def _cost_rows(results: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, profile in results["profiles"].items():
        yield [TITLES[name], "all", *_figures(profile["system"])]
        for bank, figures in profile["banks"].items():
            yield ["", f"`{bank}`", *_figures(figures)]


def _exploit_rows(results: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, profile in results["profiles"].items():
        title = TITLES[name]
        for bank, found in profile["exploitability"].items():
            response = _RESPONSES.get(found["response"], f"`{found['response']}`")
            own, share = found["own_cents"] / 100, found["saves_share"]
            yield [title, f"`{bank}`", f"{own:,.0f}", response, _money(found["saves_cents"]), f"{share:.1%}"]
            title = ""


def _verdicts(results: Mapping[str, Any]) -> Iterator[str]:
    """How the learned profiles compare with the rules, in words."""
    profiles = results["profiles"]
    for name in (name for name in profiles if "curve" in profiles[name]):
        for rule, saves in profiles[name]["saves_cents"].items():
            cost = profiles[rule]["system"]["cost_cents"]["mean"]
            share = f"{abs(saves['mean'] / cost):.0%} " if cost else ""
            word = "less" if saves["mean"] >= 0 else "more"
            yield (
                f"- {TITLES[name].capitalize()}: the system costs {share}{word} than if "
                f"{TITLES[rule]}; saved a day: {_money(saves)}."
            )


def _figures(figures: Mapping[str, Any]) -> list[str]:
    rate, delay = figures["settlement_rate"], figures["mean_delay_ticks"]
    return [
        _money(figures["cost_cents"]),
        f"{rate['mean']:.1%} [{rate['ci95'][0]:.1%}, {rate['ci95'][1]:.1%}]",
        f"{delay['mean']:.2f} [{delay['ci95'][0]:.2f}, {delay['ci95'][1]:.2f}]",
    ]


def _money(cents: Mapping[str, Any]) -> str:
    low, high = cents["ci95"]
    return f"{cents['mean'] / 100:,.0f} [{low / 100:,.0f}, {high / 100:,.0f}]"
