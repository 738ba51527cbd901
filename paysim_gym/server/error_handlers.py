"""Every refusal in the one form of `problems.Problem`."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from paysim_gym.server.problem_details import Problem, ServiceError, field_problems

_log = logging.getLogger(__name__)


def problem_response(status: int, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """A refusal as an answer."""
    return Response(problem.model_dump_json(), status, headers, "application/json")


def answer_errors(app: FastAPI) -> None:
    """Let the application answer every refusal in the same form."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unforeseen)


async def _service_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else None
    return problem_response(error.status, error.problem, headers)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    refusal = ServiceError(422, "the request is wrong", field_problems(error.errors()))
    return problem_response(422, refusal.problem)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    route = request.scope.get("route")
    documented = request.app.openapi()["paths"].get(getattr(route, "path", None), {})
    if error.status_code == 405 and documented:  # Starlette names the methods of one route, not of its path
        headers["allow"] = ", ".join(sorted(method.upper() for method in documented))
    return problem_response(error.status_code, Problem(detail=str(error.detail)), headers)


async def _unforeseen(_: Request, error: Exception) -> Response:
    _log.error("unforeseen error", exc_info=error)
    return problem_response(500, Problem(detail="the service made a mistake; its log says which"))
