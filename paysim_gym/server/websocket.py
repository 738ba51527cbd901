"""The WebSocket: play and read one simulation over one connection."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import cast

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic_core import to_json

from paysim_gym.server.problem_details import ServiceError
from paysim_gym.server.registry import Registry
from paysim_gym.server.settings import Settings
from paysim_gym.validation_errors import format_value

UNKNOWN = 4004
"""Close code if the simulation does not exist or was deleted."""

router = APIRouter()


@router.websocket("/ws/simulations/{simulation_id}")
async def simulation_socket(websocket: WebSocket, simulation_id: str) -> None:
    """Answer messages `{"action": "tick" | "get_state"}` until the client disconnects.

    Errors are answered with `{"type": "error", "data": {"status": ..., "detail": ...}}`.
    """
    simulations = cast(Registry, websocket.app.state.registry)
    settings = cast(Settings, websocket.app.state.settings)
    with suppress(WebSocketDisconnect):
        await websocket.accept()
        try:
            simulations.summary(simulation_id)
            while True:
                await websocket.send_text(await _reply(websocket, simulations, simulation_id, settings))
        except ServiceError:
            await websocket.close(UNKNOWN, "there is no simulation of this id")


async def _reply(websocket: WebSocket, simulations: Registry, simulation_id: str, settings: Settings) -> str:
    """Return the answer to the next message; raises ServiceError 404 after a deletion."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    try:
        action = _action(message.get("text"), settings.max_message_bytes)
        if action == "tick":
            data = to_json(await simulations.tick(simulation_id))
            return f'{{"type":"tick_result","data":{data.decode()}}}'
        data = await simulations.read(simulation_id, lambda simulation: to_json(simulation.state()))
        return f'{{"type":"state","data":{data.decode()}}}'
    except ServiceError as error:
        if error.status == 404:
            raise
        return json.dumps({"type": "error", "data": {"status": error.status, "detail": error.problem.detail}})


def _action(text: str | None, max_bytes: int) -> str:
    """Return the action of a message, or raise a ServiceError if it is invalid."""
    if text is None:
        raise ServiceError(400, "a message must be text")
    if len(text.encode("utf-8", "replace")) > max_bytes:
        raise ServiceError(413, f"the message is too large: at most {max_bytes} bytes")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise ServiceError(400, "the message is not JSON") from None
    action = message.get("action") if isinstance(message, dict) else None
    if action not in ("tick", "get_state") or len(message) > 1:
        raise ServiceError(
            422,
            f'message = {format_value(message)}: must be {{"action": "tick"}} or {{"action": "get_state"}}',
        )
    return str(action)
