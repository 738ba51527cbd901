"""What whoever runs the service decides: the token, where things are kept, and the limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from paysim_gym.validation_errors import format_error

PREFIX = "PAYSIM_SERVER_"
"""What the names of the environment variables begin with."""

_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """The settings of a service; each is read from the environment, as `PAYSIM_SERVER_MAX_BANKS`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """What clients must send as bearer token. Without one the service answers on loopback only."""
    store: Path | None = None
    """Folder that keeps simulations over a restart; without it they are gone with the process."""
    scenarios: Path | None = None
    """Folder of the service's own scenarios (*.yaml), offered beside the bundled ones."""
    max_simulations: _Count = 1000
    """Simulations at one time."""
    max_body_bytes: _Count = 2**20
    """Bytes of a request's body."""
    max_message_bytes: _Count = 2**16
    """Bytes of a WebSocket message."""
    max_banks: _Count = 200
    """Banks of a scenario."""
    max_ticks: _Count = 100_000
    """Ticks of a scenario, all days together."""
    max_payments_per_tick: _Count = 5_000
    """Payments a scenario may be expected to bring in one tick."""
    max_events: _Count = 20_000
    """Times that the events of a scenario may happen, each of its times counted."""
    max_queue_depth: _Count = 10_000
    """Unsettled payments; a simulation in which more wait fails."""
    max_ticks_per_run: _Count = 10_000
    """Ticks that one request may ask for."""
    max_run_seconds: _Seconds = 30.0
    """How long one request may play; it then answers with the ticks played so far."""
    idle_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600.0
    """A simulation that nobody has touched for as long is deleted; 0 keeps all."""
    threads: _Count = max(2, os.cpu_count() or 2)
    """Simulations that play at the same time."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from environment variables.

        Raises:
            ValueError: For each that is unknown or has a value that is not allowed, one line.
        """
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
