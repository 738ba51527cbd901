"""Load test of the service: lost or duplicated ticks, throughput and latency.

    uv run --extra dev python tests/benchmarks/service_load.py

50 clients play 200 simulations for 60 seconds, and each simulation is compared with a direct run. Then the
same clients send requests to two applications that do nothing: one with FastAPI, one with plain ASGI.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from service import Service

from paysim_gym import Orchestrator, load_scenario
from paysim_gym.scenario import Scenario

SCENARIO = "five_bank"
NUM_DAYS = 1000
"""Enough that no run ends."""

REQUESTS: list[tuple[str, str, Any]] = [
    ("POST", "tick", None),
    ("POST", "run", {"ticks": 3}),
    ("GET", "state", None),
    ("GET", "metrics", None),
]
WEIGHTS = [80, 5, 10, 5]

FASTAPI = """
from fastapi import FastAPI, Response
app = FastAPI()
@app.api_route("/{path:path}", methods=["GET", "POST"])
async def nothing(path: str) -> Response:
    return Response(b"{}", media_type="application/json")
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})
"""


@dataclass
class Load:
    """Responses received by the clients.

    Attributes:
        seconds: Duration of the test.
        latencies: Latency of every response in seconds.
        statuses: HTTP status -> number of responses.
        ticks: Simulation id -> ticks reported by responses, unordered.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    ticks: dict[str, list[int]] = field(default_factory=dict)

    def __str__(self) -> str:
        """Throughput, latency and statuses."""
        quantiles = statistics.quantiles(self.latencies, n=100)
        return (
            f"{len(self.latencies) / self.seconds:,.0f} requests/s, median {quantiles[49] * 1e3:.1f} ms, "
            f"p99 {quantiles[98] * 1e3:.1f} ms, {dict(self.statuses)}"
        )


class Connection:
    """A client's connection, which sends requests one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, address: tuple[str, int]) -> Connection:
        return cls(*await asyncio.open_connection(*address))

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(content)}\r\n"
        kind = "" if body is None else "content-type: application/json\r\n"
        self._writer.write(f"{head}{kind}\r\n".encode() + content)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        answer = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), json.loads(answer) if answer else None

    def close(self) -> None:
        self._writer.close()


def scenario(seed: int) -> Scenario:
    """The scenario of a simulation."""
    return load_scenario(load_scenario(SCENARIO).model_dump() | {"num_days": NUM_DAYS, "seed": seed})


async def play(
    address: tuple[str, int], simulations: list[str], clients: int, seconds: float, *, is_service: bool = True
) -> Load:
    """Let clients request ticks, short runs, states and metrics of shared simulations."""
    load = Load(ticks={simulation_id: [] for simulation_id in simulations})
    started = time.perf_counter()
    await asyncio.gather(
        *(
            _client(address, random.Random(seed), load, started + seconds, is_service)
            for seed in range(clients)
        )
    )
    load.seconds = time.perf_counter() - started
    return load


async def _client(
    address: tuple[str, int], rng: random.Random, load: Load, until: float, is_service: bool
) -> None:
    connection = await Connection.to(address)
    simulations = list(load.ticks)
    while (started := time.perf_counter()) < until:
        simulation_id = rng.choice(simulations)
        method, action, body = rng.choices(REQUESTS, WEIGHTS)[0]
        status, answer = await connection.ask(method, f"/api/simulations/{simulation_id}/{action}", body)
        load.latencies.append(time.perf_counter() - started)
        load.statuses[status] += 1
        if is_service and status == 200 and method == "POST":
            last, count = (answer["tick"], 1) if action == "tick" else (answer["last_tick"]["tick"], 3)
            load.ticks[simulation_id] += range(last - count + 1, last + 1)
    connection.close()


async def make(address: tuple[str, int], count: int) -> list[str]:
    """Create simulations, seeded 0, 1, ...; their ids."""
    connection = await Connection.to(address)
    ids = []
    for seed in range(count):
        body = scenario(seed).model_dump(mode="json")
        status, answer = await connection.ask("POST", "/api/simulations", body)
        assert status == 201, answer
        ids.append(answer["simulation_id"])
    connection.close()
    return ids


async def compare(address: tuple[str, int], load: Load) -> int:
    """Compare every simulation with a direct run, and return the number of ticks.

    Raises:
        AssertionError: If a tick was lost or duplicated, or a state differs.
    """
    connection = await Connection.to(address)
    for seed, (simulation_id, ticks) in enumerate(load.ticks.items()):
        assert sorted(ticks) == list(range(len(ticks))), f"simulation {seed}: {Counter(ticks).most_common(3)}"
        direct = Orchestrator(scenario(seed))
        for _ in ticks:
            direct.tick()
        _, state = await connection.ask("GET", f"/api/simulations/{simulation_id}/state")
        assert state == direct.get_state(), f"simulation {seed} differs after {len(ticks)} ticks"
    connection.close()
    return sum(map(len, load.ticks.values()))


def measure_empty(source: str, clients: int, seconds: float) -> Load:
    """Measure the same clients with an application that does nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    serve = f"uvicorn.run(app, port={address[1]}, log_level='error', access_log=False)"
    run = f"{source}\nimport uvicorn\n{serve}"
    with subprocess.Popen([sys.executable, "-c", run]) as process:
        try:
            _wait_for(address)
            return asyncio.run(play(address, ["none"], clients, seconds, is_service=False))
        finally:
            process.terminate()


def _wait_for(address: tuple[str, int]) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(address).close()
            return
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.1)


def measure_service(clients: int, simulations: int, seconds: float, *arguments: str) -> Load:
    """Create simulations, play them, and compare each with a direct run."""
    service = Service(*arguments)
    try:
        ids = asyncio.run(make(service.address, simulations))
        load = asyncio.run(play(service.address, ids, clients, seconds))
        ticks = asyncio.run(compare(service.address, load))
    finally:
        service.stop()
    assert service.errors() == []
    print(f"{ticks:,} ticks of {simulations} simulations: none lost or duplicated, all states correct")
    return load


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--store", help="folder of the service's store")
    given = parser.parse_args()
    store = ("--store", given.store) if given.store else ()
    print("service: ", measure_service(given.clients, given.simulations, given.seconds, *store))
    for name, source in (("empty FastAPI application: ", FASTAPI), ("empty ASGI application: ", ASGI)):
        print(name, measure_empty(source, given.clients, min(given.seconds, 15)))


if __name__ == "__main__":
    main()
