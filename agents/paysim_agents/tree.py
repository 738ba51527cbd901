"""A decision tree that decides payment by payment: few enough rules to read, and an agent that plays them.

Trees come from `paysim distil`; to read and to play one takes its JSON file alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from paysim_gym import PaymentVectorEnv
from paysim_gym._engine import observation_fields
from paysim_gym.evaluation import PolicyFactory

SLOT_PREFIX = "slot_"
"""A column that begins with it is one of the payment that is decided about; all others are the bank's."""


class TreeError(ValueError):
    """A file that holds no tree, or a tree that does not fit where it is to play."""


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Leaf(_Frozen):
    """A decision.

    Attributes:
        action: As the environment numbers them.
        decisions: How many decisions the tree was made from end here.
        agreement: Share of them that were this one.
    """

    action: Annotated[int, Field(ge=0)]
    decisions: Annotated[int, Field(ge=0)]
    agreement: Annotated[float, Field(ge=0, le=1)]


class Fork(_Frozen):
    """A question: is this column at most that threshold, in the units of the observation?"""

    column: str
    at_most: float
    yes: Fork | Leaf
    no: Fork | Leaf


class Tree(_Frozen):
    """A policy, with what its numbers mean where it was learned.

    Attributes:
        format: Of the file.
        split_parts: Numbers of parts of the actions after hold and release.
        amount_scale_cents: Cents of one unit of amount.
        reward_scale_cents: Cents of one unit of reward.
        ticks_per_day: Ticks of a day.
        slots: Slots of the environment.
        payments: What to do with each payment that waits in a slot.
        opening: Which share of the pool to commit; None where there is none.
    """

    format: Literal["paysim-tree-1"] = "paysim-tree-1"
    split_parts: tuple[int, ...]
    amount_scale_cents: Annotated[int, Field(gt=0)]
    reward_scale_cents: Annotated[float, Field(gt=0)]
    ticks_per_day: Annotated[int, Field(gt=0)]
    slots: Annotated[int, Field(gt=0)]
    payments: Fork | Leaf
    opening: Fork | Leaf | None = None

    @model_validator(mode="after")
    def _knows_its_columns_and_actions(self) -> Self:
        for node in _nodes(self.payments):
            self._check(node, {*bank_columns(), *slot_columns()})
        for node in _nodes(self.opening) if self.opening else ():
            self._check(node, set(bank_columns()))
        return self

    def _check(self, node: Fork | Leaf, columns: set[str]) -> None:
        if isinstance(node, Fork) and node.column not in columns:
            raise ValueError(f"column = {node.column!r}: must be one of {', '.join(sorted(columns))}")
        if isinstance(node, Leaf) and node.action > 1 + len(self.split_parts):
            raise ValueError(f"action = {node.action}: must be at most {1 + len(self.split_parts)}")

    @property
    def leaves(self) -> int:
        """Rules of both trees together."""
        both = [self.payments, *([self.opening] if self.opening else [])]
        return sum(isinstance(node, Leaf) for root in both for node in _nodes(root))


