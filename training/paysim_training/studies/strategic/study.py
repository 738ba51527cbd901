"""Trains and measures everything that `paysim strategic` reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from paysim_gym import Scenario
from paysim_gym.cli.terminal import progress_bar
from paysim_training.core.config import EnvConfig, TrainConfig
from paysim_training.core.run_folder import RunFolder, RunFolderError, create_run_folder, versions
from paysim_training.studies.strategic.profiles import (
    RULES,
    StrategyProfile,
    exploitability,
    fingerprint,
    paired_difference,
    play,
    summarise_profile,
    system_cost,
    with_policies,
)

if TYPE_CHECKING:
    from paysim_training.studies.strategic.joint_training import LearnedProfile


@dataclass(frozen=True)
class Study:
    """Inputs of a study of strategic learning.

    Attributes:
        out: Folder of all trainings.
        config: Configuration of all trainings apart from seed and learner; its environment is resolved.
        scenario: Scenario of all trainings and evaluations.
        kinds: Forms of joint training, of `paysim_training.studies.strategic.joint_training.Kind`.
        responders: Banks that learn best responses.
        console: Receives progress.
    """

    out: Path
    config: TrainConfig
    scenario: Scenario
    kinds: Sequence[str]
    responders: Sequence[str]
    console: Console

    def results(self) -> dict[str, Any]:
        """Return the content of ``results.json``; finished trainings are loaded, not repeated."""
        banks = [agent.id for agent in self.scenario.agents]
        profiles: dict[str, StrategyProfile] = {
            name: dict.fromkeys(banks, rule) for name, rule in RULES.items()
        }
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
                **summarise_profile(played[name]),
                "saves_cents": {
                    rule: paired_difference(costs[rule], costs[name]) for rule in RULES if rule != name
                },
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
        from paysim_training.studies.strategic.joint_training import (  # torch would slow down --help
            LearnedProfile,
            train_jointly,
        )

        profile = LearnedProfile(self.out / kind, kind)
        config = self.config.model_copy(
            update={
                "description": f"Banks that learn together, {kind}; {fingerprint(self.scenario)}",
                "seed": _stream(self.config.seed, 0, kind),
            }
        )
        if profile.is_trained(config):
            return profile
        fields = "{task.completed:,.0f} of {task.total:,.0f} ticks, all banks {task.fields[cost]} per day"
        with progress_bar(self.console, fields) as progress:
            task = progress.add_task(f"All learn, {kind}", total=config.timesteps, cost="?")

            def show(ticks: int, costs: Mapping[str, float]) -> None:
                progress.update(task, completed=ticks, cost=f"{sum(costs.values()) / 100:,.0f}")

            train_jointly(profile, config, self.scenario, show)
        return profile

    def _exploit(
        self, name: str, policies: StrategyProfile, bank: str, profile: LearnedProfile | None
    ) -> dict[str, Any]:
        network = self._respond(name, policies, bank, profile)
        with self.console.status(f"Playing the best response of {bank} to {name}"):
            response = {"type": "network", "weights": str(network.absolute())}
            config = self.config
            return exploitability(
                self.scenario, policies, bank, response, config.tuning.seeds, config.evaluation.seeds
            )

    def _respond(
        self, name: str, policies: StrategyProfile, bank: str, profile: LearnedProfile | None
    ) -> Path:
        from paysim_training.algorithms.ppo import export_policy, learn  # torch would slow down --help

        run = RunFolder(self.out / "responses" / name / bank)
        scenario = with_policies(self.scenario, policies)
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


def _stream(seed: int, *key: int | str) -> int:
    """Derive the seed of one training; it does not depend on the other trainings."""
    words = [seed, *(int.from_bytes(str(part).encode()) for part in key)]
    return int(np.random.SeedSequence(words).generate_state(1)[0])
