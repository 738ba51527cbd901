"""Decision-tree policies that decide payment by payment.

`paysim distil` fits the trees. Reading and playing one needs only its JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from paysim_gym import PaymentVectorEnv, observation_fields
from paysim_gym.envs.spaces import component_choices
from paysim_gym.evaluation import PolicyFactory
from paysim_gym.validation_errors import format_errors

SLOT_PREFIX = "slot_"
"""Prefix of the columns that describe the payment; all other columns describe the bank."""


class TreeError(ValueError):
    """An invalid tree file, or a tree that does not match its environment."""


class _Frozen(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Leaf(_Frozen):
    """A decision at the end of a path.

    Attributes:
        action: Number of the action in the environment.
        decisions: Training decisions that reach this leaf.
        agreement: Share of those decisions with this action.
    """

    action: Annotated[int, Field(ge=0)]
    decisions: Annotated[int, Field(ge=0)]
    agreement: Annotated[float, Field(ge=0, le=1)]


class Fork(_Frozen):
    """A threshold test on one column, in units of the observation."""

    column: str
    at_most: float
    yes: Fork | Leaf
    no: Fork | Leaf


class Tree(_Frozen):
    """A tree policy with the units and sizes of its training environment.

    Attributes:
        format: Version of the file format.
        split_parts: Numbers of parts of the actions after hold and release.
        amount_scale_cents: Cents per unit of amount.
        pool_shares: Number of shares of the pool to choose from; None without a pool.
        ticks_per_day: Ticks per day.
        slots: Slots of the environment.
        payments: Tree that decides about each payment in a slot.
        opening: Tree that chooses the share of the pool to commit; None without a pool.
    """

    format: Literal["paysim-tree-2"] = "paysim-tree-2"
    split_parts: tuple[int, ...]
    amount_scale_cents: Annotated[int, Field(gt=0)]
    pool_shares: Annotated[int, Field(ge=2)] | None = None
    ticks_per_day: Annotated[int, Field(gt=0)]
    slots: Annotated[int, Field(gt=0)]
    payments: Fork | Leaf
    opening: Fork | Leaf | None = None

    @model_validator(mode="after")
    def _check_columns_and_actions(self) -> Self:
        if (self.opening is None) != (self.pool_shares is None):
            raise ValueError(
                f"pool_shares = {self.pool_shares}: must be given if and only if there is an opening"
            )
        for node in _nodes(self.payments):
            _check_node(node, {*bank_columns(), *slot_columns()}, 1 + len(self.split_parts))
        for node in _nodes(self.opening) if self.opening else ():
            _check_node(node, set(bank_columns()), (self.pool_shares or 1) - 1)
        return self

    @property
    def components(self) -> int:
        """Number of components of an action: the slots, and the pool if any."""
        return self.slots + (self.opening is not None)

    @property
    def leaves(self) -> int:
        """Number of leaves of both trees together."""
        roots = [self.payments, *([self.opening] if self.opening else [])]
        return sum(isinstance(node, Leaf) for root in roots for node in _nodes(root))


class TreeAgent:
    """An agent that plays a tree; satisfies `paysim_gym.evaluation.Policy`."""

    def __init__(self, env: PaymentVectorEnv, tree: Tree) -> None:
        """Binds the agent to its environment.

        Args:
            env: An environment with the same slots, actions and units as the one the tree was fitted in.
            tree: The policy.

        Raises:
            TreeError: If the environment does not match the tree.
        """
        settings, bank = env.settings, env.learners[0]
        if settings.action_mode != "slots" or settings.decides not in ("both", "payments"):
            raise TreeError(
                f"action_mode = {settings.action_mode!r}, decides = {settings.decides!r}: must be 'slots', "
                "and 'both' or 'payments'"
            )
        choices = component_choices(env.single_action_space)
        actual = {
            "slots": settings.slots,
            "split_parts": tuple(settings.split_parts),
            "pool_shares": settings.pool_shares if len(choices) > settings.slots else None,
            "amount_scale_cents": env.amount_scales_cents[bank],
            "ticks_per_day": env.scenario.ticks_per_day,
        }
        for name, value in actual.items():
            if value != getattr(tree, name):
                raise TreeError(f"{name} = {value}: the tree requires {getattr(tree, name)}")
        self._tree = tree

    def predict(
        self,
        observation: NDArray[np.float32],
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], tuple[NDArray[Any], ...] | None]:
        """Returns the actions for a batch of observations, float32 of shape (num_envs, size)."""
        return decide(self._tree, observation), state


def decide(tree: Tree, observations: NDArray[np.float32]) -> NDArray[np.int64]:
    """Computes the actions of a tree; empty slots hold.

    Args:
        tree: The policy.
        observations: float32 of shape (num_envs, size).

    Returns:
        int64 of shape (num_envs, components).
    """
    table, is_filled, is_opening = split_observations(observations, tree.slots)
    actions = np.zeros((len(observations), tree.components), np.int64)
    actions[:, : tree.slots][is_filled] = _follow(tree.payments, table[is_filled])
    if tree.opening is not None and is_opening.any():
        actions[is_opening, -1] = _follow(tree.opening, table[is_opening, 0])
    return actions


def split_observations(
    observations: NDArray[np.float32], slots: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Rearranges observations into one feature vector per slot.

    Args:
        observations: float32 of shape (num_envs, size).
        slots: Slots of the environment.

    Returns:
        The bank's columns followed by the slot's, float32 of shape (num_envs, slots, columns); whether the
        slot holds a payment, bool of shape (num_envs, slots); and whether the step is an opening step, in
        which the bank commits its pool, bool of shape (num_envs,).
    """
    width = len(bank_columns())
    payments = observations[:, width:].reshape(len(observations), slots, -1)
    bank = np.broadcast_to(observations[:, None, :width], (len(payments), slots, width))
    table = np.concatenate([bank, payments], axis=2)
    is_opening = observations[:, bank_columns().index("is_opening")] > 0
    return table, (payments[:, :, 0] > 0) & ~is_opening[:, None], is_opening


