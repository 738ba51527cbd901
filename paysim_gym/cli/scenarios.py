"""`paysim scenarios`: list, show and validate scenarios."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from paysim_gym._engine import ScenarioError
from paysim_gym.cli.run import ScenarioName
from paysim_gym.cli.runner import REFUSED
from paysim_gym.cli.terminal import Terminal, note

scenarios = typer.Typer(help="List, show and validate scenarios.", no_args_is_help=True)


@scenarios.command("list")
def list_scenarios() -> None:
    """List the bundled scenarios with a short description of each."""
    from paysim_gym.scenario import load_scenario
    from paysim_gym.scenario.loader import bundled_scenarios

    names = bundled_scenarios()
    width = max(map(len, names))
    with Terminal() as terminal:
        for name in names:
            scenario = load_scenario(name)
            size = f"{len(scenario.agents)} banks, {scenario.num_days * scenario.ticks_per_day} ticks"
            about = " ".join(scenario.description.split())
            terminal.line(f"{name:<{width}}  {size:<20}  {_first_sentence(about)}")


@scenarios.command("show")
def show(
    scenario: ScenarioName,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print JSON with all defaults instead of the file.")
    ] = False,
) -> None:
    """Print the YAML file of a scenario with its comments."""
    from paysim_gym.scenario import load_scenario
    from paysim_gym.scenario.loader import scenario_text

    with Terminal() as terminal:
        if resolved:
            terminal.line(load_scenario(scenario).model_dump_json(indent=2))
        else:
            terminal.line(scenario_text(scenario).rstrip("\n"))


@scenarios.command("validate")
def validate(
    scenario: Annotated[
        list[str], typer.Argument(help="Names of bundled scenarios, or YAML files.", show_default=False)
    ],
) -> None:
    """Validate scenarios and the files that they name, and print every error."""
    from paysim_gym.scenario import load_scenario

    refused = 0
    with Terminal() as terminal:
        for source in scenario:
            try:
                load_scenario(source)
            except ScenarioError as error:
                refused += 1
                for problem in str(error).splitlines():
                    note(f"{source}: {problem}")
            else:
                terminal.line(f"{source}: valid")
    if refused:
        raise typer.Exit(REFUSED)


@scenarios.command("schema")
def schema() -> None:
    """Print the JSON schema of a scenario, for editors and other tools."""
    from paysim_gym.scenario import Scenario

    with Terminal() as terminal:
        terminal.line(json.dumps(Scenario.model_json_schema(), indent=2))


def _first_sentence(text: str) -> str:
    head, stop, _ = text.partition(". ")
    return head + stop.strip()
