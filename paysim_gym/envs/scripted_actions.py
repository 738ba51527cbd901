"""Scripted policies that an environment is asked to follow."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, TypeAdapter, ValidationError

from paysim_gym.envs.env_arguments import plain
from paysim_gym.scenario.policies import POLICIES, PolicyConfig
from paysim_gym.validation_errors import describe, shown

_NO_RULES = {
    "learner": "a learner has no rule to follow; ",
    "network": "a network plays only in its bank's own seat; ",
}
_RULES = [name for name in POLICIES if name not in _NO_RULES]
_ADAPTER: TypeAdapter[BaseModel] = TypeAdapter(PolicyConfig)


def check_policy(policy: object) -> BaseModel:
    """The scripted policy that a caller describes.

    Args:
        policy: As in a scenario, such as `{"type": "hold_until_deadline", "margin": 2}`.

    Raises:
        ValueError: If it is unknown, has wrong parameters, or is `learner` or `network`.
    """
    value = policy.model_dump() if isinstance(policy, BaseModel) else plain(policy)
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind not in _RULES:
        reason = _NO_RULES.get(kind, "") if isinstance(kind, str) else ""
        raise ValueError(
            f"policy = {shown(value)}: {reason}must be a mapping with a `type`, one of {', '.join(_RULES)}"
        )
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        details = error.errors()
        for detail in details:
            detail["loc"] = ("policy", *detail["loc"])
        raise ValueError("\n".join(describe(detail, POLICIES) for detail in details)) from None
