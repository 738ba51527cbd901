"""The WebSocket: its contract, and invalid messages."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import pytest
from service import SMALL, Service, make, serving
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from paysim_gym import Orchestrator


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(max_message_bytes=10_000) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx2.Client]:
    with service.client() as client:
        yield client
        for entry in client.get("/api/simulations").json()["items"]:
            client.delete(f"/api/simulations/{entry['simulation_id']}")


@contextmanager
def open_socket(service: Service, simulation_id: str) -> Iterator[ClientConnection]:
    """A connection after its first message, the state."""
    with connect(f"{service.websocket_url}/{simulation_id}", proxy=None, max_size=None) as peer:
        assert json.loads(peer.recv(timeout=30))["type"] == "state"
        yield peer


def ask(peer: ClientConnection, message: Any) -> dict[str, Any]:
    peer.send(message if isinstance(message, str | bytes) else json.dumps(message))
    answer: dict[str, Any] = json.loads(peer.recv(timeout=30))
    return answer


def test_a_day_over_a_websocket_is_a_day_of_the_orchestrator(service: Service, client: httpx2.Client) -> None:
    direct = Orchestrator(SMALL)
    with open_socket(service, make(client)) as peer:
        assert ask(peer, {"action": "get_state"}) == {"type": "state", "data": direct.get_state()}
        while not direct.is_over:
            assert ask(peer, {"action": "tick"}) == {"type": "tick_result", "data": direct.tick()}
            assert ask(peer, {"action": "get_state"}) == {"type": "state", "data": direct.get_state()}
        over = ask(peer, {"action": "tick"})
        assert (over["type"], over["data"]["status"]) == ("error", 409)
        assert ask(peer, {"action": "get_state"})["data"] == direct.get_state()


@pytest.mark.parametrize("simulation_id", ["0" * 32, "x", "%2e%2e", "%00"])
def test_an_unknown_id_closes_with_4004(service: Service, simulation_id: str) -> None:
    with pytest.raises(ConnectionClosed) as closed, open_socket(service, simulation_id):
        pass
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4004, "Simulation not found")


def test_a_deleted_simulation_closes_with_4004(service: Service, client: httpx2.Client) -> None:
    simulation_id = make(client)
    with open_socket(service, simulation_id) as peer:
        ask(peer, {"action": "tick"})
        client.delete(f"/api/simulations/{simulation_id}")
        with pytest.raises(ConnectionClosed) as closed:
            ask(peer, {"action": "tick"})
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4004


def test_both_ends_see_one_simulation(service: Service, client: httpx2.Client) -> None:
    simulation_id = make(client)
    with open_socket(service, simulation_id) as one, open_socket(service, simulation_id) as other:
        ticks = [ask(peer, {"action": "tick"})["data"]["tick"] for peer in (one, other, one)]
        ticks.append(client.post(f"/api/simulations/{simulation_id}/tick").json()["tick"])
        assert ticks == [0, 1, 2, 3]


WRONG: list[tuple[str | bytes, int]] = [
    ("", 400),
    ("{", 400),
    ("tick", 400),
    (b'{"action": "tick"}', 400),
    (b"\xff\xfe", 400),
    ("[" * 9_000, 400),
    ("9" * 9_000, 400),
    ("null", 422),
    ('"tick"', 422),
    ("[]", 422),
    ('["action", "tick"]', 422),
    ("{}", 422),
    ('{"action": null}', 422),
    ('{"action": ["tick"]}', 422),
    ('{"action": {"tick": 1}}', 422),
    ('{"action": "TICK"}', 422),
    ('{"action": "delete"}', 422),
    ('{"action": "__class__"}', 422),
    ('{"action": "\\ud800"}', 422),
    ('{"\\ud800": "\\u0000"}', 422),
    ('{"action": "delete", "id": 5}', 422),
    ('{"action": "tick", "id": NaN}', 400),
    ("x" * 10_001, 413),
    ("\u20ac" * 5_000, 413),
    ("x" * 500_000, 413),
]


def test_a_wrong_message_is_answered_and_changes_nothing(service: Service, client: httpx2.Client) -> None:
    simulation_id = make(client)
    with open_socket(service, simulation_id) as peer:
        for message, status in WRONG:
            answer = ask(peer, message)
            assert (answer["type"], answer["data"]["status"]) == ("error", status), message[:40]
        assert ask(peer, {"action": "tick"})["data"]["tick"] == 0


def test_no_flood_of_messages_kills_the_service(service: Service, client: httpx2.Client) -> None:
    """Random messages between valid ones, over connections that break off."""
    made = [make(client, SMALL | {"num_days": 50}) for _ in range(4)]
    played = dict.fromkeys(made, 0)
    lock = threading.Lock()

    def flood(seed: int) -> None:
        generator = random.Random(seed)
        for _ in range(6):
            simulation_id = generator.choice(made)
            with open_socket(service, simulation_id) as peer:
                for _ in range(15):
                    if generator.random() < 0.5:
                        answer = ask(peer, {"action": generator.choice(["tick", "get_state"])})
                        with lock:
                            played[simulation_id] += answer["type"] == "tick_result"
                    else:
                        assert ask(peer, noise(generator))["type"] == "error"

    threads = [threading.Thread(target=flood, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    listed = client.get("/api/simulations").json()["items"]
    assert {entry["simulation_id"]: entry["tick"] for entry in listed} == played


def noise(generator: random.Random) -> str | bytes:
    """Return an invalid message: truncated, doubled or random."""
    message = json.dumps({"action": generator.choice(["tick", "get_state", "run", 5, None, {}, [[]]])})
    match generator.randrange(4):
        case 0:
            return message[: generator.randrange(len(message))]
        case 1:
            return message * 2
        case 2:
            return generator.randbytes(generator.randrange(2_000))
        case _:
            return "".join(chr(generator.randrange(1, 0xD800)) for _ in range(generator.randrange(1, 20_000)))


def test_a_connection_that_breaks_off_in_a_tick_leaves_a_sound_simulation(
    service: Service, client: httpx2.Client
) -> None:
    simulation_id = make(client, SMALL | {"num_days": 50})
    for _ in range(30):
        with open_socket(service, simulation_id) as peer:
            peer.send('{"action": "tick"}')
            peer.socket.shutdown(socket.SHUT_RDWR)  # without a close frame
    with open_socket(service, simulation_id) as peer:
        tick = ask(peer, {"action": "tick"})["data"]["tick"]
        assert tick <= 30
        direct = Orchestrator(SMALL | {"num_days": 50})
        for _ in range(tick + 1):
            direct.tick()
        assert ask(peer, {"action": "get_state"})["data"] == direct.get_state()
    assert client.get("/health").json()["simulations"] == 1


def test_a_far_too_large_message_ends_the_connection_only(service: Service, client: httpx2.Client) -> None:
    simulation_id = make(client)
    with open_socket(service, simulation_id) as peer, pytest.raises(ConnectionClosed) as closed:
        ask(peer, "x" * 2**21)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    with open_socket(service, simulation_id) as peer:
        assert ask(peer, {"action": "tick"})["type"] == "tick_result"


def test_frames_that_break_the_protocol_end_the_connection_only(
    service: Service, client: httpx2.Client
) -> None:
    simulation_id = make(client)
    generator = random.Random(0)
    for _ in range(20):
        with open_socket(service, simulation_id) as peer:
            peer.socket.sendall(generator.randbytes(200))
            with suppress(OSError):  # the service may have hung up by then
                peer.socket.shutdown(socket.SHUT_RDWR)
    assert client.get(f"/api/simulations/{simulation_id}").json()["status"] in ("created", "running")
    assert client.post(f"/api/simulations/{simulation_id}/tick").status_code == 200
