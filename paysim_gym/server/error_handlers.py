"""Exception handlers that turn every error into a `Problem` response."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from paysim_gym.server.problem_details import Problem, ServiceError, field_problems

_log = logging.getLogger(__name__)


def problem_response(status: int, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Return an error response."""
    return Response(problem.model_dump_json(exclude_defaults=True), status, headers, "application/json")


def add_error_handlers(app: FastAPI) -> None:
    """Register the exception handlers of the application."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unexpected_error)


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else None
    return problem_response(error.status, error.problem, headers)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    invalid = ServiceError(422, "the request is invalid", field_problems(error.errors()))
    return problem_response(422, invalid.problem)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    route = request.scope.get("route")
    documented = request.app.openapi()["paths"].get(getattr(route, "path", None), {})
    if error.status_code == 405 and documented:  # Starlette lists the methods of one route only
        headers["allow"] = ", ".join(sorted(method.upper() for method in documented))
    return problem_response(error.status_code, Problem(detail=str(error.detail)), headers)


async def _unexpected_error(_: Request, error: Exception) -> Response:
    _log.error("unexpected error", exc_info=error)
    return problem_response(500, Problem(detail="internal server error; see the service log"))
