"""``paysim distil``: distil a trained policy into a decision tree.

The tree imitates the network on days that the tree itself plays, so that it learns the right decisions in
the states that its own errors lead to (Ross, Gordon and Bagnell 2011, DAgger; Bastani, Pu and Solar-Lezama
2018, VIPER).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from paysim_agents.tree import (
    Fork,
    Leaf,
    Tree,
    TreeAgent,
    bank_columns,
    dump_tree,
    slot_columns,
    split_observations,
    tree_policy,
    tree_rules,
)
from rich.console import Console

from paysim_gym import PaymentVectorEnv
from paysim_gym.cli.runner import run_command
from paysim_gym.envs.infos import EPISODE_COST
from paysim_gym.envs.spaces import masks_by_component
from paysim_gym.evaluation import Policy, evaluate
from paysim_gym.files import write_atomically
from paysim_training.core.config import TRAINING_SEEDS_END, TrainConfig
from paysim_training.core.run_folder import RunFolder, RunFolderError
from paysim_training.core.task import constructor_arguments

MIN_LEAF_SHARE = 0.002
"""Minimum share of the decisions in a leaf, so that every rule is worth reading."""
_STREAM = (0, 0, 2)
"""Extends the configured seed, so that the days differ from those of every training segment."""


def distil(
    run: Annotated[Path, typer.Argument(help="Folder of a trained run.", show_default=False)],
    depth: Annotated[int, typer.Option(min=1, max=12, help="Maximum depth of the tree.")] = 4,
    days: Annotated[int, typer.Option(min=1, max=100_000, help="Days played in each round.")] = 200,
    rounds: Annotated[
        int,
        typer.Option(min=1, max=20, help="Rounds; the network plays the first, a tree each of the others."),
    ] = 4,
    out: Annotated[
        Path | None, typer.Option(help="Also write the tree to this file.", show_default="RUN/tree.json only")
    ] = None,
) -> None:
    """Distil a trained policy into a small decision tree and print its rules.

    The tree is saved in the run folder, where paysim evaluate scores it beside the network.

    [bold]Examples[/bold]

    paysim distil runs/two_bank-seed0

    paysim distil runs/two_bank-seed0 --depth 2 --out tree.json

    paysim evaluate runs/two_bank-seed0
    """
    console = Console()
    if out is not None and not out.absolute().parent.is_dir():
        raise RunFolderError(f"out = {str(out)!r}: there is no folder {str(out.parent)!r}")
    folder = RunFolder(run)
    with console.status(f"Playing {rounds} rounds of {days} days"):
        found = distil_run(folder, depth=depth, days=days, rounds=rounds)
    for path in {folder.tree, *([out] if out else [])}:
        write_atomically(path, dump_tree(found.tree))
    console.out(tree_rules(found.tree), highlight=False, end="")
    console.out(_verdict(found, folder), highlight=False)


@dataclass(frozen=True)
class Distilled:
    """A tree and its comparison with the network.

    Attributes:
        tree: The tree with the lowest mean cost on the tuning days among the rounds.
        agreement: Share of decisions in which tree and network agree, on days that the tree plays.
        cost_cents: Mean cost of the tree per tuning day.
        network_cost_cents: Mean cost of the network per tuning day.
    """

    tree: Tree
    agreement: float
    cost_cents: float
    network_cost_cents: float


def distil_run(run: RunFolder, *, depth: int = 4, days: int = 200, rounds: int = 4) -> Distilled:
    """Distil the trained policy of a run; the result is deterministic.

    Args:
        run: A trained run.
        depth: Maximum depth of the tree.
        days: Days played in each round, drawn from the training seeds.
        rounds: The network plays the first round, the tree of the previous round each of the others.

    Raises:
        RunFolderError: If the folder is not a run, or has no trained model yet.
    """
    config, scenario = run.config(), run.scenario()
    if not run.model.is_file():
        raise RunFolderError(f"{run.path} has no model.zip: finish it with --resume {run.path}")
    from paysim_training.algorithms.ppo import LearnedPolicy  # torch would slow down --help

    arguments, network = constructor_arguments(config.env), LearnedPolicy(run)
    env = PaymentVectorEnv(days, scenario, autoreset_mode="Disabled", **arguments)
    player: Policy = network
    examples, tried = _Examples(), []
    for seeds in _days(config, days, rounds):
        examples.play(env, player, network, seeds)
        tree = examples.tree(env, depth)
        player = TreeAgent(env, tree)
        costs = evaluate(tree_policy(tree), scenario, config.tuning.seeds, **arguments).cost
        tried.append((float(costs.mean()), tree))
    cost, tree = min(tried, key=lambda trial: trial[0])
    baseline = evaluate(lambda env: network, scenario, config.tuning.seeds, **arguments).cost
    days_of_tree = list(config.tuning.seeds)
    env = PaymentVectorEnv(len(days_of_tree), scenario, autoreset_mode="Disabled", **arguments)
    agreement = _Examples().play(env, TreeAgent(env, tree), network, days_of_tree)
    return Distilled(tree, agreement, cost, float(baseline.mean()))


class _Examples:
    def __init__(self) -> None:
        self._payments: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
        self._openings: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []

    def play(self, env: PaymentVectorEnv, player: Policy, network: Policy, seeds: list[int]) -> float:
        """Play days and record the decisions of the network in the visited states.

        Returns:
            Share of the decisions in which player and network agree.
        """
        slots, (observations, infos) = env.settings.slots, env.reset(seed=seeds)
        agreements = []
        while EPISODE_COST not in infos:
            actions, masks = player.predict(observations)[0], env.action_masks()
            legal = masks_by_component(masks, env.single_action_space)
            wanted = _legal_actions(network.predict(observations)[0], legal)
            table, is_filled, is_opening = split_observations(observations, slots)
            self._payments.append((table[is_filled], wanted[:, :slots][is_filled]))
            bank = table[is_opening, 0, : len(bank_columns())]
            self._openings.append((bank, wanted[is_opening, -1]))
            agrees = _legal_actions(actions, legal) == wanted
            agreements += [agrees[:, :slots][is_filled], agrees[is_opening, -1]]
            observations, *_, infos = env.step(actions)
        return float(np.concatenate(agreements).mean())

    def tree(self, env: PaymentVectorEnv, depth: int) -> Tree:
        """Fit a tree to all examples."""
        bank = env.learner
        return Tree(
            split_parts=tuple(env.settings.split_parts),
            amount_scale_cents=env.amount_scales_cents[bank],
            pool_shares=env.settings.pool_shares if self._has_openings() else None,
            ticks_per_day=env.scenario.ticks_per_day,
            slots=env.settings.slots,
            payments=_fit(self._payments, [*bank_columns(), *slot_columns()], depth),
            opening=_fit(self._openings, bank_columns(), depth) if self._has_openings() else None,
        )

    def _has_openings(self) -> bool:
        return any(len(actions) for _, actions in self._openings)


def _legal_actions(actions: NDArray[np.int64], legal: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Returns the actions, with hold for those that are illegal.

    Args:
        actions: int64 of shape (num_envs, components).
        legal: bool of shape (num_envs, components, choices).
    """
    is_legal = np.take_along_axis(legal, actions[..., None], axis=-1)[..., 0]
    return np.where(is_legal, actions, 0)


