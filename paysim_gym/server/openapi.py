"""The OpenAPI document beyond what FastAPI derives from the routes."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from paysim_gym.server.problem_details import Problem
from paysim_gym.server.schemas import NamedScenario

_REASONS = {
    400: "The body is malformed.",
    401: "The bearer token is missing or wrong.",
    403: "Without a token the service accepts loopback requests only.",
    404: "The id or name does not exist.",
    409: "The simulation is completed, has failed, or fails now.",
    413: "The body is too large.",
    415: "The content type is neither JSON nor YAML.",
    422: "A field is invalid, or a limit of the service is exceeded.",
    429: "There are too many simulations.",
    503: "The store cannot be written.",
}

_SMALL_SCENARIO = {
    "ticks_per_day": 12,
    "seed": 1,
    "agents": [
        {
            "id": bank,
            "balance": 20_000_00,
            "credit_limit": 50_000_00,
            "arrival_config": {
                "rate_per_tick": 1.5,
                "distribution_type": "lognormal",
                "amount_mean": 10_000_00,
                "amount_std_dev": 15_000_00,
            },
        }
        for bank in ("BANK_A", "BANK_B")
    ],
    "costs": {"overdraft_rate": 0.0001, "delay_penalty_per_tick": 10},
}

_REF = "#/components/schemas/{model}"

_SCENARIO = {"anyOf": [{"$ref": _REF.format(model=model)} for model in ("NamedScenario", "Scenario")]}

CREATE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _SCENARIO,
                "examples": {
                    "by_name": {
                        "summary": "A scenario by name",
                        "value": {"scenario": "two_bank", "seed": 7},
                    },
                    "own": {"summary": "A complete scenario", "value": _SMALL_SCENARIO},
                },
            },
            "application/yaml": {"schema": _SCENARIO},
        },
    }
}
"""Body of the request that creates a simulation."""

ANY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The body to validate, as for creating a simulation; any JSON or YAML is accepted.",
        "content": {
            "application/json": {
                "schema": {},
                "examples": {
                    "valid": {"summary": "Valid", "value": _SMALL_SCENARIO},
                    "wrong": {"summary": "Invalid", "value": _SMALL_SCENARIO | {"ticks_per_day": 0}},
                },
            },
            "application/yaml": {"schema": {}},
        },
    }
}
"""Body of a validation request, which may be invalid."""

_ONE_SIMULATION = (
    "get_simulation",
    "tick",
    "run",
    "get_state",
    "get_costs",
    "get_metrics",
    "delete_simulation",
)

CREATED_LINKS: dict[str, Any] = {
    name: {"operationId": name, "parameters": {"simulation_id": "$response.body#/simulation_id"}}
    for name in _ONE_SIMULATION
}
"""OpenAPI links from a new simulation's id to its operations."""


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of the error responses of a route."""
    return {status: {"model": Problem, "description": _REASONS[status]} for status in statuses}


def operation_id(route: APIRoute) -> str:
    """Return the name of the route's function."""
    return route.name


def openapi_document(app: FastAPI, *, has_token: bool) -> dict[str, Any]:
    """Return the OpenAPI document of an application; `has_token` adds bearer authentication."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    _, definitions = models_json_schema([(NamedScenario, "validation")], ref_template=_REF)
    schemas = document["components"]["schemas"]
    schemas |= definitions["$defs"]
    # Every error is a Problem; FastAPI documents its own format even for routes without fields.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    for operation in operations:
        invalid = operation["responses"].get("422")
        if invalid is not None and "HTTPValidationError" in str(invalid):
            del operation["responses"]["422"]
        if not (has_token and operation["operationId"] == "health"):
            _add_access_control(operation, has_token)
    if has_token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document


def _add_access_control(operation: dict[str, Any], has_token: bool) -> None:
    status = 401 if has_token else 403
    schema = {"$ref": _REF.format(model="Problem")}
    operation["responses"][str(status)] = {
        "description": _REASONS[status],
        "content": {"application/json": {"schema": schema}},
    }
    if has_token:
        operation["security"] = [{"token": []}]
