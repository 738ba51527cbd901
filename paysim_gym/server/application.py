"""The FastAPI application: routes, WebSocket and middleware."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request

import paysim_gym
from paysim_gym._engine import EVENT_SCHEMA_VERSION
from paysim_gym.server import routes, websocket
from paysim_gym.server.error_handlers import add_error_handlers
from paysim_gym.server.middleware import AccessLog, BearerToken, BodyLimit, LoopbackOnly
from paysim_gym.server.openapi import openapi_document, operation_id
from paysim_gym.server.registry import Registry
from paysim_gym.server.scenario_library import ScenarioLibrary
from paysim_gym.server.schemas import Health
from paysim_gym.server.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Build the application.

    Raises:
        ValueError: If the scenario folder is not a folder.
        OSError: If the store's folder cannot be created.
    """
    app = _Application(
        title="PaySim Gym",
        version=paysim_gym.__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    app.state.settings = settings
    app.state.registry = Registry(settings)
    app.state.library = ScenarioLibrary(settings.scenarios)
    app.add_api_route("/health", health, tags=["service"])
    app.include_router(routes.router)
    app.include_router(websocket.router)
    add_error_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    if settings.token is None:
        app.add_middleware(LoopbackOnly)
    else:
        app.add_middleware(BearerToken, token=settings.token)
    app.add_middleware(AccessLog)
    return app


class _Application(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, which is built once."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi_document(self, has_token=self.state.settings.token is not None)
        return self.openapi_schema


async def health(request: Request) -> Health:
    """Return the status of the service."""
    return Health(
        status="ok",
        version=paysim_gym.__version__,
        event_schema_version=EVENT_SCHEMA_VERSION,
        simulations=len(request.app.state.registry),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    registry: Registry = app.state.registry
    await registry.open()
    expiry = asyncio.create_task(registry.expire_forever())
    yield
    expiry.cancel()
    with suppress(asyncio.CancelledError):
        await expiry
    await registry.close()


_DESCRIPTION = """\
Simulations of interbank payment systems: create a simulation of a scenario, play its ticks, and read its
state, costs and metrics.

Amounts are integer cents. Requests that play ticks of one simulation are processed in the order of their
arrival; different simulations run in parallel. The WebSocket `/ws/simulations/{simulation_id}` accepts
`{"action": "tick"}` and `{"action": "get_state"}` and replies with
`{"type": "tick_result" | "state" | "error", "data": ...}`; its first message is the state.
"""
