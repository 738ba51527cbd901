"""Banks that all learn, and what each could still gain: ``paysim strategic --out DIR``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from paysim_gym import Scenario
from paysim_gym.files import write_atomically
from paysim_training.core.config import ConfigError, EnvConfig, SeedRange, TrainConfig, load_config
from paysim_training.core.run_folder import RunFolder, RunFolderError, folder_lock, create_run_folder, versions
from paysim_training.core.task import resolve_env
from paysim_training.studies.strategic.profiles import (
    RULES,
    Policies,
    check_pools,
    describe,
    difference,
    exploit,
    fingerprint,
    play,
    seat,
    system_cost,
)

if TYPE_CHECKING:
    from paysim_training.studies.strategic.joint_training import LearnedProfile

QUICK_TIMESTEPS, QUICK_DAYS, QUICK_TUNING_DAYS = 61_440, 40, 20
# Networks decide payment by payment, the whole day; what is left out comes first.
_AS_FROZEN: dict[str, tuple[Any, ...]] = {
    "action_mode": ("slots",),
    "decides": ("both", "payments"),
    "max_episode_steps": (None,),
    "autoreset_mode": (None,),
}


class Learning(StrEnum):
    """Who has a model of its own."""

    shared = "shared"
    independent = "independent"
    both = "both"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command()
def main(
    out: Annotated[
        Path, typer.Option(help="The folder to fill, or to complete.", show_default=False, file_okay=False)
    ],
    policies: Annotated[
        Learning, typer.Option(help="One network for all banks, one for each bank, or both in turn.")
    ] = Learning.both,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of all networks, days and exploration.", show_default="0")
    ] = None,
    timesteps: Annotated[
        int | None,
        typer.Option(min=1, help="Ticks that each bank plays in each training.", show_default="294,912"),
    ] = None,
    bank: Annotated[
        list[str] | None,
        typer.Option(help="Only this bank's best responses; may be repeated.", show_default="all"),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"{QUICK_TIMESTEPS:,} ticks, the first bank's best responses, {QUICK_DAYS} days: a minute "
            "or two, and too little to learn much.",
        ),
    ] = False,
    config: Annotated[
        str,
        typer.Option(help="A file of training/paysim_training/configs without its ending, or a YAML file."),
    ] = "strategic",
) -> None:
    """What happens when every bank learns? And could one of them still do better?

    When a bank waits it saves liquidity, and the others miss its money. Here all banks of five_bank learn at
    once, each from its own costs: with one network for all ([bold]shared[/bold]), or one for each
    ([bold]independent[/bold]). What they have learned is frozen and played on unseen days, beside everyone
    releasing at once and everyone waiting to the deadline.

    Then one bank at a time learns a best response to the others, who stay as they are. What it saves on the
    same days says how exploitable they are; in an equilibrium nobody saves anything. PPO may miss better
    responses, so that this is a [bold]lower bound[/bold].

    A training that has ended is not done again: give the same command once more after an interruption. DIR
    then holds

    [bold]results.json[/bold]  cost, settlement rate and delay by bank, exploitability, all intervals,
    settings, command and commit;

    [bold]shared/[/bold], [bold]independent/[/bold]  the frozen networks, ready for a scenario, and their
    models;

    [bold]responses/[/bold]  a folder for each best response, as paysim train leaves it.

    [bold]Examples[/bold]

    paysim strategic --out strategic --quick

    paysim strategic --out strategic

    paysim strategic --out core --policies independent --bank CORE_A --seed 7

    python -m paysim_training.studies.strategic.report strategic/results.json --page page.md
    """
    console = Console(stderr=True)
    try:
        loaded = load_config(config, seed=seed, timesteps=timesteps)
        if quick:
            loaded = _shortened(loaded, timesteps or QUICK_TIMESTEPS)
        env, scenario = resolve_env(loaded.env)
        loaded = loaded.model_copy(update={"env": env})
        _check(loaded, scenario)
        banks = _responders(scenario, bank, quick)
        kinds = ["shared", "independent"] if policies is Learning.both else [policies.value]
        out.mkdir(parents=True, exist_ok=True)
        with folder_lock(out):
            results = Study(out, loaded, scenario, kinds, banks, console).results()
            write_atomically(
                out / "results.json", (json.dumps(results, indent=1, allow_nan=False) + "\n").encode()
            )
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on with the first training that has not ended.")
        raise typer.Exit(130) from None
    except (ConfigError, RunFolderError, ValueError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    from paysim_training.studies.strategic.report import make_tables

    for table in make_tables(results):
        Console().print(table)
    console.print(f"All figures are in {out / 'results.json'}.", soft_wrap=True, highlight=False)


@dataclass(frozen=True)
class Study:
    """Everything that the command trains and measures.

    Attributes:
        out: Where trainings are kept.
        config: Of all trainings, but for the seeds and the learner; its environment is resolved.
        scenario: What is played.
        kinds: Of `paysim_training.studies.strategic.joint_training.Kind`: how the banks learn together.
        responders: Banks that learn best responses.
        console: Where progress goes.
    """

    out: Path
    config: TrainConfig
    scenario: Scenario
    kinds: Sequence[str]
    responders: Sequence[str]
    console: Console

    def results(self) -> dict[str, Any]:
        """Train what has not been trained, and measure everything: the content of ``results.json``."""
        banks = [agent.id for agent in self.scenario.agents]
        profiles: dict[str, Policies] = {name: dict.fromkeys(banks, rule) for name, rule in RULES.items()}
        learned = {kind: self._learned(kind) for kind in self.kinds}
        for kind, profile in learned.items():
            profiles[kind] = {bank: profile.policy(bank) for bank in banks}
        with self.console.status(f"Playing {self.config.evaluation.episodes} unseen days"):
            played = {
                name: play(self.scenario, policies, self.config.evaluation.seeds)
                for name, policies in profiles.items()
            }
        costs = {name: system_cost(tables) for name, tables in played.items()}
        described = {
            name: {
                **describe(played[name]),
                "saves_cents": {rule: difference(costs[rule], costs[name]) for rule in RULES if rule != name},
                "exploitability": {
                    bank: self._exploit(name, policies, bank, learned.get(name)) for bank in self.responders
                },
                **({"curve": learned[name].curve()} if name in learned else {}),
            }
            for name, policies in profiles.items()
        }
        return {
            "scenario": self.scenario.model_dump(mode="json"),
            "config": self.config.model_dump(mode="json"),
            **versions(),
            "profiles": described,
        }

    def _learned(self, kind: Any) -> LearnedProfile:
        """The banks that learned together, trained now if they have not been."""
        from paysim_training.studies.strategic.joint_training import (  # brings torch
            LearnedProfile,
            train_together,
        )

        profile = LearnedProfile(self.out / kind, kind)
        config = self.config.model_copy(
            update={
                "description": f"Banks that learn together, {kind}; {fingerprint(self.scenario)}",
                "seed": _stream(self.config.seed, 0, kind),
            }
        )
        if profile.is_of(config):
            return profile
        with _progress(self.console) as progress:
            task = progress.add_task(f"All learn, {kind}", total=config.timesteps, cost="?")

            def watch(ticks: int, costs: Mapping[str, float]) -> None:
                progress.update(task, completed=ticks, cost=f"{sum(costs.values()) / 100:,.0f}")

            train_together(profile, config, self.scenario, watch)
        return profile

    def _exploit(
        self, name: str, policies: Policies, bank: str, profile: LearnedProfile | None
    ) -> dict[str, Any]:
        """What a bank saves by its best response to a profile; trained now if it has not been."""
        network = self._respond(name, policies, bank, profile)
        with self.console.status(f"Playing the best response of {bank} to {name}"):
            response = {"type": "network", "weights": str(network.absolute())}
            config = self.config
            return exploit(
                self.scenario, policies, bank, response, config.tuning.seeds, config.evaluation.seeds
            )

    def _respond(self, name: str, policies: Policies, bank: str, profile: LearnedProfile | None) -> Path:
        """The frozen network of a bank that learned alone, the others playing their policies."""
        from paysim_training.algorithms.ppo import export_policy, learn  # brings torch

        run = RunFolder(self.out / "responses" / name / bank)
        scenario = seat(self.scenario, policies)
        env = self.config.env
        config = self.config.model_copy(
            update={
                "description": f"Best response of {bank} to {name}; {fingerprint(scenario)}",
                "seed": _stream(self.config.seed, 1, name, bank),
                "env": EnvConfig(id=env.id, kwargs={**env.kwargs, "learner": bank}),
            }
        )
        if not run.path.exists():
            create_run_folder(run.path, bank, config, scenario)
        elif run.config() != config:
            raise RunFolderError(f"{run.path} is of another study: remove it, or choose another --out")
        with run.locked():
            if profile is not None and run.last_checkpoint() is None:
                run.save_checkpoint(0, profile.model_files(bank))
            if not run.model.is_file():
                learn(run, self.console, title=f"Best response of {bank} to {name}")
            network = run.path / "network.safetensors"
            if not network.is_file():
                export_policy(run, network)
        return network


def _shortened(config: TrainConfig, timesteps: int) -> TrainConfig:
    """The configuration for a look."""
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
    """Refuse what could not be trained or measured, before anything is trained.

    Raises:
        ConfigError: If banks were to imitate somebody, or to play otherwise than a frozen network does.
        ValueError: If a bank has a liquidity pool.
    """
    if config.warm_start is not None:
        raise ConfigError("warm_start: must be left out, banks that learn together imitate nobody")
    for name, allowed in _AS_FROZEN.items():
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


def _stream(seed: int, *key: int | str) -> int:
    """The seed of one training, whichever others there are."""
    words = [seed, *(int.from_bytes(str(part).encode()) for part in key)]
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} ticks, all banks {task.fields[cost]} a day"),
        TimeRemainingColumn(),
        console=console,
    )


if __name__ == "__main__":
    app()
