"""Scripted policies that an environment is asked to follow."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from paysim_gym.envs.env_arguments import to_builtin
from paysim_gym.scenario.policies import POLICIES, PolicyConfig
from paysim_gym.validation_errors import format_errors, format_value

_NOT_SCRIPTED = {
    "learner": "the policy of a learner is not scripted; ",
    "network": "a network plays only for the bank that names it; ",
}
_SCRIPTED = [name for name in POLICIES if name not in _NOT_SCRIPTED]


class _Request(BaseModel):
    policy: PolicyConfig


def validate_scripted_policy(policy: object) -> BaseModel:
    """Raise a ValueError unless a policy, as in a scenario, is scripted and valid."""
    value = policy.model_dump() if isinstance(policy, BaseModel) else to_builtin(policy)
    name = value.get("type") if isinstance(value, Mapping) else None
    if name not in _SCRIPTED:
        reason = _NOT_SCRIPTED.get(name, "") if isinstance(name, str) else ""
        allowed = f"must be a mapping with a `type`, one of {', '.join(_SCRIPTED)}"
        raise ValueError(f"policy = {format_value(value)}: {reason}{allowed}")
    try:
        return _Request.model_validate({"policy": value}).policy
    except ValidationError as error:
        raise ValueError(format_errors(error, _Request)) from None
