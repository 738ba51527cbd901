"""The command `paysim serve`."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from paysim_gym.extras import requires_extra

_Host = Annotated[str, typer.Option(help="Address to listen on; without a token, a loopback one.")]
_Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
_Store = Annotated[
    Path | None,
    typer.Option(help="Folder that stores simulations across restarts.", show_default="memory only"),
]
_Scenarios = Annotated[
    Path | None, typer.Option(help="Folder of scenarios (*.yaml) to offer.", show_default="the bundled ones")
]

_log = logging.getLogger(__name__)


def serve(
    host: _Host = "127.0.0.1", port: _Port = 8000, store: _Store = None, scenarios: _Scenarios = None
) -> None:
    """Serve simulations over REST and WebSocket, until Ctrl-C.

    Environment variables such as PAYSIM_SERVER_TOKEN and PAYSIM_SERVER_MAX_BANKS set everything else;
    docs/service.md lists them. The log goes to stderr, one JSON object per line.

    [bold]Examples[/bold]

    paysim serve

    PAYSIM_SERVER_TOKEN=$(openssl rand -hex 32) paysim serve --host 0.0.0.0 --store runs
    """
    _serve(host, port, {"store": store, "scenarios": scenarios})


def _serve(host: str, port: int, given: dict[str, Path | None]) -> None:
    # Imported here, because other commands do not need FastAPI and uvicorn.
    with requires_extra("server"):
        import uvicorn

    from paysim_gym.server.application import create_app
    from paysim_gym.server.logs import log_json
    from paysim_gym.server.middleware import is_loopback
    from paysim_gym.server.registry import Registry
    from paysim_gym.server.settings import PREFIX, Settings

    class Server(uvicorn.Server):
        """Stops runs before the shutdown, which would otherwise wait for them."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            registry: Registry = app.state.registry
            registry.stop_runs()
            await super().shutdown(sockets)
            _log.info("stopped")

    settings = Settings.from_environment()
    settings = settings.model_copy(update={key: value for key, value in given.items() if value is not None})
    if settings.token is None and not is_loopback(host):
        raise ValueError(f"host = {host!r}: must be a loopback address unless {PREFIX}TOKEN is set")
    app = create_app(settings)
    with _listening(host, port) as listener:
        log_json()
        name = f"[{host}]" if ":" in host else host
        _log.info("listening on http://%s:%d", name, listener.getsockname()[1])
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            ws_max_size=max(2**20, 4 * settings.max_message_bytes),
            timeout_graceful_shutdown=10,
        )
        with suppress(KeyboardInterrupt):
            Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(f"{host}:{port}: cannot be listened on: {error.strerror}") from None
