"""Settings of the service: token, folders and limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from paysim_gym.validation_errors import format_error

PREFIX = "PAYSIM_SERVER_"
"""Prefix of the environment variables."""

_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """Settings of the service, read from variables such as `PAYSIM_SERVER_MAX_BANKS`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Bearer token that clients must send. Without one the service accepts loopback requests only."""
    store: Path | None = None
    """Folder that stores simulations across restarts. Without one they are lost when the process ends."""
    scenarios: Path | None = None
    """Folder of named scenarios (*.yaml), in addition to the bundled ones."""
    max_simulations: _Count = 1000
    """Maximum number of simulations."""
    max_body_bytes: _Count = 2**20
    """Maximum size of a request body in bytes."""
    max_message_bytes: _Count = 2**16
    """Maximum size of a WebSocket message in bytes."""
    max_banks: _Count = 200
    """Maximum number of banks in a scenario."""
    max_ticks: _Count = 100_000
    """Maximum number of ticks in a scenario, all days together."""
    max_payments_per_tick: _Count = 5_000
    """Maximum expected number of payments per tick of a scenario."""
    max_events: _Count = 20_000
    """Maximum number of event occurrences in a scenario; repetitions count."""
    max_queue_depth: _Count = 10_000
    """Maximum number of unsettled payments; a simulation with more fails."""
    max_ticks_per_run: _Count = 10_000
    """Maximum number of ticks per request."""
    max_run_seconds: _Seconds = 30.0
    """Maximum time that one request plays; it then returns the ticks played so far."""
    idle_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600.0
    """Simulations without a request for this long are deleted; 0 keeps all."""
    threads: _Count = max(2, os.cpu_count() or 2)
    """Number of simulations that play in parallel."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read environment variables; raises ValueError with one line per invalid one."""
        given = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX) and value
        }
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            details = error.errors(include_input=False, include_url=False)  # the token must not be shown
            raise ValueError("\n".join(map(_format_error, details))) from None


def _format_error(detail: ErrorDetails) -> str:
    field = str(detail["loc"][0])
    name = f"{PREFIX}{field.upper()}"
    if field not in Settings.model_fields:
        return f"{name}: unknown setting"
    return format_error({**detail, "loc": (name,)})
