"""The REST routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel
from pydantic_core import to_json

from paysim_gym.scenario import Scenario
from paysim_gym.server.openapi import ANY_BODY, CREATE_BODY, CREATED_LINKS, error_responses
from paysim_gym.server.problem_details import ServiceError
from paysim_gym.server.registry import Registry
from paysim_gym.server.scenario_library import JSON, ScenarioLibrary, requested_scenario
from paysim_gym.server.schemas import (
    CostReport,
    Created,
    Deleted,
    Page,
    RunRequest,
    RunResult,
    ScenarioSummary,
    SimulationSummary,
    State,
    Validation,
)
from paysim_gym.server.settings import Settings
from paysim_gym.simulate.metrics import RunMetrics, TickResult

router = APIRouter(prefix="/api")

SimulationId = Annotated[str, Path(description="Id from `POST /api/simulations`.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Maximum number of items.")]
Offset = Annotated[int, Query(ge=0, le=10**9, description="Number of items to skip.")]


def _simulations(request: Request) -> Registry:
    return cast(Registry, request.app.state.registry)


def _library(request: Request) -> ScenarioLibrary:
    return cast(ScenarioLibrary, request.app.state.library)


@router.post(
    "/simulations",
    status_code=201,
    response_model=Created,
    tags=["simulations"],
    openapi_extra=CREATE_BODY,
    responses={
        201: {"description": "The simulation was created.", "links": CREATED_LINKS},
        **error_responses(400, 413, 415, 422, 429, 503),
    },
)
async def create_simulation(request: Request) -> Response:
    """Create a simulation from a scenario or the name of one.

    The body is a scenario, as JSON (`application/json`) or YAML (`application/yaml`), or
    `{"scenario": NAME or SCENARIO, "seed": SEED}`. A scenario in a request must not name files.
    """
    body, content_type = await request.body(), request.headers.get("content-type", "")
    settings: Settings = request.app.state.settings
    scenario, name = await _simulations(request).run_in_reader(
        requested_scenario, body, content_type, _library(request), settings
    )
    simulation_id = await _simulations(request).create(scenario, name)
    return _json(Created(simulation_id=simulation_id), 201)


@router.get("/simulations", tags=["simulations"], responses=error_responses(422))
async def list_simulations(
    request: Request, limit: Limit = 50, offset: Offset = 0
) -> Page[SimulationSummary]:
    """List simulations, oldest first."""
    items = _simulations(request).summaries(limit, offset)
    return Page(items=items, total=len(_simulations(request)), limit=limit, offset=offset)


@router.get("/simulations/{simulation_id}", tags=["simulations"], responses=error_responses(404))
async def get_simulation(simulation_id: SimulationId, request: Request) -> SimulationSummary:
    """Return the summary of a simulation."""
    return _simulations(request).summary(simulation_id)


@router.delete("/simulations/{simulation_id}", tags=["simulations"], responses=error_responses(404))
async def delete_simulation(simulation_id: SimulationId, request: Request) -> Deleted:
    """Delete a simulation; a run in progress stops first."""
    await _simulations(request).delete(simulation_id)
    return Deleted(status="deleted")


@router.post(
    "/simulations/{simulation_id}/tick",
    response_model=TickResult,
    tags=["play"],
    responses=error_responses(404, 409),
)
async def tick(simulation_id: SimulationId, request: Request) -> Response:
    """Play one tick."""
    return _json(await _simulations(request).tick(simulation_id))


@router.post(
    "/simulations/{simulation_id}/run", tags=["play"], responses=error_responses(400, 404, 409, 413, 422)
)
async def run(simulation_id: SimulationId, body: RunRequest, request: Request) -> RunResult:
    """Play several ticks and return their totals."""
    return await _simulations(request).run(simulation_id, body.ticks)


@router.get(
    "/simulations/{simulation_id}/state",
    response_model=State,
    tags=["inspect"],
    responses=error_responses(404, 409),
)
async def get_state(simulation_id: SimulationId, request: Request) -> Response:
    """Return the present accounts and queues of all banks."""
    return _bytes(
        await _simulations(request).read(simulation_id, lambda simulation: to_json(simulation.state()))
    )


@router.get(
    "/simulations/{simulation_id}/costs",
    response_model=CostReport,
    tags=["inspect"],
    responses=error_responses(404, 409),
)
async def get_costs(simulation_id: SimulationId, request: Request) -> Response:
    """Return the costs so far, by bank and component."""
    return _bytes(
        await _simulations(request).read(simulation_id, lambda simulation: to_json(simulation.costs()))
    )


@router.get(
    "/simulations/{simulation_id}/metrics",
    response_model=RunMetrics,
    tags=["inspect"],
    responses=error_responses(404, 409),
)
async def get_metrics(simulation_id: SimulationId, request: Request) -> Response:
    """Return the metrics so far: settlement, delay, liquidity, balances and costs."""
    return _bytes(
        await _simulations(request).read(simulation_id, lambda simulation: to_json(simulation.metrics()))
    )


@router.get("/scenarios", tags=["scenarios"], responses=error_responses(422))
async def list_scenarios(request: Request, limit: Limit = 50, offset: Offset = 0) -> Page[ScenarioSummary]:
    """List the named scenarios."""
    names = _library(request).names()
    items = await _simulations(request).run_in_reader(
        _library(request).summaries, names[offset : offset + limit]
    )
    return Page(items=items, total=len(names), limit=limit, offset=offset)


@router.post(
    "/scenarios/validate",
    tags=["scenarios"],
    openapi_extra=ANY_BODY,
    responses=error_responses(400, 413, 415),
)
async def validate_scenario(request: Request) -> Validation:
    """Check whether `POST /api/simulations` would accept this body."""
    body, content_type = await request.body(), request.headers.get("content-type", "")
    settings: Settings = request.app.state.settings
    try:
        await _simulations(request).run_in_reader(
            requested_scenario, body, content_type, _library(request), settings
        )
    except ServiceError as error:
        if error.status != 422:
            raise
        return Validation(is_valid=False, errors=error.problem.errors)
    return Validation(is_valid=True, errors=[])


@router.get("/scenarios/{name}", tags=["scenarios"], responses=error_responses(404))
async def get_scenario(
    name: Annotated[str, Path(description="Name from `GET /api/scenarios`.")],
    request: Request,
) -> Scenario:
    """Return a scenario with all defaults; files appear by name only."""
    return await _simulations(request).run_in_reader(_library(request).public_scenario, name)


def _json(body: BaseModel | Mapping[str, Any], status: int = 200) -> Response:
    return _bytes(to_json(body), status)


def _bytes(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type=JSON)