def bank_columns() -> list[str]:
    """Returns the names of the bank's columns, in the order of the observation."""
    return [name for name, *_ in observation_fields(1) if not name.startswith(SLOT_PREFIX)]


def slot_columns() -> list[str]:
    """Returns the names of a payment's columns in order: `slot_amount`, `slot_age` and so on."""
    return [name.replace("slot_0_", SLOT_PREFIX) for name, *_ in observation_fields(1)[len(bank_columns()) :]]


def load_tree(path: Path) -> Tree:
    """Reads a tree file; raises TreeError if it cannot be read or is invalid."""
    try:
        return Tree.model_validate_json(path.read_bytes())
    except OSError as error:
        raise TreeError(f"{path}: not a decision tree: {error}") from error
    except ValidationError as error:
        raise TreeError(f"{path}: not a decision tree: {format_errors(error, Tree)}") from error


def tree_policy(tree: Tree) -> PolicyFactory:
    """Returns a factory of tree agents for `paysim_gym.evaluation.evaluate`."""
    return lambda env: TreeAgent(env, tree)


def dump_tree(tree: Tree) -> bytes:
    """Serialises a tree to the content of its JSON file."""
    return (json.dumps(tree.model_dump(mode="json"), indent=1) + "\n").encode()


def _check_node(node: Fork | Leaf, columns: set[str], highest: int) -> None:
    """Raise a ValueError for an unknown column or an action beyond the highest."""
    if isinstance(node, Fork) and node.column not in columns:
        raise ValueError(f"column = {node.column!r}: must be one of {', '.join(sorted(columns))}")
    if isinstance(node, Leaf) and node.action > highest:
        raise ValueError(f"action = {node.action}: must be at most {highest}")


def _nodes(root: Fork | Leaf) -> Iterator[Fork | Leaf]:
    yield root
    if isinstance(root, Fork):
        yield from _nodes(root.yes)
        yield from _nodes(root.no)


def _follow(root: Fork | Leaf, table: NDArray[np.float32]) -> NDArray[np.int64]:
    columns = [*bank_columns(), *slot_columns()]
    actions = np.zeros(len(table), np.int64)
    stack: list[tuple[Fork | Leaf, NDArray[np.intp]]] = [(root, np.arange(len(table)))]
    while stack:
        node, rows = stack.pop()
        if isinstance(node, Leaf):
            actions[rows] = node.action
        else:
            # Compare in float64: NumPy would round the threshold to the column's float32.
            is_yes = table[rows, columns.index(node.column)].astype(np.float64) <= node.at_most
            stack += [(node.yes, rows[is_yes]), (node.no, rows[~is_yes])]
    return actions


def tree_rules(tree: Tree) -> str:
    """Formats a tree as indented text, in units of 100 cents and ticks."""
    text = []
    if tree.opening is not None and tree.pool_shares is not None:
        highest = tree.pool_shares - 1
        shares = [f"commit {share / highest:.0%} of the pool" for share in range(highest + 1)]
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
    units = {name.replace("slot_0_", SLOT_PREFIX): unit for name, unit, *_ in observation_fields(1)}
    unit, subject = units[node.column], node.column.replace("_", " ")
    if node.column.startswith(SLOT_PREFIX):
        subject = f"the payment's {subject.removeprefix('slot ')}"
    subject = subject.replace("log amount", "amount")
    if unit == "flag":
        state = node.column.removeprefix(SLOT_PREFIX).removeprefix("is_").replace("_", " ")
        owner = "the payment" if node.column.startswith(SLOT_PREFIX) else "the bank"
        return f"{owner} is not {state}", f"{owner} is {state}"
    threshold = _quantity(tree, unit, node.at_most)
    return f"{subject} <= {threshold}", f"{subject} > {threshold}"


def _quantity(tree: Tree, unit: str, value: float) -> str:
    """Formats a threshold in display units; counts are rounded down."""
    counts: Mapping[str, tuple[float, str]] = {
        "days": (tree.ticks_per_day, " ticks"),
        "10": (10, ""),
    }
    if unit in counts:
        times, name = counts[unit]
        return f"{np.floor(value * times + 1e-6):,.0f}{name}"
    if unit == "amount scale":
        return f"{value * tree.amount_scale_cents / 100:,.2f}"
    if unit == "log10 payments":
        return f"{np.floor(10**value - 1 + 1e-6):,.0f} payments"
    if unit == "log10 basis points":
        return f"{(10**value - 1) * tree.amount_scale_cents / 1e6:,.2f}"
    if unit == "basis points of the amount scale":
        return f"{value * tree.amount_scale_cents * tree.ticks_per_day / 1e6:,.2f}"
    return f"{value:.0%}"
