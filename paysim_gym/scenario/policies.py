"""The part of a scenario that says who decides when a bank's payments are released."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, StrictBool

from paysim_gym.scenario.field_limits import IntRange
from paysim_gym.scenario.field_types import Model, Money, NetworkPath, Share, TickSpan, by_type, typed


class LearnerPolicy(Model):
    """Decisions come from outside, through an environment."""

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
    """Go through the queue in order and release each payment that leaves liquidity at or above `buffer`.

    A smaller payment may so go although a larger one before it is held. Whatever is due is released.
    """

    type: Literal["liquidity_aware"] = "liquidity_aware"
    buffer: Money = 0
    """In cents."""


class SplitLargePolicy(Model):
    """Release everything, splitting what exceeds both `threshold` and the bank's liquidity."""

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
    """Pay what is costliest to delay first, while the balance lasts.

    It overdraws only for a payment whose delay costs more per tick than its overdraft.
    """

    type: Literal["myopic"] = "myopic"


class NetworkPolicy(Model):
    """Decide as a trained network does, which sees and decides what it did in training.

    It releases everything if it decides only its pool, and commits `liquidity_share` if only its payments.
    """

    type: Literal["network"] = "network"
    weights: NetworkPath
    """File that `paysim_gym.envs.export.export_network` wrote; in a scenario file, relative to its folder."""
    deterministic: StrictBool = True
    """Whether it takes its best action, or draws one with the probabilities that it gives."""


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
PolicyConfig = Annotated[_Policy, Field(discriminator="type"), typed(POLICIES)]