def _fit(
    examples: list[tuple[NDArray[np.float32], NDArray[np.int64]]], columns: list[str], depth: int
) -> Fork | Leaf:
    from sklearn.tree import DecisionTreeClassifier

    table, actions = (np.concatenate(column) for column in zip(*examples, strict=True))
    if not len(actions):
        return Leaf(action=0, decisions=0, agreement=1.0)
    model = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=MIN_LEAF_SHARE, random_state=0)
    return _read(model.fit(table, actions), columns, 0)


def _read(model: Any, columns: list[str], node: int) -> Fork | Leaf:
    inner = model.tree_
    if inner.children_left[node] < 0:
        shares = inner.value[node][0] / inner.value[node][0].sum()
        best = int(shares.argmax())
        return Leaf(
            action=int(model.classes_[best]),
            decisions=int(inner.n_node_samples[node]),
            agreement=float(shares[best]),
        )
    yes, no = (_read(model, columns, side[node]) for side in (inner.children_left, inner.children_right))
    if isinstance(yes, Leaf) and isinstance(no, Leaf) and yes.action == no.action:
        return _join(yes, no)
    column = columns[int(inner.feature[node])]
    return Fork(column=column, at_most=float(inner.threshold[node]), yes=yes, no=no)


def _join(one: Leaf, other: Leaf) -> Leaf:
    decisions = one.decisions + other.decisions
    agreed = one.decisions * one.agreement + other.decisions * other.agreement
    return Leaf(action=one.action, decisions=decisions, agreement=min(1.0, agreed / decisions))


def _days(config: TrainConfig, days: int, rounds: int) -> list[list[int]]:
    rng = np.random.default_rng([config.seed, *_STREAM])
    seeds = rng.choice(TRAINING_SEEDS_END, days * rounds, replace=False, shuffle=False)
    return [[int(seed) for seed in part] for part in seeds.reshape(rounds, days)]


def _verdict(found: Distilled, run: RunFolder) -> str:
    tree, network = (f"{cents / 100:,.2f}" for cents in (found.cost_cents, found.network_cost_cents))
    return (
        f"{found.tree.leaves} rules; on the tuning days they agree with the network in "
        f"{found.agreement:.1%} of the decisions and cost {tree} a day; the network costs {network}.\n"
        f"The tree is in {run.tree}. To evaluate it on unseen days: paysim evaluate {run.path}"
    )


if __name__ == "__main__":
    run_command(distil)
