"""``paysim strategic``: banks that all learn, and how exploitable they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from paysim_gym import Scenario
from paysim_gym.cli.terminal import ArgumentError, interrupt_hint
from paysim_gym.files import write_atomically
from paysim_training.core.config import ConfigError, SeedRange, TrainConfig, load_config
from paysim_training.core.run_folder import folder_lock
from paysim_training.core.task import resolve_env
from paysim_training.studies.strategic.profiles import check_pools
from paysim_training.studies.strategic.report import make_page, make_tables
from paysim_training.studies.strategic.study import Study

QUICK_TIMESTEPS, QUICK_DAYS, QUICK_TUNING_DAYS = 61_440, 40, 20
# The settings of frozen networks; the first value is the default.
_FROZEN_SETTINGS: dict[str, tuple[Any, ...]] = {
    "action_mode": ("slots",),
    "decides": ("both", "payments"),
    "max_episode_steps": (None,),
    "autoreset_mode": (None,),
}


class Learning(StrEnum):
    """How the networks are shared among the banks."""

    shared = "shared"
    independent = "independent"
    both = "both"


Out = Annotated[
    Path | None,
    typer.Option(help="Folder of the study to create or to complete.", show_default=False, file_okay=False),
]
Results = Annotated[
    Path | None,
    typer.Option(
        help="Write --page from this results.json, and train nothing.", show_default=False, dir_okay=False
    ),
]
Page = Annotated[Path | None, typer.Option(help="Markdown page to write.", show_default="none")]
PolicyKinds = Annotated[
    Learning, typer.Option(help="One network for all banks, one for each bank, or both in turn.")
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Seed of networks, days and exploration.", show_default="0")
]
Timesteps = Annotated[
    int | None, typer.Option(min=1, help="Ticks of each bank in each training.", show_default="294,912")
]
Banks = Annotated[
    list[str] | None,
    typer.Option(help="Bank that learns best responses; repeat it for several.", show_default="all"),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help=f"{QUICK_TIMESTEPS:,} ticks, best responses of the first bank, {QUICK_DAYS} days: a minute "
        "or two, too short to learn much.",
    ),
]
Config = Annotated[str, typer.Option(help="Name of a bundled configuration, or a YAML file.")]


def strategic(
    *,
    out: Out = None,
    policies: PolicyKinds = Learning.both,
    seed: Seed = None,
    timesteps: Timesteps = None,
    bank: Banks = None,
    quick: Quick = False,
    config: Config = "strategic",
    page: Page = None,
    results: Results = None,
) -> None:
    """Train all banks at once, and measure their exploitability by best responses.

    A bank that waits saves liquidity, and the other banks miss its payments. All banks of five_bank learn at
    once, each from its own costs: with one network for all ([bold]shared[/bold]) or one each
    ([bold]independent[/bold]). The networks are frozen and play unseen days, compared with all banks
    releasing at once and all banks waiting for the deadline.

    Then one bank at a time learns a best response while the others stay frozen. Its saving on the same days
    is the exploitability; in an equilibrium it is zero. PPO can miss better responses, so the figure is a
    [bold]lower bound[/bold].

    Finished trainings are not repeated: give the same command again after an interruption. The folder has

    [bold]results.json[/bold]  cost, settlement rate and delay by bank, exploitability, intervals, settings,
    command and commit;

    [bold]shared/[/bold], [bold]independent/[/bold]  the models and the frozen networks for a scenario;

    [bold]responses/[/bold]  a run folder for each best response.

    [bold]Examples[/bold]

    paysim strategic --out strategic --quick

    paysim strategic --results strategic/results.json --page page.md
    """
    if results is not None:
        if page is None or out is not None:
            raise ArgumentError("--results: needs --page, and no --out")
        _write_page(page, results)
        return
    if out is None:
        raise ArgumentError("--out: is required without --results")
    kinds = ["shared", "independent"] if policies is Learning.both else [policies.value]
    console = Console(stderr=True)
    with interrupt_hint("Give the same command again to continue with the first unfinished training."):
        loaded, scenario = _configure(config, seed, timesteps, quick)
        responders = _responders(scenario, bank, quick)
        out.mkdir(parents=True, exist_ok=True)
        with folder_lock(out):
            found = Study(out, loaded, scenario, kinds, responders, console).results()
            content = json.dumps(found, indent=1, allow_nan=False) + "\n"
            write_atomically(out / "results.json", content.encode())
    if page is not None:
        _write_page(page, out / "results.json")
    for table in make_tables(found):
        Console().print(table)
    console.print(f"All results are in {out / 'results.json'}.", soft_wrap=True, highlight=False)


def _write_page(page: Path, results: Path) -> None:
    try:
        text = make_page(json.loads(results.read_text(encoding="utf-8")))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ArgumentError(f"{results}: must be a results.json of paysim strategic") from None
    write_atomically(page, text.encode())


def _configure(
    config: str, seed: int | None, timesteps: int | None, quick: bool
) -> tuple[TrainConfig, Scenario]:
    """Load the configuration with a resolved environment, and check it before anything is trained."""
    loaded = load_config(config, seed=seed, timesteps=timesteps)
    if quick:
        loaded = _shortened(loaded, timesteps or QUICK_TIMESTEPS)
    env, scenario = resolve_env(loaded.env)
    loaded = loaded.model_copy(update={"env": env})
    _check(loaded, scenario)
    return loaded, scenario


def _shortened(config: TrainConfig, timesteps: int) -> TrainConfig:
    days, tuning = config.evaluation, config.tuning
    return config.model_copy(
        update={
            "timesteps": timesteps,
            "evaluation": SeedRange(first_seed=days.first_seed, episodes=min(days.episodes, QUICK_DAYS)),
            "tuning": SeedRange(
                first_seed=tuning.first_seed, episodes=min(tuning.episodes, QUICK_TUNING_DAYS)
            ),
        }
    )


def _check(config: TrainConfig, scenario: Scenario) -> None:
    """Raise an error for settings that a strategic study does not support."""
    if config.warm_start is not None:
        raise ConfigError("warm_start: must be left out, a strategic study has no warm start")
    for name, allowed in _FROZEN_SETTINGS.items():
        found = config.env.kwargs.get(name, allowed[0])
        if found not in allowed:
            raise ConfigError(f"env.kwargs.{name} = {found!r}: must be left out of a strategic study")
    check_pools(scenario)


def _responders(scenario: Scenario, named: Sequence[str] | None, quick: bool) -> list[str]:
    banks = [agent.id for agent in scenario.agents]
    unknown = [bank for bank in named or () if bank not in banks]
    if unknown:
        raise ValueError(f"bank = {unknown[0]!r}: must be one of {', '.join(banks)}")
    return list(dict.fromkeys(named)) if named else banks[:1] if quick else banks
