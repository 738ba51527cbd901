"""How a problem that pydantic found is told: `path = value: what is allowed`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel
from pydantic_core import ErrorDetails

# Fields that hold a union, or a list of them: pydantic's location names the member that was tried after it.
_UNIONS = {"policy", "priority", "events"}
_LONGEST = 80


def describe(error: ErrorDetails, models: Mapping[str, type[BaseModel]]) -> str:
    """One problem on one line.

    Args:
        error: What pydantic reports.
        models: Name of a field, or of a union's member, to the model that it holds; "" is the root.
    """
    path = _path(error) or "scenario"
    match error["type"]:
        case "missing":
            return f"{path}: missing; it is required"
        case "extra_forbidden":
            owner = next((part for part in reversed(error["loc"][:-1]) if isinstance(part, str)), "")
            allowed = f"unknown key; allowed: {', '.join(models[owner].model_fields)}"
        case "tuple_type":
            allowed = "must be a list"
        case "model_type" | "dict_type":
            allowed = "must be a mapping"
        case _:
            allowed = re.sub(r"^[A-Z][a-z]+ should", "must", error["msg"])
    return f"{path} = {shown(error['input'])}: {allowed}"


def shown(value: object) -> str:
    """The value as a message can show it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python prints, a deep nest
        return f"({type(value).__name__} too large to show)"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _path(error: ErrorDetails) -> str:
    """The location as the user wrote it, without what pydantic adds: members of unions, marks of keys."""
    location = error["loc"]
    parts, field = [], ""
    for part in location[:-1]:
        if isinstance(part, int) or field not in _UNIONS:
            parts.append(part)
        field = part if isinstance(part, str) else field
    for last in location[-1:]:
        is_added = last == "[key]" or (isinstance(last, str) and field in _UNIONS)
        if error["type"] == "extra_forbidden" or not is_added:
            parts.append(last)
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in parts).removeprefix(".")
