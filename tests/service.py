"""Runs the service as a process on a free loopback port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

ARRIVALS: dict[str, Any] = {
    "rate_per_tick": 1.5,
    "distribution_type": "lognormal",
    "amount_mean": 10_000_00,
    "amount_std_dev": 15_000_00,
    "deadline_range": [1, 6],
}
SMALL: dict[str, Any] = {
    "ticks_per_day": 12,
    "seed": 1,
    "agents": [
        {"id": bank, "balance": 15_000_00, "credit_limit": 10_000_00, "arrival_config": ARRIVALS}
        for bank in ("BANK_A", "BANK_B")
    ],
    "costs": {"overdraft_rate": 0.0001, "delay_penalty_per_tick": 10, "deadline_penalty": 5_000},
}
"""A short day in which payments queue."""

SLOW = SMALL | {
    "ticks_per_day": 1000,
    "num_days": 100,
    "agents": [
        {"id": f"BANK_{index}", "balance": 10**9, "arrival_config": ARRIVALS | {"rate_per_tick": 20}}
        for index in range(20)
    ],
}
"""Its 10,000 ticks take far longer than a time limit of one second."""


class Service:
    """A running service.

    Attributes:
        url: Address, as http://127.0.0.1:PORT.
        log: Log lines so far, each an object.
        process: The process.
    """

    def __init__(self, *arguments: str, **settings: object) -> None:
        command = [sys.executable, "-W", "error", "-m", "paysim_gym.cli", "serve", "--port", "0", *arguments]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PAYSIM_")}
        environment |= {f"PAYSIM_SERVER_{name.upper()}": str(value) for name, value in settings.items()}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self._lines: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._listening.wait(60), "the service does not start"
        assert self.log, "the service has exited"
        self.url = self.log[0]["message"].removeprefix("listening on ")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append(line)
            self._listening.set()
        self._listening.set()

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._lines]

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def websocket_url(self) -> str:
        return str(self.url).replace("http", "ws", 1) + "/ws/simulations"

    def client(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def stop(self, by: int = signal.SIGTERM) -> int:
        """Stop the service and return its exit status."""
        self.process.send_signal(by)
        status = self.process.wait(30)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def errors(self) -> list[dict[str, Any]]:
        """Return warnings and errors of the log, except those about invalid requests."""
        wrong = [line for line in self.log if line["level"] not in ("debug", "info")]
        wrong = [line for line in wrong if line["message"] != "Invalid HTTP request received."]
        tested = ("paysim_gym.server.simulation", "paysim_gym.server.scenario_library")
        return [line for line in wrong if line["logger"] not in tested]


@contextmanager
def serving(*arguments: str, **settings: object) -> Iterator[Service]:
    """Yield a service and stop it; it must have logged no errors."""
    service = Service(*arguments, **settings)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.stop()
    assert not service.errors(), service.errors()


def make(client: httpx2.Client, scenario: Any = SMALL, seed: int | None = None) -> str:
    """Create a simulation and return its id."""
    answer = client.post("/api/simulations", json={"scenario": scenario, "seed": seed})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["simulation_id"])


def post_raw(client: httpx2.Client, path: str, body: Any, kind: str = "application/json") -> httpx2.Response:
    """Send a body unchanged, even one that no client library would send."""
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    return client.post(path, content=content, headers={"content-type": kind})
