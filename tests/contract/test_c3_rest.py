"""C3: the REST interface."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from contract.example import REFUSED, example
from fastapi import FastAPI
from fastapi.testclient import TestClient

from paysim_gym.server.app import app
from paysim_gym.server.application import create_app
from paysim_gym.server.settings import Settings
from paysim_gym.server.simulation import Simulation

NOT_FOUND = {"detail": "Simulation not found"}


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def create(client: TestClient) -> str:
    response = client.post("/api/simulations", json=example())
    assert response.status_code == 201
    body = response.json()
    assert body.keys() == {"simulation_id"}
    return str(body["simulation_id"])


def play_life_cycle(client: TestClient) -> None:
    """The life cycle of the contract."""
    simulation_id = create(client)
    for number in range(10):
        response = client.post(f"/api/simulations/{simulation_id}/tick")
        assert response.status_code == 200
        assert response.json()["tick"] == number
    state = client.get(f"/api/simulations/{simulation_id}/state")
    assert state.status_code == 200
    assert [agent["id"] for agent in state.json()["agents"]] == ["BANK_A", "BANK_B"]
    deleted = client.delete(f"/api/simulations/{simulation_id}")
    assert (deleted.status_code, deleted.json()) == (200, {"status": "deleted"})
    gone = client.get(f"/api/simulations/{simulation_id}/state")
    assert (gone.status_code, gone.json()) == (404, NOT_FOUND)


def test_c3_1_the_life_cycle(client: TestClient) -> None:
    play_life_cycle(client)


def test_c3_1_the_life_cycle_in_two_lifespans() -> None:
    for _ in range(2):
        with TestClient(app) as client:
            play_life_cycle(client)


def test_c3_1_the_life_cycle_without_a_lifespan() -> None:
    play_life_cycle(TestClient(app))


@pytest.mark.parametrize("stores", [False, True])
def test_c3_1_a_simulation_outlives_a_lifespan(stores: bool, tmp_path: Any) -> None:
    application = create_app(Settings(store=tmp_path if stores else None))
    with TestClient(application) as client:
        simulation_id = create(client)
        play_at_once(client, simulation_id)
    with TestClient(application) as client:
        ticks = play_at_once(client, simulation_id)
        assert ticks == [4, 5, 6, 7]
        assert client.get("/health").json()["simulations"] == 1


def play_at_once(client: TestClient, simulation_id: str) -> list[int]:
    """Play four ticks at the same time, so that the locks are contended."""
    with ThreadPoolExecutor(4) as threads:
        url = f"/api/simulations/{simulation_id}/tick"
        return sorted(threads.map(lambda _: client.post(url).json()["tick"], range(4)))


def test_c3_the_id_is_a_uuid4_with_dashes(client: TestClient) -> None:
    simulation_id = create(client)
    assert str(uuid.UUID(simulation_id)) == simulation_id
    assert uuid.UUID(simulation_id).version == 4


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        (REFUSED, ["agents", "rails"]),
        (example() | {"ticks_per_day": 1001}, ["ticks_per_day"]),
        (
            example() | {"agents": [*example()["agents"], {"id": "BANK_C", "balance": 1.5}]},
            ["agents[2].balance"],
        ),
    ],
)
def test_c3_a_bad_config_has_the_paths_of_its_fields(
    client: TestClient, config: Any, paths: list[str]
) -> None:
    response = client.post("/api/simulations", json=config)
    assert response.status_code in (400, 422)
    assert [error["path"] for error in response.json()["errors"]] == paths


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/tick"), ("GET", "/state"), ("DELETE", ""), ("GET", "/metrics"), ("GET", "")],
)
@pytest.mark.parametrize("simulation_id", ["unknown", "00000000-0000-4000-8000-000000000000"])
def test_c3_an_unknown_simulation_is_not_found(
    client: TestClient, method: str, path: str, simulation_id: str
) -> None:
    response = client.request(method, f"/api/simulations/{simulation_id}{path}")
    assert (response.status_code, response.json()) == (404, NOT_FOUND)


def test_c3_health(client: TestClient) -> None:
    assert client.get("/health").status_code == 200


def test_c3_2_a_tick_does_not_block_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation_id = create(client)
    is_playing, may_end, play = threading.Event(), threading.Event(), Simulation.play

    def slow(self: Simulation, ticks: int, seconds: float) -> list[dict[str, Any]]:
        is_playing.set()
        assert may_end.wait(30)
        return play(self, ticks, seconds)

    monkeypatch.setattr(Simulation, "play", slow)
    with ThreadPoolExecutor() as threads:
        tick = threads.submit(client.post, f"/api/simulations/{simulation_id}/tick")
        assert is_playing.wait(30)
        health = threads.submit(client.get, "/health")
        try:
            assert health.result(20).status_code == 200
            assert not tick.done()
        finally:
            may_end.set()
        assert tick.result(30).status_code == 200


def test_c3_2_the_creation_is_logged_with_its_fields(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="paysim_gym")
    simulation_id = create(client)
    (record,) = [record for record in caplog.records if record.getMessage() == "Simulation created"]
    assert record.name.startswith("paysim_gym")
    expected = {"simulation_id": simulation_id, "ticks_per_day": 100, "num_agents": 2, "seed": 12345}
    assert {name: getattr(record, name) for name in expected} == expected


def test_c3_the_application_is_the_one_that_uvicorn_serves() -> None:
    assert isinstance(app, FastAPI)
