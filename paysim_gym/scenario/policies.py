"""Scenario models of bank policies, which decide when payments are released."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, StrictBool

from paysim_gym.scenario.field_limits import IntRange
from paysim_gym.scenario.field_types import Model, Money, NetworkPath, Share, TickSpan, by_type, has_type


class LearnerPolicy(Model):
    """An environment takes the decisions."""

    type: Literal["learner"] = "learner"


class ReleaseAllPolicy(Model):
    """Release every payment as it arrives."""

    type: Literal["release_all"] = "release_all"


class HoldUntilDeadlinePolicy(Model):
    """Release a payment `margin` ticks before its deadline."""

    type: Literal["hold_until_deadline"] = "hold_until_deadline"
    margin: TickSpan = 0
    """In ticks."""


class LiquidityAwarePolicy(Model):
    """Release payments in queue order while liquidity stays at or above `buffer`.

    A smaller payment may be released although a larger one before it is held. Due payments are always
    released.
    """

    type: Literal["liquidity_aware"] = "liquidity_aware"
    buffer: Money = 0
    """In cents."""


class SplitLargePolicy(Model):
    """Release everything; split payments above both `threshold` and the bank's liquidity."""

    type: Literal["split_large"] = "split_large"
    parts: Annotated[int, IntRange(2, 100)] = 2
    """Parts of a split payment."""
    threshold: Money = 0
    """In cents."""


class RandomPolicy(Model):
    """Release each payment with a fixed probability at every tick."""

    type: Literal["random"] = "random"
    release_probability: Share = 0.5
    """The same for every payment and tick."""


class MyopicPolicy(Model):
    """Release payments in descending order of delay cost while the balance lasts.

    It overdraws only for a payment whose delay costs more per tick than its overdraft.
    """

    type: Literal["myopic"] = "myopic"


class NetworkPolicy(Model):
    """Follow a trained network, with its observations and actions in training.

    Releases everything if it was trained to decide only the pool, and commits `liquidity_share` if it was
    trained to decide only payments.
    """

    type: Literal["network"] = "network"
    weights: NetworkPath
    """File of `paysim_gym.envs.export.export_network`; in a scenario file, relative to its folder."""
    deterministic: StrictBool = True
    """Whether it takes its most likely action, or samples one."""


_Policy = (
    LearnerPolicy
    | ReleaseAllPolicy
    | HoldUntilDeadlinePolicy
    | LiquidityAwarePolicy
    | SplitLargePolicy
    | RandomPolicy
    | MyopicPolicy
    | NetworkPolicy
)
POLICIES = by_type(get_args(_Policy))
"""Type of a policy to its model."""
PolicyConfig = Annotated[_Policy, Field(discriminator="type"), has_type(POLICIES)]
