"""Distil a trained policy into a decision tree: ``paysim distil RUN``.

The tree imitates the network on days that the tree itself plays, as a policy must know what to do where its
own mistakes lead it (Ross, Gordon and Bagnell 2011, DAgger; Bastani, Pu and Solar-Lezama 2018, VIPER).
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
from paysim_gym.evaluation import Policy, evaluate
from paysim_gym.files import write_atomically
from paysim_training.core.config import TRAINING_SEEDS_END, TrainConfig
from paysim_training.core.run_folder import RunFolder, RunFolderError
from paysim_training.core.task import constructor_arguments

SMALLEST_SHARE = 0.002
"""A rule that is about a smaller share of the decisions is not worth reading."""
_STREAM = (0, 0, 2)
"""What follows the configured seed in the seed of the days, so that no stretch of training draws the same."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.command()
def main(
    run: Annotated[Path, typer.Argument(help="A run whose training has ended.", show_default=False)],
    depth: Annotated[int, typer.Option(min=1, max=12, help="Questions before a decision, at most.")] = 4,
    days: Annotated[int, typer.Option(min=1, max=100_000, help="Days played in each round.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="The network plays first, then trees.")] = 4,
    out: Annotated[
        Path | None, typer.Option(help="Write the tree here too.", show_default="RUN/tree.json only")
    ] = None,
) -> None:
    """Distil a trained policy into a small decision tree, and print its rules.

    The tree is kept in the run's folder, where paysim_training.evaluate finds it and scores it beside the network.

    [bold]Examples[/bold]

    paysim distil runs/two_bank-seed0

    paysim distil runs/two_bank-seed0 --depth 2 --out tree.json && paysim evaluate
    runs/two_bank-seed0
    """
    console = Console()
    try:
        if out is not None and not out.absolute().parent.is_dir():
            raise RunFolderError(f"out = {str(out)!r}: there is no folder {str(out.parent)!r}")
        folder = RunFolder(run)
        with console.status(f"Playing {rounds} times {days} days"):
            found = distil(folder, depth=depth, days=days, rounds=rounds)
    except RunFolderError as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    for path in {folder.tree, *([out] if out else [])}:
        write_atomically(path, dump_tree(found.tree))
    console.out(tree_rules(found.tree), highlight=False, end="")
    console.out(_verdict(found, folder), highlight=False)


@dataclass(frozen=True)
class Distilled:
    """A tree and how it compares with its network.

    Attributes:
        tree: The cheapest of the rounds on the tuning days.
        agreement: Share of decisions in which it does what the network would do, on days that it plays.
        cost_cents: Its mean cost of a tuning day.
        network_cost_cents: That of the network.
    """

    tree: Tree
    agreement: float
    cost_cents: float
    network_cost_cents: float


def distil(run: RunFolder, *, depth: int = 4, days: int = 200, rounds: int = 4) -> Distilled:
    """Distil a run's trained policy; the same run and arguments give the same tree.

    Args:
        run: A run whose training has ended.
        depth: Questions before a decision, at most.
        days: Days of the training seeds that are played in each round.
        rounds: The network plays the first, the tree of the round before the others.

    Raises:
        RunFolderError: If the folder is not a run, or has no trained model yet.
    """
    config, scenario = run.config(), run.scenario()
    if not run.model.is_file():
        raise RunFolderError(f"{run.path} has no model.zip: finish it with --resume {run.path}")
    from paysim_training.algorithms.ppo import LearnedPolicy  # brings torch, which --help must not wait for

    arguments, network = constructor_arguments(config.env), LearnedPolicy(run)
    env = PaymentVectorEnv(days, scenario, autoreset_mode="Disabled", **arguments)
    examples, player, tried = _Examples(), network, []
    for seeds in _days(config, days, rounds):
        examples.play(env, player, network, seeds)
        tree = examples.tree(env, depth)
        player = TreeAgent(env, tree)
        costs = evaluate(tree_policy(tree), scenario, config.tuning.seeds, **arguments).cost
        tried.append((float(costs.mean()), tree))
    cost, tree = min(tried, key=lambda trial: trial[0])
    known = evaluate(lambda env: network, scenario, config.tuning.seeds, **arguments).cost
    days_of_tree = list(config.tuning.seeds)
    env = PaymentVectorEnv(len(days_of_tree), scenario, autoreset_mode="Disabled", **arguments)
    agreement = _Examples().play(env, TreeAgent(env, tree), network, days_of_tree)
    return Distilled(tree, agreement, cost, float(known.mean()))


class _Examples:
    """What the network would do, wherever anybody has been."""

    def __init__(self) -> None:
        self._payments: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
        self._openings: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []

    def play(self, env: PaymentVectorEnv, player: Policy, network: Policy, seeds: list[int]) -> float:
        """Let someone play days, and note what the network would do there.

        Returns:
            In which share of the decisions the player does what the network would do.
        """
        slots, (observations, infos) = env.settings.slots, env.reset(seed=seeds)
        alike = []
        while "episode_totals" not in infos:
            actions, masks = player.predict(observations)[0], env.action_masks()
            wanted = _what_counts(network.predict(observations)[0], masks)
            table, is_filled, is_opening = split_observations(observations, slots)
            self._payments.append((table[is_filled], wanted[is_filled]))
            bank = table[is_opening, 0, : len(bank_columns())]
            self._openings.append((bank, wanted[is_opening, 0]))
            is_alike = _what_counts(actions, masks) == wanted
            alike += [is_alike[is_filled], is_alike[is_opening, 0]]
            observations, *_, infos = env.step(actions)
        return float(np.concatenate(alike).mean())

    def tree(self, env: PaymentVectorEnv, depth: int) -> Tree:
        """The tree of all of them."""
        bank = env.learner
        return Tree(
            split_parts=tuple(env.settings.split_parts),
            amount_scale_cents=env.amount_scales_cents[bank],
            reward_scale_cents=env.reward_scales_cents[bank],
            ticks_per_day=env.scenario.ticks_per_day,
            slots=env.settings.slots,
            payments=_fit(self._payments, [*bank_columns(), *slot_columns()], depth),
            opening=_fit(self._openings, bank_columns(), depth) if self._has_openings() else None,
        )

    def _has_openings(self) -> bool:
        return any(len(actions) for _, actions in self._openings)


def _what_counts(actions: NDArray[np.int64], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Actions as the environment takes them: hold where they are illegal."""
    legal = masks.reshape(*actions.shape, -1)
    is_legal = np.take_along_axis(legal, actions[..., None], axis=-1)[..., 0]
    return np.where(is_legal, actions, 0)


def _fit(
    examples: list[tuple[NDArray[np.float32], NDArray[np.int64]]], columns: list[str], depth: int
) -> Fork | Leaf:
    from sklearn.tree import DecisionTreeClassifier

    table, actions = (np.concatenate(column) for column in zip(*examples, strict=True))
    if not len(actions):
        return Leaf(action=0, decisions=0, agreement=1.0)
    model = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=SMALLEST_SHARE, random_state=0)
    return _read(model.fit(table, actions), columns, 0)


def _read(model: Any, columns: list[str], place: int) -> Fork | Leaf:
    """A node of scikit-learn's tree; two rules that say the same become one."""
    inner = model.tree_
    if inner.children_left[place] < 0:
        shares = inner.value[place][0] / inner.value[place][0].sum()
        likeliest = int(shares.argmax())
        return Leaf(
            action=int(model.classes_[likeliest]),
            decisions=int(inner.n_node_samples[place]),
            agreement=float(shares[likeliest]),
        )
    yes, no = (_read(model, columns, side[place]) for side in (inner.children_left, inner.children_right))
    if isinstance(yes, Leaf) and isinstance(no, Leaf) and yes.action == no.action:
        return _join(yes, no)
    column = columns[int(inner.feature[place])]
    return Fork(column=column, at_most=float(inner.threshold[place]), yes=yes, no=no)


def _join(one: Leaf, other: Leaf) -> Leaf:
    decisions = one.decisions + other.decisions
    agreed = one.decisions * one.agreement + other.decisions * other.agreement
    return Leaf(action=one.action, decisions=decisions, agreement=min(1.0, agreed / decisions))


def _days(config: TrainConfig, days: int, rounds: int) -> list[list[int]]:
    """Seeds of the days of each round; they belong to training."""
    rng = np.random.default_rng([config.seed, *_STREAM])
    seeds = rng.choice(TRAINING_SEEDS_END, days * rounds, replace=False, shuffle=False)
    return [[int(seed) for seed in part] for part in seeds.reshape(rounds, days)]


def _verdict(found: Distilled, run: RunFolder) -> str:
    tree, network = (f"{cents / 100:,.2f}" for cents in (found.cost_cents, found.network_cost_cents))
    return (
        f"{found.tree.leaves} rules; on the tuning days they decide as the network would in "
        f"{found.agreement:.1%} of the decisions, and cost {tree} a day, the network {network}.\n"
        f"The tree is in {run.tree}. To score it on unseen days: paysim evaluate {run.path}"
    )


if __name__ == "__main__":
    app()
