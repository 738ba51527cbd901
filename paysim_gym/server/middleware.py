"""What stands before every request: who may come at all, how much it may bring, and a line in the log."""

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
"""What needs no token: all else does, whether there is such a route or not."""

_log = logging.getLogger("paysim_gym.server.access")


@lru_cache(maxsize=100)
def is_loopback(host: str) -> bool:
    """Whether a host's name or address means this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class LoopbackOnly:
    """Lets in only who came through the loopback address, and asked for it.

    A web page of elsewhere can let its own name point to the loopback address; its requests name that host.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Stand before `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer 403."""
        if scope["type"] == "lifespan" or _is_local(scope):
            await self._app(scope, receive, send)
        else:
            await _refuse(scope, receive, send, 403, "without a token the service answers on loopback only")


class BearerToken:
    """Lets in only who brings the token; `/health` and the description of the service are open."""

    def __init__(self, app: ASGIApp, token: SecretStr) -> None:
        """Stand before `app`."""
        self._app = app
        self._token = hashlib.sha256(token.get_secret_value().encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer 401."""
        if (
            scope["type"] == "lifespan"
            # A server may put a prefix of its own before every path, as `uvicorn --root-path` does.
            or scope["path"].removeprefix(scope.get("root_path", "")) in _OPEN
            or self._is_known(scope)
        ):
            await self._app(scope, receive, send)
        else:
            headers = {"www-authenticate": "Bearer"}
            await _refuse(scope, receive, send, 401, "the bearer token is missing or wrong", headers)

    def _is_known(self, scope: Scope) -> bool:
        kind, _, token = _header(scope, b"authorization").partition(b" ")
        # Of digests, so that not even the length of the token shows in the time it takes.
        return hmac.compare_digest(hashlib.sha256(token).digest(), self._token) and kind.lower() == b"bearer"


class BodyLimit:
    """Answers 413 to a body that is too large, without reading the rest of it."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        """Stand before `app`."""
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body and pass it on, or answer 413."""
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
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


class AccessLog:
    """Writes one line for each request and each WebSocket."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and note how it ended."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500  # unless an answer says otherwise

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close" and status != 101:
                status = 403
            await send(message)

        try:
            await self._app(scope, receive, note)
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
    if not _is_address(server):  # a Unix socket, or a test's client without a network
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
    else:  # before it was accepted: the handshake is answered with 403
        await send({"type": "websocket.close", "code": 1008, "reason": detail})
