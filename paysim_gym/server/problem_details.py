"""How the service says no: one form of body for every refusal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails

from paysim_gym.validation_errors import format_error, format_path

_LONGEST_TEXT = 500
_MOST_ERRORS = 100


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: str = Field(examples=["agents[0].balance"])
    """Where it stands; empty if the whole is meant."""
    message: str = Field(
        examples=["agents[0].balance = -5: must be an integer number of cents between 0 and 1000000000000000"]
    )
    """The field, its value and what is allowed."""


class Problem(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    detail: str = Field(examples=["the scenario has 1 problem"])
    """One sentence."""
    errors: list[FieldProblem] = Field(default=[])
    """One entry for each field that is wrong, the first hundred of them."""


class ServiceError(Exception):
    """A refusal.

    Attributes:
        status: HTTP status.
        problem: The body of the answer.
    """

    def __init__(self, status: int, detail: str, errors: Iterable[FieldProblem] = ()) -> None:
        """Make one; texts that no JSON can carry, or too long ones, are made fit."""
        self.status = status
        self.problem = Problem(detail=fit(detail), errors=[*errors][:_MOST_ERRORS])
        super().__init__(self.problem.detail)


def scenario_refused(error: ValueError) -> ServiceError:
    """The refusal of a scenario, one entry for each line of its error."""
    lines = str(error).splitlines()
    count = f"{len(lines)} problem" + ("s" if len(lines) != 1 else "")
    return ServiceError(422, f"the scenario has {count}", map(_field_problem, lines))


def field_problems(details: Sequence[ErrorDetails]) -> list[FieldProblem]:
    """What pydantic found in a request, as `path` and message."""
    return [_request_problem(detail) for detail in details]


def fit(text: str) -> str:
    """The text without lone surrogates, cut to a readable length."""
    whole = text.encode("utf-8", "replace").decode()
    return whole if len(whole) <= _LONGEST_TEXT else f"{whole[: _LONGEST_TEXT - 3]}..."


def _field_problem(line: str) -> FieldProblem:
    """A line that reads `path = value: what is allowed` or `path: what is wrong`."""
    path = line.partition(": ")[0].partition(" = ")[0]
    return FieldProblem(path=fit(path) if " " not in path else "", message=fit(line))


def _request_problem(detail: ErrorDetails) -> FieldProblem:
    detail = {**detail, "loc": detail["loc"][1:]}  # without "body", "path" or "query"
    path = "" if detail["type"] == "json_invalid" else format_path(detail["loc"])
    return FieldProblem(path=fit(path), message=fit(format_error(detail, name="body")))