class TreeAgent:
    """Plays a tree; satisfies `paysim_gym.evaluation.Policy`."""

    def __init__(self, env: PaymentVectorEnv, tree: Tree) -> None:
        """Tie the agent to the environment it acts in.

        Args:
            env: Its learner decides as that of the tree did, and sees amounts in the same units.
            tree: The policy.

        Raises:
            TreeError: If the environment is another.
        """
        settings, bank = env.settings, env.learners[0]
        here = {
            "slots": settings.slots,
            "split_parts": tuple(settings.split_parts),
            "amount_scale_cents": env.amount_scales_cents[bank],
            "ticks_per_day": env.scenario.ticks_per_day,
        }
        for name, value in here.items():
            if value != getattr(tree, name):
                raise TreeError(f"{name} = {value}: the tree was made for {getattr(tree, name)}")
        if settings.action_mode != "slots":
            raise TreeError(f"action_mode = {settings.action_mode!r}: must be 'slots'")
        self._tree = tree

    def predict(
        self,
        observation: NDArray[np.float32],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """Decide for every row of a batch of observations, float32 of shape (num_envs, size)."""
        return decide(self._tree, observation), state


def decide(tree: Tree, observations: NDArray[np.float32]) -> NDArray[np.int64]:
    """Actions of the tree, int64 of shape (num_envs, slots); an empty slot holds.

    Args:
        tree: The policy.
        observations: float32 of shape (num_envs, size).
    """
    table, is_filled, is_opening = split_observations(observations, tree.slots)
    actions = np.zeros(is_filled.shape, np.int64)
    actions[is_filled] = _follow(tree.payments, table[is_filled])
    if tree.opening is not None and is_opening.any():
        actions[is_opening, 0] = _follow(tree.opening, table[is_opening, 0])
    return actions


def split_observations(
    observations: NDArray[np.float32], slots: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Observations as the tree sees them, slot by slot.

    Args:
        observations: float32 of shape (num_envs, size).
        slots: Slots of the environment.

    Returns:
        The columns of the bank and then of the slot, float32 of shape (num_envs, slots, columns); whether
        there is a payment to decide about, bool of shape (num_envs, slots); and whether the bank is to
        commit its pool instead, bool of shape (num_envs,).
    """
    bank, own = len(bank_columns()), observations[:, None, : len(bank_columns())]
    payments = observations[:, bank:].reshape(len(observations), slots, -1)
    table = np.concatenate([np.broadcast_to(own, (len(payments), slots, bank)), payments], axis=2)
    is_opening = observations[:, bank_columns().index("is_opening")] > 0
    return table, (payments[:, :, 0] > 0) & ~is_opening[:, None], is_opening


def bank_columns() -> list[str]:
    """Names of the columns about the bank, in the order of the observation."""
    return [name for name, *_ in observation_fields(1) if not name.startswith(SLOT_PREFIX)]


def slot_columns() -> list[str]:
    """Names of the columns about a payment, in their order: `slot_amount`, `slot_age` and so on."""
    return [name.replace("slot_0_", SLOT_PREFIX) for name, *_ in observation_fields(1)[len(bank_columns()) :]]


def load_tree(path: Path) -> Tree:
    """Read a tree.

    Raises:
        TreeError: If there is none.
    """
    try:
        return Tree.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise TreeError(f"{path} holds no decision tree: {error}") from error


def tree_policy(tree: Tree) -> PolicyFactory:
    """A factory of agents that play a tree, for `paysim_gym.evaluation.evaluate`."""
    return lambda env: TreeAgent(env, tree)


def dump_tree(tree: Tree) -> bytes:
    """The content of a tree's file."""
    return (json.dumps(tree.model_dump(mode="json"), indent=1) + "\n").encode()


def _nodes(root: Fork | Leaf) -> Iterator[Fork | Leaf]:
    yield root
    if isinstance(root, Fork):
        yield from _nodes(root.yes)
        yield from _nodes(root.no)


def _follow(root: Fork | Leaf, table: NDArray[np.float32]) -> NDArray[np.int64]:
    """The action of every row."""
    columns = [*bank_columns(), *slot_columns()]
    actions = np.zeros(len(table), np.int64)
    waiting: list[tuple[Fork | Leaf, NDArray[np.intp]]] = [(root, np.arange(len(table)))]
    while waiting:
        node, rows = waiting.pop()
        if isinstance(node, Leaf):
            actions[rows] = node.action
        else:
            # As doubles: NumPy would round the threshold to the precision of the column.
            is_yes = table[rows, columns.index(node.column)].astype(np.float64) <= node.at_most
            waiting += [(node.yes, rows[is_yes]), (node.no, rows[~is_yes])]
    return actions


def tree_rules(tree: Tree) -> str:
    """The tree as a treasurer reads it: amounts in units of 100 cents, times in ticks, a rule a line."""
    text = []
    if tree.opening is not None:
        choices = 1 + len(tree.split_parts)
        shares = [f"commit {choice / choices:.0%} of the pool" for choice in range(choices + 1)]
        text += ["At the opening:", *_rule_lines(tree, tree.opening, shares, "  ")]
    actions = ["hold", "release", *(f"split in {parts}" for parts in tree.split_parts)]
    text += ["For each payment in the queue:", *_rule_lines(tree, tree.payments, actions, "  ")]
    return "\n".join(text) + "\n"


def _rule_lines(tree: Tree, node: Fork | Leaf, actions: list[str], indent: str) -> Iterator[str]:
    if isinstance(node, Leaf):
        yield f"{indent}{actions[node.action]}  ({node.agreement:.0%} of {node.decisions:,} decisions)"
        return
    yes, no = _conditions(tree, node)
    for condition, child in ((yes, node.yes), (no, node.no)):
        yield f"{indent}if {condition}:"
        yield from _rule_lines(tree, child, actions, indent + "  ")


def _conditions(tree: Tree, node: Fork) -> tuple[str, str]:
    """The question of a fork as a statement that holds, and as one that does not."""
    units = {name.replace("slot_0_", SLOT_PREFIX): unit for name, unit, *_ in observation_fields(1)}
    unit, subject = units[node.column], node.column.replace("_", " ")
    if node.column.startswith(SLOT_PREFIX):
        subject = f"the payment's {subject.removeprefix('slot ')}"
    if unit == "flag":
        what = node.column.removeprefix(SLOT_PREFIX).removeprefix("is_").replace("_", " ")
        who = "the payment" if node.column.startswith(SLOT_PREFIX) else "the bank"
        return f"{who} is not {what}", f"{who} is {what}"
    threshold = _quantity(tree, unit, node.at_most)
    return f"{subject} <= {threshold}", f"{subject} > {threshold}"


def _quantity(tree: Tree, unit: str, value: float) -> str:
    """A threshold in the unit that people use; of what is counted, the whole number below it."""
    counts: Mapping[str, tuple[float, str]] = {
        "days": (tree.ticks_per_day, " ticks"),
        "slots": (tree.slots, " payments"),
        "10": (10, ""),
    }
    if unit in counts:
        times, name = counts[unit]
        return f"{np.floor(value * times + 1e-6):,.0f}{name}"
    if unit == "amount scale":
        return f"{value * tree.amount_scale_cents / 100:,.2f}"
    if unit == "reward units per tick":
        return f"{value * tree.reward_scale_cents * tree.ticks_per_day / 100:,.2f}"
    return f"{value:.0%}"
