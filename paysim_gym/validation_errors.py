"""Pydantic validation errors as lines of the form `path = value: what is allowed`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from paysim_gym._engine import ScenarioError

# Fields that hold a union, or a list of them: pydantic's location names the member that was tried after it.
_UNIONS = {"policy", "priority", "events"}
_MAX_LENGTH = 80


def format_errors(error: ValidationError, model: type[BaseModel], name: str = "value") -> str:
    """Format the errors of a model, one per line; `name` replaces the root."""
    models = _models_by_name(model)
    return "\n".join(format_error(detail, models, name) for detail in error.errors())


def format_error(
    detail: ErrorDetails, models: Mapping[str, type[BaseModel]] | None = None, name: str = "value"
) -> str:
    """Format one error; the value is left out if the detail has no input.

    Args:
        detail: An item of `ValidationError.errors()`.
        models: Field name, or `type` of a union member, to its model; "" is the root. Lists allowed keys.
        name: What the message calls the whole value.
    """
    path = format_path(detail["loc"], detail["type"])
    match detail["type"]:
        case "missing":
            return f"{path or name}: missing; it is required"
        case "json_invalid":
            return f"{name}: not valid JSON: {detail['ctx']['error']}"
        case "extra_forbidden":
            owner = next((part for part in reversed(detail["loc"][:-1]) if isinstance(part, str)), "")
            keys = f"; allowed: {', '.join(models[owner].model_fields)}" if models else ""
            allowed = f"unknown key{keys}"
        case "tuple_type":
            allowed = "must be a list"
        case "model_type" | "dict_type":
            allowed = "must be a mapping"
        case "value_error":
            allowed = str(detail["ctx"]["error"])
            if not path:  # a rule between fields, which the message names
                return allowed
            if isinstance(detail["ctx"]["error"], ScenarioError):  # such a rule of a nested model
                return f"{path}.{allowed}"
        case _:
            allowed = re.sub(r"^[A-Z][a-z]+ should", "must", detail["msg"])
    value = f" = {format_value(detail['input'])}" if "input" in detail else ""
    return f"{path or name}{value}: {allowed}"


def format_value(value: object) -> str:
    """Return the value's `repr`, truncated to 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python prints, or deep nesting
        return f"({type(value).__name__} too large to show)"
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def format_path(location: tuple[int | str, ...], error_type: str = "") -> str:
    """Format a location without the union members and key marks that pydantic adds."""
    parts, field = [], ""
    for part in location[:-1]:
        if isinstance(part, int) or field not in _UNIONS:
            parts.append(part)
        field = part if isinstance(part, str) else field
    for last in location[-1:]:
        is_added = last == "[key]" or (isinstance(last, str) and field in _UNIONS)
        if error_type == "extra_forbidden" or not is_added:
            parts.append(last)
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in parts).removeprefix(".")


def _models_by_name(root: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Map field names, and types of union members, to their models."""
    found, pending = {"": root}, [root]
    while pending:
        for name, field in pending.pop().model_fields.items():
            for model in _models_in(field.annotation):
                tag = model.model_fields.get("type")
                key = tag.default if tag else name
                if key not in found:
                    found[key] = model
                    pending.append(model)
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
