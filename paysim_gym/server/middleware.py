"""ASGI middleware: access control, body limit and access log."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Iterable
from functools import lru_cache

from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paysim_gym.server.error_handlers import problem_response
from paysim_gym.server.problem_details import Problem

_OPEN = frozenset({"/health", "/docs", "/redoc", "/openapi.json"})
"""Paths that need no token; all others do, whether or not a route exists."""

_log = logging.getLogger("paysim_gym.server.access")


@lru_cache(maxsize=100)
def is_loopback(host: str) -> bool:
    """Return whether a host name or address is loopback."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class LoopbackOnly:
    """Accepts only requests over, and addressed to, a loopback address.

    Checking the Host header as well prevents DNS rebinding, where the name of a foreign page resolves to the
    loopback address.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or respond with 403."""
        if scope["type"] == "lifespan" or _is_local(scope):
            await self._app(scope, receive, send)
        else:
            await _refuse(
                scope, receive, send, 403, "without a token the service accepts loopback requests only"
            )


class BearerToken:
    """Accepts only requests with the token, except for health and API documentation."""

    def __init__(self, app: ASGIApp, token: SecretStr) -> None:
        """Wrap `app`."""
        self._app = app
        self._token = hashlib.sha256(token.get_secret_value().encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or respond with 401."""
        if (
            scope["type"] == "lifespan"
            # A server may prepend a prefix to every path, as `uvicorn --root-path` does.
            or scope["path"].removeprefix(scope.get("root_path", "")) in _OPEN
            or self._is_known(scope)
        ):
            await self._app(scope, receive, send)
        else:
            headers = {"www-authenticate": "Bearer"}
            await _refuse(scope, receive, send, 401, "the bearer token is missing or wrong", headers)

    def _is_known(self, scope: Scope) -> bool:
        scheme, _, token = _header(scope, b"authorization").partition(b" ")
        # Digests have equal lengths, so the comparison time does not reveal the length of the token.
        return (
            hmac.compare_digest(hashlib.sha256(token).digest(), self._token) and scheme.lower() == b"bearer"
        )


class BodyLimit:
    """Responds with 413 to a body that is too large, without reading the rest."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        """Wrap `app`."""
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body and pass it on, or respond with 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared, body, is_complete = _declared_size(scope), bytearray(), False
        while not is_complete and max(declared, len(body)) <= self._max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            is_complete = not message.get("more_body", False)
        if max(declared, len(body)) > self._max_bytes:
            await _refuse(
                scope, receive, send, 413, f"the body is too large: at most {self._max_bytes} bytes"
            )
            return
        messages: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)


class AccessLog:
    """Logs one line per request and per WebSocket."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and log its outcome."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500  # until a response sets it

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close" and status != 101:
                status = 403
            await send(message)

        try:
            await self._app(scope, receive, record_status)
        finally:
            _log.info(
                "request",
                extra={
                    "method": scope.get("method", "WEBSOCKET"),
                    "path": scope["path"],
                    "status": status,
                    "milliseconds": round((time.perf_counter() - started) * 1000, 3),
                    "client": (scope.get("client") or [None])[0],
                    "simulation_id": scope.get("path_params", {}).get("simulation_id"),
                },
            )


def _is_local(scope: Scope) -> bool:
    server = (scope.get("server") or ("", None))[0]
    if not _is_address(server):  # a Unix socket, or a test client without a network
        return True
    host = _header(scope, b"host").decode("latin-1")
    name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return is_loopback(server) and is_loopback(name)


@lru_cache(maxsize=100)
def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _header(scope: Scope, name: bytes) -> bytes:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return next((value for key, value in headers if key == name), b"")


def _declared_size(scope: Scope) -> int:
    digits = _header(scope, b"content-length")
    return int(digits[:18]) if digits.isdigit() else 0


async def _refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    detail: str,
    headers: dict[str, str] | None = None,
) -> None:
    if scope["type"] == "http":
        await problem_response(status, Problem(detail=detail), headers)(scope, receive, send)
    else:  # closing before acceptance rejects the handshake with 403
        await send({"type": "websocket.close", "code": 1008, "reason": detail})
