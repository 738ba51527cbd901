"""C4: the WebSocket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from contract.example import example
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from paysim_gym.server.app import app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.fixture
def url(client: TestClient) -> str:
    simulation_id = client.post("/api/simulations", json=example()).json()["simulation_id"]
    return f"/ws/simulations/{simulation_id}"


def ask(peer: WebSocketTestSession, message: Any) -> Any:
    peer.send_json(message)
    return peer.receive_json()


def test_c4_the_first_message_is_the_state(client: TestClient, url: str) -> None:
    state = client.get(f"{url.replace('/ws', '/api', 1)}/state").json()
    with client.websocket_connect(url) as peer:
        assert peer.receive_json() == {"type": "state", "data": state}


def test_c4_ticks_and_states(client: TestClient, url: str) -> None:
    with client.websocket_connect(url) as peer:
        first = peer.receive_json()
        assert ask(peer, {"action": "get_state"}) == first
        for number in range(3):
            answer = ask(peer, {"action": "tick"})
            assert (answer["type"], answer["data"]["tick"]) == ("tick_result", number)
        assert ask(peer, {"action": "get_state"})["data"]["tick"] == 3


def test_c4_other_keys_do_no_harm(client: TestClient, url: str) -> None:
    with client.websocket_connect(url) as peer:
        peer.receive_json()
        answer = ask(peer, {"action": "tick", "ticks": 5, "comment": None})
        assert answer.keys() == {"type", "data"}
        assert ask(peer, {"action": "get_state", "x": [1]})["data"]["tick"] == 1


@pytest.mark.parametrize("identity", [7, "seven", None, [1, {"a": "\u20ac"}], 0.5])
def test_c4_an_id_is_echoed(client: TestClient, url: str, identity: Any) -> None:
    with client.websocket_connect(url) as peer:
        peer.receive_json()
        for action in ("tick", "get_state", "dance"):
            assert ask(peer, {"action": action, "id": identity})["id"] == identity


@pytest.mark.parametrize("simulation_id", ["unknown", "00000000-0000-4000-8000-000000000000"])
def test_c4_an_unknown_simulation_is_accepted_and_closed(client: TestClient, simulation_id: str) -> None:
    url = f"/ws/simulations/{simulation_id}"
    with client.websocket_connect(url) as peer, pytest.raises(WebSocketDisconnect) as closed:
        peer.receive_json()
    assert (closed.value.code, closed.value.reason) == (4004, "Simulation not found")


@pytest.mark.parametrize(
    "text",
    [
        *("no JSON", "", "[", "null", "[]", '{"action": "dance"}', "{}"),
        *('{"action": "tick", "id": NaN}', '{"action": "tick", "id": 1e999}'),
    ],
)
def test_c4_a_wrong_message_is_answered_and_the_connection_goes_on(
    client: TestClient, url: str, text: str
) -> None:
    with client.websocket_connect(url) as peer:
        peer.receive_json()
        peer.send_text(text)
        answer = json.loads(peer.receive_text())
        assert answer["type"] == "error"
        assert answer["data"]["detail"]
        assert ask(peer, {"action": "tick"})["data"]["tick"] == 0
