"""The WebSocket: play and read one simulation over one connection."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, cast

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic_core import to_json

from paysim_gym.server.problem_details import ServiceError
from paysim_gym.server.registry import NOT_FOUND, Registry
from paysim_gym.server.scenario_library import refuse_constant
from paysim_gym.server.settings import Settings
from paysim_gym.validation_errors import format_value

UNKNOWN = 4004
"""Close code if the simulation does not exist or was deleted."""

router = APIRouter()


@router.websocket("/ws/simulations/{simulation_id}")
async def simulation_socket(websocket: WebSocket, simulation_id: str) -> None:
    """Send the state, then answer `{"action": "tick" | "get_state"}` until the client disconnects.

    Errors are answered with `{"type": "error", "data": {"status": ..., "detail": ...}}`. An `id` in a message
    is repeated in its answer; other keys are ignored.
    """
    simulations = cast(Registry, websocket.app.state.registry)
    settings = cast(Settings, websocket.app.state.settings)
    with suppress(WebSocketDisconnect):
        await websocket.accept()
        try:
            await websocket.send_text(await _answer(simulations, simulation_id, {"action": "get_state"}))
            while True:
                text = await _next_text(websocket)
                try:
                    message = _parse(text, settings.max_message_bytes)
                except ServiceError as error:
                    await websocket.send_text(_error(error, {}))
                else:
                    await websocket.send_text(await _answer(simulations, simulation_id, message))
        except ServiceError:
            await websocket.close(UNKNOWN, NOT_FOUND)


async def _next_text(websocket: WebSocket) -> str | None:
    """Return the text of the next message; None if it is not text."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text: str | None = message.get("text")
    return text


async def _answer(simulations: Registry, simulation_id: str, message: dict[str, Any]) -> str:
    """Return the answer to a message; raises ServiceError 404 without the simulation."""
    try:
        match message.get("action"):
            case "tick":
                return _reply("tick_result", to_json(await simulations.tick(simulation_id)), message)
            case "get_state":
                state = await simulations.read(simulation_id, lambda simulation: to_json(simulation.state()))
                return _reply("state", state, message)
        raise ServiceError(
            422,
            f'message = {format_value(message)}: must be {{"action": "tick"}} or {{"action": "get_state"}}',
        )
    except ServiceError as error:
        if error.status == 404:
            raise
        return _error(error, message)


def _error(error: ServiceError, message: dict[str, Any]) -> str:
    data = {"status": error.status, "detail": error.problem.detail}
    return _reply("error", json.dumps(data).encode(), message)


def _reply(kind: str, data: bytes, message: dict[str, Any]) -> str:
    """Return an answer as JSON, with the `id` of the message if any."""
    echo = f',"id":{json.dumps(message["id"])}' if "id" in message else ""
    return f'{{"type":"{kind}","data":{data.decode()}{echo}}}'


def _parse(text: str | None, max_bytes: int) -> dict[str, Any]:
    """Return a message, or raise a ServiceError if it is not an object."""
    if text is None:
        raise ServiceError(400, "a message must be text")
    if len(text.encode("utf-8", "replace")) > max_bytes:
        raise ServiceError(413, f"the message is too large: at most {max_bytes} bytes")
    try:
        message = json.loads(text, parse_constant=refuse_constant)
        # What is parsed can be too deeply nested, or a number too large, to be repeated.
        json.dumps(message, allow_nan=False)
    except (ValueError, RecursionError):
        raise ServiceError(400, "the message is not JSON") from None
    if not isinstance(message, dict):
        raise ServiceError(422, f"message = {format_value(message)}: must be an object")
    return message
