"""The REST routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel
from pydantic_core import to_json

from paysim_gym.scenario import Scenario
from paysim_gym.server.openapi import ANY_BODY, CREATE_BODY, CREATED_LINKS, refusals
from paysim_gym.server.problem_details import ServiceError
from paysim_gym.server.registry import Registry
from paysim_gym.server.scenario_library import JSON, ScenarioLibrary, asked_scenario
from paysim_gym.server.schemas import (
    CostReport,
    Created,
    Metrics,
    Page,
    RunRequest,
    RunResult,
    ScenarioSummary,
    SimulationSummary,
    State,
    TickResult,
    Validation,
)
from paysim_gym.server.settings import Settings

router = APIRouter(prefix="/api")

SimulationId = Annotated[str, Path(description="As `POST /api/simulations` returned it.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Most entries to return.")]
Offset = Annotated[int, Query(ge=0, le=10**9, description="Entries to skip.")]


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
        201: {"description": "It is there.", "links": CREATED_LINKS},
        **refusals(400, 413, 415, 422, 429, 503),
    },
)
async def create_simulation(request: Request) -> Response:
    """Make a simulation of a scenario, or of a scenario's name.

    The body is a scenario, as JSON (`application/json`) or YAML (`application/yaml`), or
    `{"scenario": NAME or SCENARIO, "seed": SEED}`. A scenario of a client's can name no files.
    """
    body, kind = await request.body(), request.headers.get("content-type", "")
    settings: Settings = request.app.state.settings
    scenario, name = await _simulations(request).prepare(
        asked_scenario, body, kind, _library(request), settings
    )
    simulation_id = await _simulations(request).create(scenario, name)
    return _json(Created(simulation_id=simulation_id), 201)


@router.get("/simulations", tags=["simulations"], responses=refusals(422))
async def list_simulations(
    request: Request, limit: Limit = 50, offset: Offset = 0
) -> Page[SimulationSummary]:
    """All simulations, the oldest first."""
    items = _simulations(request).summaries(limit, offset)
    return Page(items=items, total=len(_simulations(request)), limit=limit, offset=offset)


@router.get("/simulations/{simulation_id}", tags=["simulations"], responses=refusals(404))
async def get_simulation(simulation_id: SimulationId, request: Request) -> SimulationSummary:
    """Where a simulation is in its life."""
    return _simulations(request).summary(simulation_id)


@router.delete("/simulations/{simulation_id}", status_code=204, tags=["simulations"], responses=refusals(404))
async def delete_simulation(simulation_id: SimulationId, request: Request) -> None:
    """Delete a simulation; a run that it is in ends first."""
    await _simulations(request).delete(simulation_id)


@router.post(
    "/simulations/{simulation_id}/tick",
    response_model=TickResult,
    tags=["play"],
    responses=refusals(404, 409),
)
async def tick(simulation_id: SimulationId, request: Request) -> Response:
    """Play one tick."""
    return _json(await _simulations(request).tick(simulation_id))


@router.post("/simulations/{simulation_id}/run", tags=["play"], responses=refusals(400, 404, 409, 413, 422))
async def run(simulation_id: SimulationId, body: RunRequest, request: Request) -> RunResult:
    """Play many ticks; what comes back is their sum."""
    return await _simulations(request).run(simulation_id, body.ticks)


@router.get(
    "/simulations/{simulation_id}/state", response_model=State, tags=["look"], responses=refusals(404, 409)
)
async def get_state(simulation_id: SimulationId, request: Request) -> Response:
    """Every bank, its account and its queues, as they are now."""
    return _bytes(
        await _simulations(request).read(simulation_id, lambda simulation: to_json(simulation.state()))
    )


@router.get(
    "/simulations/{simulation_id}/costs",
    response_model=CostReport,
    tags=["look"],
    responses=refusals(404, 409),
)
async def get_costs(simulation_id: SimulationId, request: Request) -> Response:
    """What the run has cost so far, by bank and by component."""
    return _bytes(
        await _simulations(request).read(simulation_id, lambda simulation: to_json(simulation.costs()))
    )


@router.get(
    "/simulations/{simulation_id}/metrics",
    response_model=Metrics,
    tags=["look"],
    responses=refusals(404, 409),
)
async def get_metrics(simulation_id: SimulationId, request: Request) -> Response:
    """What the run has come to so far: settlement, delay, liquidity, balances, costs."""
    return _bytes(
        await _simulations(request).read(simulation_id, lambda simulation: to_json(simulation.metrics()))
    )


@router.get("/scenarios", tags=["scenarios"], responses=refusals(422))
async def list_scenarios(request: Request, limit: Limit = 50, offset: Offset = 0) -> Page[ScenarioSummary]:
    """The scenarios that the service has by name."""
    names = _library(request).names()
    items = await _simulations(request).prepare(_library(request).summaries, names[offset : offset + limit])
    return Page(items=items, total=len(names), limit=limit, offset=offset)


@router.post(
    "/scenarios/validate", tags=["scenarios"], openapi_extra=ANY_BODY, responses=refusals(400, 413, 415)
)
async def validate_scenario(request: Request) -> Validation:
    """Whether `POST /api/simulations` would take this body."""
    body, kind = await request.body(), request.headers.get("content-type", "")
    settings: Settings = request.app.state.settings
    try:
        await _simulations(request).prepare(asked_scenario, body, kind, _library(request), settings)
    except ServiceError as error:
        if error.status != 422:
            raise
        return Validation(is_valid=False, errors=error.problem.errors)
    return Validation(is_valid=True, errors=[])


@router.get("/scenarios/{name}", tags=["scenarios"], responses=refusals(404))
async def get_scenario(
    name: Annotated[str, Path(description="As `GET /api/scenarios` lists it.")],
    request: Request,
) -> Scenario:
    """A scenario in full, every default filled in; of files that it reads, only the names."""
    return await _simulations(request).prepare(_library(request).shown, name)


def _json(body: BaseModel | Mapping[str, Any], status: int = 200) -> Response:
    return _bytes(to_json(body), status)


def _bytes(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type=JSON)
