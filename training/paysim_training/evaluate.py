"""``paysim evaluate``: evaluate a run beside the scripted policies."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from paysim_agents.scripted import scripted
from paysim_agents.tree import load_tree, tree_policy
from paysim_agents.tuning import candidate_grid, tune
from rich.console import Console

from paysim_gym import PaymentVectorEnv, Scenario
from paysim_gym.cli.runner import run_command
from paysim_gym.evaluation import EpisodeTable, PolicyFactory, paired_difference_ci95, summarise
from paysim_gym.evaluation import evaluate as evaluate_policy
from paysim_gym.files import write_atomically
from paysim_training.core.config import TrainConfig
from paysim_training.core.day_recording import record_policy_day
from paysim_training.core.evaluation_table import make_table, table_text
from paysim_training.core.hparams import best_rule, write_evaluation_scalars
from paysim_training.core.joint_evaluation import (
    JointTable,
    evaluate_jointly,
    per_learner_policy,
    tune_per_learner,
)
from paysim_training.core.run_folder import RunFolder, RunFolderError
from paysim_training.core.task import constructor_arguments

FIXED_POLICIES = ("release_all", "hold_until_deadline", "random", "myopic")
TUNED_POLICIES = ("liquidity_aware", "split_large")


def evaluate(run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]) -> None:
    """Evaluate a trained run again, from its folder alone.

    Plays the saved model, the tree distilled from it if there is one, and every scripted policy on the run's
    evaluation seeds. Rewrites metrics.json, episodes.csv, table.txt, cost.png and day.png.

    [bold]Example[/bold]

    paysim evaluate runs/two_bank-seed0
    """
    evaluate_run(RunFolder(run), Console())


def evaluate_run(run: RunFolder, console: Console) -> dict[str, Any]:
    """Evaluate a run, write its results into the run folder and print the table.

    Returns:
        The content of ``metrics.json``.

    Raises:
        RunFolderError: If the folder has no valid config or scenario, or no trained model yet.
    """
    config, scenario = run.config(), run.scenario()
    if not run.is_trained:
        raise RunFolderError(f"{run.path} has no model.zip: finish it with --resume {run.path}")
    policies, factories = _choose_policies(run, config, scenario, console)
    arguments = constructor_arguments(config.env)
    play = evaluate_jointly if _learn_together(arguments) else evaluate_policy
    tables = {}
    for name, factory in factories.items():
        with console.status(f"Playing {name} on {config.evaluation.episodes} unseen episodes"):
            tables[name] = play(factory, scenario, config.evaluation.seeds, **arguments)
    metrics = _metrics(config, policies, tables)
    _write_episodes(run, tables)
    with console.status("Drawing"):
        _draw(run, metrics, factories, tables)
    write_evaluation_scalars(run, metrics)
    table = make_table(metrics)
    text = table_text(table)
    write_atomically(run.table, text.encode())
    run.write_json(run.metrics, metrics)
    # Rich fits the table to the width of a terminal; a log gets the lines of table.txt.
    console.print(table) if console.is_terminal else console.out(text, highlight=False)
    return metrics


def _choose_policies(
    run: RunFolder, config: TrainConfig, scenario: Scenario, console: Console
) -> tuple[dict[str, dict[str, Any]], dict[str, PolicyFactory]]:
    from paysim_training.algorithms.ppo import learned_policy  # torch would slow down --help

    arguments = constructor_arguments(config.env)
    policies: dict[str, dict[str, Any]] = {name: {"type": name} for name in ("ppo", *FIXED_POLICIES)}
    factories: dict[str, PolicyFactory] = {"ppo": learned_policy(run)}
    for name in TUNED_POLICIES:
        with console.status(f"Tuning {name} on {config.tuning.episodes} episodes"):
            policies[name], factories[name] = _tuned(name, config, scenario, arguments)
    if run.tree.is_file():
        tree = load_tree(run.tree)
        factories["tree"] = tree_policy(tree)
        policies["tree"] = {"type": "tree", "rules": tree.leaves}
    return policies, {name: factories.get(name) or scripted(policy) for name, policy in policies.items()}


def _draw(
    run: RunFolder,
    metrics: dict[str, Any],
    factories: dict[str, PolicyFactory],
    tables: dict[str, EpisodeTable],
) -> None:
    """Draw the costs and, for one learner, a day near both policies' mean cost."""
    from paysim_training.core.run_figures import (  # Matplotlib would slow down --help
        draw_costs,
        draw_days,
        save_figure,
    )

    save_figure(draw_costs(metrics), run.cost_figure)
    arguments = constructor_arguments(run.config().env)
    if _learn_together(arguments):
        return
    rule = best_rule(metrics)
    distance = sum(np.abs(tables[name].cost - tables[name].cost.mean()) for name in ("ppo", rule))
    seed = int(tables["ppo"].seed[np.argmin(distance)])
    days = {
        name: record_policy_day(factories[name], run.scenario(), seed, **arguments) for name in ("ppo", rule)
    }
    save_figure(draw_days(days, metrics["env"], seed), run.day_figure)


def _learn_together(arguments: dict[str, Any]) -> bool:
    return isinstance(arguments.get("learner"), list)


def _tuned(
    name: str, config: TrainConfig, scenario: Scenario, arguments: dict[str, Any]
) -> tuple[dict[str, Any], PolicyFactory]:
    days = config.tuning.seeds
    if _learn_together(arguments):
        tuned = tune_per_learner(name, scenario, days, **arguments)
        named = {
            f"{bank}.{key}": value
            for bank, parameters in tuned.items()
            for key, value in parameters.items()
            if key != "type"
        }
        return {"type": name, **named}, per_learner_policy(tuned)
    learner = PaymentVectorEnv(1, scenario, **arguments).learner
    policy, _ = tune(scenario, days, candidate_grid(name, scenario, learner), **arguments)
    return policy, scripted(policy)


def _metrics(
    config: TrainConfig, policies: dict[str, dict[str, Any]], tables: dict[str, EpisodeTable]
) -> dict[str, Any]:
    learned = tables["ppo"].cost
    summaries = {}
    for name, table in tables.items():
        summaries[name] = {"policy": policies[name], **summarise(table)}
        if name != "ppo":
            mean, low, high = paired_difference_ci95(table.cost, learned)
            summaries[name]["minus_ppo_cents"] = {"mean": mean, "ci95": [low, high]}
        if isinstance(table, JointTable):
            costs = {bank: float(values.mean()) for bank, values in table.bank_costs.items()}
            summaries[name]["bank_cost_cents_mean"] = costs
    return {
        "env": config.env.id,
        "seed": config.seed,
        "timesteps": config.timesteps,
        "evaluation": config.evaluation.model_dump(),
        "tuning": config.tuning.model_dump(),
        "policies": summaries,
    }


def _write_episodes(run: RunFolder, tables: dict[str, EpisodeTable]) -> None:
    columns = [field.name for field in dataclasses.fields(EpisodeTable)]
    rows = (
        (name, *values)
        for name, table in tables.items()
        for values in zip(*(getattr(table, column).tolist() for column in columns), strict=True)
    )
    run.write_episodes(["policy", *columns], rows)


if __name__ == "__main__":
    run_command(evaluate)
