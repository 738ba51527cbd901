"""Limits, token, loopback and settings of the service."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from command import invoke
from pydantic import SecretStr
from service import ARRIVALS, SMALL, Service, make, serving
from starlette.testclient import TestClient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from paysim_gym import Orchestrator, bundled_scenarios, load_scenario
from paysim_gym.server.application import create_app
from paysim_gym.server.problem_details import ServiceError
from paysim_gym.server.registry import Registry
from paysim_gym.server.scenario_library import expected_payments_per_tick
from paysim_gym.server.settings import Settings
from paysim_gym.server.simulation import Simulation

TOKEN = "correct horse battery staple"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    limits = {
        "max_body_bytes": 5_000,
        "max_banks": 3,
        "max_ticks": 1_000,
        "max_payments_per_tick": 50,
        "max_events": 15,
    }
    with serving(**limits, max_simulations=3, max_queue_depth=100) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx2.Client]:
    with service.client() as client:
        yield client
        for entry in client.get("/api/simulations").json()["items"]:
            client.delete(f"/api/simulations/{entry['simulation_id']}")


def banks(count: int, **change: Any) -> list[dict[str, Any]]:
    return [{"id": f"BANK_{index}", "balance": 10**6, **change} for index in range(count)]


def busy(**change: Any) -> dict[str, Any]:
    return {"arrival_config": ARRIVALS | {"rate_per_tick": 20} | change}


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({"agents": banks(4)}, ["agents: this service allows at most 3 banks, the scenario has 4"]),
        (
            {"num_days": 84},
            ["num_days: this service allows at most 1000 ticks, all days together, the scenario has 1008"],
        ),
        (
            {"agents": banks(3, **busy())},
            ["agents: this service allows at most 50 expected payments a tick, the scenario has 60"],
        ),
        (
            {
                "events": [
                    {"type": "early_close", "tick": 11},
                    {"type": "outage", "tick": 2, "every_ticks": 3, "bank": "BANK_A", "ticks": 1},
                    {"type": "transfer", "tick": 1, "every_ticks": 1, "receiver": "BANK_A", "amount": 1},
                ]
            },
            ["events: this service allows at most 15 occurrences of events, the scenario has 16"],
        ),
        (
            {"agents": banks(2, **busy(), policy={"type": "split_large", "parts": 10})},
            ["agents: this service allows at most 50 expected payments a tick, the scenario has 400"],
        ),
        (
            {
                "agents": banks(3, **busy()),
                "events": [{"type": "arrival_rate", "tick": 5, "bank": "BANK_1", "multiplier": 3}],
            },
            ["agents: this service allows at most 50 expected payments a tick, the scenario has 100"],
        ),
        (
            {
                "agents": banks(2, **busy(time_windows=[{"start_tick": 3, "end_tick": 4, "multiplier": 2}])),
                "events": [
                    {"type": "arrival_rate", "tick": 5, "multiplier": 3},
                    {"type": "payment", "tick": 1, "sender": "BANK_0", "receiver": "BANK_1", "amount": 1},
                ],
            },
            ["agents: this service allows at most 50 expected payments a tick, the scenario has 241"],
        ),
    ],
)
def test_a_scenario_that_is_too_large_is_refused(
    client: httpx2.Client, change: dict[str, Any], messages: list[str]
) -> None:
    refused = client.post("/api/simulations", json=SMALL | change)
    assert refused.status_code == 422
    assert [problem["message"] for problem in refused.json()["errors"]] == messages


def test_a_body_that_is_too_large_is_refused(service: Service, client: httpx2.Client) -> None:
    fits: dict[str, Any] = {"content": b" " * 5_000, "headers": {"content-type": "application/json"}}
    assert client.post("/api/simulations", **fits).status_code == 400
    refused = client.post("/api/simulations", **fits | {"content": b" " * 5_001})
    assert (refused.status_code, refused.json()["detail"]) == (
        413,
        "the body is too large: at most 5000 bytes",
    )
    chunked = client.post("/api/simulations", **fits | {"content": (b" " * 100 for _ in range(51))})
    assert chunked.status_code == 413
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:  # announces it, and sends nothing
        peer.sendall(
            b"POST /api/simulations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999999\r\n\r\n"
        )
        assert peer.recv(100).startswith(b"HTTP/1.1 413 ")


def test_there_are_no_more_simulations_than_allowed(service: Service, client: httpx2.Client) -> None:
    answers: list[httpx2.Response] = []

    def create() -> None:
        with service.client() as own:
            answers.append(own.post("/api/simulations", json=SMALL))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 5
    made = next(answer for answer in answers if answer.status_code == 201)
    client.delete(f"/api/simulations/{made.json()['simulation_id']}")
    make(client)


def test_a_simulation_in_which_too_much_waits_fails(client: httpx2.Client) -> None:
    poor = [bank | {"balance": 0, "credit_limit": 0} for bank in SMALL["agents"]]
    simulation_id = make(client, SMALL | {"agents": poor, "num_days": 50})
    url = f"/api/simulations/{simulation_id}"
    refused = client.post(f"{url}/run", json={"ticks": 500})
    assert refused.status_code == 409
    assert "payments are unsettled at tick" in refused.json()["detail"]
    summary = client.get(url).json()
    assert (summary["status"], summary["error"]) == (
        "failed",
        refused.json()["detail"].removeprefix("the simulation has failed: "),
    )
    for method, path in (("POST", "/tick"), ("GET", "/state"), ("GET", "/costs"), ("GET", "/metrics")):
        assert client.request(method, url + path).status_code == 409
    assert client.delete(url).status_code == 200


@pytest.mark.parametrize("call", ["tick", "get_state"])
def test_a_panic_of_the_engine_fails_the_simulation_alone(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    class Panic(BaseException):  # as pyo3's PanicException is
        pass

    with TestClient(create_app(Settings())) as client:
        broken, sound = (
            client.post("/api/simulations", json=SMALL).json()["simulation_id"] for _ in range(2)
        )
        with monkeypatch.context() as patch:

            def panic(_: Orchestrator) -> None:
                raise Panic("index out of bounds")

            patch.setattr(Orchestrator, call, panic)
            url = f"/api/simulations/{broken}"
            refused = client.post(f"{url}/tick") if call == "tick" else client.get(f"{url}/state")
        detail = "the simulation has failed: index out of bounds"
        assert (refused.status_code, refused.json()["detail"]) == (409, detail)
        assert client.get(f"/api/simulations/{broken}").json()["status"] == "failed"
        assert client.post(f"/api/simulations/{broken}/tick").json()["detail"] == detail
        assert client.post(f"/api/simulations/{sound}/tick").status_code == 200


def test_a_panic_over_a_scenario_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: Any, **__: Any) -> None:
        raise RuntimeError("the engine panicked: no message")

    with TestClient(create_app(Settings())) as client:
        monkeypatch.setattr(Orchestrator, "__init__", panic)
        refused = client.post("/api/simulations", json=SMALL)
        assert (refused.status_code, client.get("/health").json()["simulations"]) == (422, 0)


def test_an_internal_error_is_answered_without_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(Registry, "summaries", fail)
    with TestClient(create_app(Settings()), raise_server_exceptions=False) as client:
        answer = client.get("/api/simulations")
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert answer.json()["detail"] == "internal server error; see the service log"
    assert "KeyError: 'secret'" in caplog.text


def test_idle_simulations_expire_and_busy_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("paysim_gym.server.registry.time", SimpleNamespace(monotonic=lambda: now))
    held, is_over = threading.Event(), threading.Event()

    def hold(_: Simulation) -> None:
        held.set()
        is_over.wait(20)

    async def play() -> None:
        nonlocal now
        registry = Registry(Settings(idle_seconds=60))
        idle, busy, read = [await registry.create(load_scenario(SMALL), None) for _ in range(3)]
        long = asyncio.create_task(registry.read(busy, hold))
        while not held.is_set():
            await asyncio.sleep(0.001)
        for ids in ([idle, busy, read], [busy, read]):
            now += 40
            registry.summary(read)
            registry._expire()
            assert [entry.simulation_id for entry in registry.summaries(9)] == ids
        is_over.set()
        await long
        with pytest.raises(ServiceError, match="Simulation not found"):
            await registry.tick(idle)
        registry._expire()
        assert [entry.simulation_id for entry in registry.summaries(9)] == [read]
        await registry.close()

    asyncio.run(play())


def test_an_idle_simulation_goes_by_itself_and_its_websocket_is_told() -> None:
    def ask() -> None:
        peer.send('{"action": "tick"}')
        peer.recv(timeout=30)

    with (
        serving(idle_seconds=0.5) as service,
        service.client() as client,
        connect(f"{service.websocket_url}/{make(client)}", proxy=None) as peer,
    ):
        peer.recv(timeout=30)  # the state
        until = time.monotonic() + 60
        while client.get("/health").json()["simulations"]:
            assert time.monotonic() < until
            time.sleep(0.1)
        with pytest.raises(ConnectionClosed) as closed:
            ask()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4004


def test_a_token_is_asked_for_everywhere() -> None:
    wrong = ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xff"]
    strange = [{}, *({b"authorization": value.encode("latin-1")} for value in wrong)]
    with serving("--host", "0.0.0.0", token=TOKEN) as service:
        service.url = service.url.replace("0.0.0.0", "127.0.0.1")
        with service.client(headers={"authorization": f"Bearer {TOKEN}"}) as client:
            simulation_id = make(client)
            document = client.get("/openapi.json").json()
        with service.client() as stranger:
            assert stranger.get("/health").status_code == 200
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    if path == "/health":
                        assert "security" not in operation
                        continue
                    assert operation["security"] == [{"token": []}]
                    url = path.format(simulation_id=simulation_id, name="two_bank")
                    for headers in strange:
                        refused = stranger.request(method, url, headers=headers)
                        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        url = f"{service.websocket_url}/{simulation_id}"
        with pytest.raises(InvalidStatus) as refusal:
            connect(url, proxy=None)
        assert refusal.value.response.status_code == 403
        with connect(url, additional_headers={"Authorization": f"bearer {TOKEN}"}, proxy=None) as peer:
            peer.send('{"action": "tick"}')
            answers = [json.loads(peer.recv())["type"] for _ in range(2)]
            assert answers == ["state", "tick_result"]
        assert TOKEN not in str(service.log)


@pytest.mark.parametrize("prefix", ["", "/sim"])
def test_a_prefix_of_the_server_opens_nothing(prefix: str) -> None:
    """As with `uvicorn --root-path`, whose paths begin with it."""
    settings = Settings(token=SecretStr(TOKEN))
    with TestClient(create_app(settings), root_path=prefix) as client:
        known = {"authorization": f"Bearer {TOKEN}"}
        assert client.get(f"{prefix}/health").status_code == 200
        assert client.get(f"{prefix}/api/simulations", headers=known).status_code == 200
        for path in ("/api/simulations", "/nothing", "/health/", "/health/../api/simulations", "//health"):
            assert client.get(prefix + path).status_code == 401


def test_other_commands_do_not_wait_for_the_service() -> None:
    code = "import sys, paysim_gym.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"fastapi", "starlette", "uvicorn"} & set(loaded.stdout.split())


def test_what_cannot_be_served_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", "utf-8")

    def told(*arguments: str) -> str:
        result = invoke("serve", "--port", "0", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        return result.stderr

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = f"error: 127.0.0.1:{port}: cannot be listened on: Address already in use"
        assert told("--port", str(port)).startswith(refused)
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        loopback = f"host = {host!r}: must be a loopback address unless PAYSIM_SERVER_TOKEN is set"
        assert told("--host", host) == f"error: {loopback}\n"
    assert told("--scenarios", "no").startswith("error: scenarios = 'no': must be a folder\n")
    assert "File exists" in told("--store", str(tmp_path / "file"))
    with monkeypatch.context() as patch:
        patch.setenv("PAYSIM_SERVER_MAX_BANK", "5")
        assert told() == "error: PAYSIM_SERVER_MAX_BANK: unknown setting\n"
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert told() == 'error: uvicorn is not installed; run: pip install "paysim-gym[server]"\n'


def test_without_a_token_a_name_that_points_to_loopback_is_refused(service: Service) -> None:
    with service.client() as client:
        for host in ("evil.example", "127.0.0.1.evil.example", "", "[::2]", "10.0.0.1:8000"):
            assert client.get("/api/simulations", headers={"host": host}).status_code == 403
        for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "localhost:1"):
            assert client.get("/api/simulations", headers={"host": host}).status_code == 200
    peer = socket.create_connection(service.address)
    with pytest.raises(InvalidStatus) as refusal:
        connect(f"ws://evil.example/ws/simulations/{'0' * 32}", sock=peer)
    assert refusal.value.response.status_code == 403


def test_without_a_token_another_address_is_refused_even_if_bound() -> None:
    with TestClient(create_app(Settings()), base_url="http://192.0.2.1") as client:
        refused = client.get("/health")
        assert (refused.status_code, refused.json().keys()) == (403, {"detail"})
    with TestClient(create_app(Settings()), base_url="http://testserver") as client:
        assert client.get("/health").status_code == 200


def test_settings_come_from_the_environment() -> None:
    settings = Settings.from_environment(
        {"PAYSIM_SERVER_MAX_BANKS": "7", "PAYSIM_SERVER_TOKEN": "", "PAYSIM_OTHER": "x", "HOME": "/"}
    )
    assert settings == Settings(max_banks=7)
    assert TOKEN not in repr(Settings.from_environment({"PAYSIM_SERVER_TOKEN": TOKEN}))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MAX_BANKS", "0", "PAYSIM_SERVER_MAX_BANKS: must be greater than or equal to 1"),
        ("MAX_BANKS", "many", "PAYSIM_SERVER_MAX_BANKS: must be a valid integer"),
        ("IDLE_SECONDS", "nan", "PAYSIM_SERVER_IDLE_SECONDS: must be a finite number"),
        ("MAX_BANK", "5", "PAYSIM_SERVER_MAX_BANK: unknown setting"),
        ("TOKEN", "hunter2", "PAYSIM_SERVER_TOKEN: must have at least 16 items"),
    ],
)
def test_wrong_settings_are_told_without_their_value(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Settings.from_environment({f"PAYSIM_SERVER_{name}": value})
    assert "hunter2" not in str(error.value)


def test_every_bundled_scenario_fits_into_the_limits() -> None:
    limits = Settings()
    for scenario in map(load_scenario, bundled_scenarios()):
        assert len(scenario.agents) <= limits.max_banks
        assert scenario.ticks_per_day * scenario.num_days <= limits.max_ticks
        assert expected_payments_per_tick(scenario) <= limits.max_payments_per_tick
