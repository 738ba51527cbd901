"""Error responses: one body format for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails

from paysim_gym.validation_errors import format_error, format_path

_MAX_TEXT_LENGTH = 500
_MAX_ERRORS = 100


class FieldProblem(BaseModel):
    """The error of one field."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: str = Field(examples=["agents[0].balance"])
    """Path of the field; empty for the whole body."""
    message: str = Field(
        examples=["agents[0].balance = -5: must be an integer number of cents between 0 and 1000000000000000"]
    )
    """The field, its value and the allowed values."""


class Problem(BaseModel):
    """An error response."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    detail: str = Field(examples=["the scenario has 1 problem"])
    """What is wrong, in one sentence."""
    errors: list[FieldProblem] = Field(default=[])
    """One entry per invalid field, at most 100; absent without any."""


class ServiceError(Exception):
    """An error that becomes a response with this HTTP status and body."""

    def __init__(self, status: int, detail: str, errors: Iterable[FieldProblem] = ()) -> None:
        """Create an error; its texts are cleaned and truncated for JSON."""
        self.status = status
        self.problem = Problem(detail=clean_text(detail), errors=[*errors][:_MAX_ERRORS])
        super().__init__(self.problem.detail)


def invalid_scenario(error: ValueError) -> ServiceError:
    """Return the error of an invalid scenario, with one entry per line of `error`."""
    lines = str(error).splitlines()
    count = f"{len(lines)} problem" + ("s" if len(lines) != 1 else "")
    return ServiceError(422, f"the scenario has {count}", map(_field_problem, lines))


def field_problems(details: Sequence[ErrorDetails]) -> list[FieldProblem]:
    """Convert pydantic errors of a request."""
    return [_request_problem(detail) for detail in details]


def clean_text(text: str) -> str:
    """Replace lone surrogates, which JSON cannot carry, and truncate the text."""
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= _MAX_TEXT_LENGTH else f"{clean[: _MAX_TEXT_LENGTH - 3]}..."


def _field_problem(line: str) -> FieldProblem:
    """Convert a line `path = value: allowed values` or `path: error`."""
    path = line.partition(": ")[0].partition(" = ")[0]
    return FieldProblem(path=clean_text(path) if " " not in path else "", message=clean_text(line))


def _request_problem(detail: ErrorDetails) -> FieldProblem:
    detail = {**detail, "loc": detail["loc"][1:]}  # without "body", "path" or "query"
    path = "" if detail["type"] == "json_invalid" else format_path(detail["loc"])
    return FieldProblem(path=clean_text(path), message=clean_text(format_error(detail, name="body")))
