"""The REST service over the network."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from service import SLOW, SMALL, Service, make, post_raw, serving

from paysim_gym import Orchestrator, load_scenario
from paysim_gym._engine import COST_COMPONENTS


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(max_run_seconds=1) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx2.Client]:
    with service.client() as client:
        yield client


def run(client: httpx2.Client, simulation_id: str, ticks: object) -> httpx2.Response:
    return client.post(f"/api/simulations/{simulation_id}/run", json={"ticks": ticks})


def test_a_day_over_rest_is_a_day_of_the_orchestrator(client: httpx2.Client) -> None:
    direct = Orchestrator(load_scenario("five_bank").model_copy(update={"seed": 7}))
    simulation_id = make(client, "five_bank", seed=7)
    url = f"/api/simulations/{simulation_id}"
    assert client.get(url).json()["status"] == "created"
    while not direct.is_over:
        assert client.post(f"{url}/tick").json() == direct.tick()
        assert client.get(f"{url}/state").json() == direct.get_state()
    assert client.get(url).json()["status"] == "completed"
    refused = client.post(f"{url}/tick")
    assert (refused.status_code, refused.json()["detail"][:27]) == (409, "the simulation is completed")
    assert run(client, simulation_id, 1).status_code == 409
    assert client.get(f"{url}/state").json() == direct.get_state()


def test_a_run_is_its_ticks(client: httpx2.Client) -> None:
    one, many = make(client), make(client)
    ticks = [client.post(f"/api/simulations/{one}/tick").json() for _ in range(7)]
    result = run(client, many, 7).json()
    assert (result["ticks_played"], result["stopped_by"], result["status"]) == (7, "ticks", "running")
    assert result["last_tick"] == ticks[-1]
    for name in ("arrivals", "settlements", "dropped", "settled_value"):
        assert result[name] == sum(tick[name] for tick in ticks)
    for name in COST_COMPONENTS:
        assert result["costs"][name] == sum(tick["costs"][name] for tick in ticks)
    for part in ("state", "costs", "metrics"):
        of_one, of_many = (client.get(f"/api/simulations/{id_}/{part}").json() for id_ in (one, many))
        assert of_one == of_many
    rest = run(client, many, 100).json()
    assert (rest["ticks_played"], rest["stopped_by"], rest["status"]) == (5, "end", "completed")


def test_costs_are_those_of_the_state(client: httpx2.Client) -> None:
    simulation_id = make(client)
    run(client, simulation_id, 12)
    costs = client.get(f"/api/simulations/{simulation_id}/costs").json()
    banks = client.get(f"/api/simulations/{simulation_id}/state").json()["agents"]
    assert [bank["components"] for bank in costs["agents"]] == [bank["costs"] for bank in banks]
    assert (
        costs["total"]
        == sum(costs["components"].values())
        == sum(bank["total"] for bank in costs["agents"])
        > 0
    )


def test_metrics_are_those_of_the_events(client: httpx2.Client) -> None:
    simulation_id = make(client)
    direct = Orchestrator(SMALL, record_events=True)
    ticks, balances = [], []
    while not direct.is_over:
        ticks.append(direct.tick())
        balances.append([bank["balance"] for bank in direct.get_state()["agents"]])
    run(client, simulation_id, 12)
    metrics = client.get(f"/api/simulations/{simulation_id}/metrics").json()
    assert metrics["max_queue_depth"] == max(tick["queue_depth"] for tick in ticks) > 0
    for name in ("arrivals", "settlements", "dropped"):
        assert metrics[f"total_{name}"] == sum(tick[name] for tick in ticks)
    assert metrics["settled_value"] == sum(tick["settled_value"] for tick in ticks)
    events = direct.events()
    arrived = {event["payment"]: tick_of(events, event) for event in events if event["type"] == "arrival"}
    settled = [event for event in events if event["type"] == "settlement"]
    for index, (name, bank) in enumerate(metrics["agent_metrics"].items()):
        history = [row[index] for row in balances]
        sent = [event for event in settled if event["sender"] == name]
        assert bank["settlements"] == len(sent)
        assert bank["total_sent"] == sum(event["amount"] for event in sent)
        assert bank["total_received"] == sum(e["amount"] for e in settled if e["receiver"] == name)
        assert (bank["min_balance"], bank["avg_balance"]) == (min(history), sum(history) / len(history))
        assert bank["liquidity_used"] == max(0, *(15_000_00 - balance for balance in history))
        assert bank["turnover"] == bank["total_sent"] / bank["liquidity_used"]
        assert bank["costs"] == direct.get_state()["agents"][index]["costs"]
    waited = sum((tick_of(events, event) - arrived[event["payment"]]) * event["amount"] for event in settled)
    waiting = [payment for bank in direct.get_state()["agents"] for payment in bank["central_queue"]]
    waited += sum((12 - payment["arrival_tick"]) * payment["amount"] for payment in waiting)
    assert metrics["value_weighted_delay"] == pytest.approx(waited / metrics["arrived_value"])
    by_value = metrics["settled_value"] / metrics["arrived_value"]
    assert metrics["value_settlement_rate"] == pytest.approx(by_value)
    assert metrics["settlement_rate"] == metrics["total_settlements"] / metrics["total_arrivals"] < 1
    delays = [tick_of(events, event) - arrived[event["payment"]] for event in settled]
    assert metrics["average_delay"] == sum(delays) / len(delays) > 0


def tick_of(events: list[dict[str, Any]], event: dict[str, Any]) -> int:
    """Return the tick of an event from the `tick` event before it."""
    position = next(index for index, other in enumerate(events) if other is event)
    return int(next(other["tick"] for other in reversed(events[:position]) if other["type"] == "tick"))


@pytest.mark.parametrize("end_of_day", ["borrow", "carry"])
def test_balances_are_those_before_a_day_closes(client: httpx2.Client, end_of_day: str) -> None:
    payment = {"sender": "A", "receiver": "B", "amount": 100, "arrival_tick": 1, "deadline_tick": 1}
    scenario = {
        "ticks_per_day": 2,
        "agents": [{"id": "A", "balance": 40}, {"id": "B", "balance": 0, "liquidity_pool": 30}],
        "initial_transactions": [payment],
        "end_of_day": end_of_day,
    }
    simulation_id = make(client, scenario)
    run(client, simulation_id, 2)
    metrics = client.get(f"/api/simulations/{simulation_id}/metrics").json()
    banks = metrics["agent_metrics"].values()
    assert [(bank["avg_balance"], bank["min_balance"]) for bank in banks] == [(40, 40), (30, 30)]
    assert [bank["total_received"] for bank in banks] == [0, 100 if end_of_day == "borrow" else 0]
    state = client.get(f"/api/simulations/{simulation_id}/state").json()["agents"]
    assert [bank["balance"] for bank in state] == ([0, 100] if end_of_day == "borrow" else [40, 0])


def test_metrics_of_a_simulation_that_has_not_begun(client: httpx2.Client) -> None:
    metrics = client.get(f"/api/simulations/{make(client)}/metrics").json()
    assert (metrics["total_ticks"], metrics["settlement_rate"], metrics["average_delay"]) == (0, 0.0, 0.0)
    assert (metrics["value_settlement_rate"], metrics["value_weighted_delay"]) == (1.0, 0.0)
    banks = metrics["agent_metrics"].values()
    assert [(bank["avg_balance"], bank["min_balance"]) for bank in banks] == [(None, None)] * 2


@pytest.mark.parametrize("simulation_id", ["0" * 32, "x", "..%2f..%2fetc", "%00", "*", "1" * 5_000])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/tick"),
        ("POST", "/run"),
        ("GET", "/state"),
        ("GET", "/costs"),
        ("GET", "/metrics"),
    ],
)
def test_an_unknown_id_is_not_found(
    client: httpx2.Client, simulation_id: str, method: str, path: str
) -> None:
    body = {"ticks": 1} if path == "/run" else None
    answer = client.request(method, f"/api/simulations/{simulation_id}{path}", json=body)
    assert answer.status_code == 404


def test_a_deleted_simulation_is_gone(client: httpx2.Client) -> None:
    simulation_id = make(client)
    assert client.delete(f"/api/simulations/{simulation_id}").status_code == 200
    assert client.delete(f"/api/simulations/{simulation_id}").status_code == 404
    assert client.post(f"/api/simulations/{simulation_id}/tick").status_code == 404
    listed = client.get("/api/simulations", params={"limit": 200}).json()["items"]
    assert simulation_id not in [entry["simulation_id"] for entry in listed]


def test_ids_are_long_and_random(client: httpx2.Client) -> None:
    ids = {make(client) for _ in range(5)}
    assert len(ids) == 5
    assert all(uuid.UUID(simulation_id).version == 4 for simulation_id in ids)


def test_lists_come_in_pages(client: httpx2.Client) -> None:
    made = [make(client) for _ in range(3)]
    everything = client.get("/api/simulations", params={"limit": 200}).json()
    ids = [entry["simulation_id"] for entry in everything["items"]]
    assert ids[-3:] == made
    assert everything["total"] == len(ids)
    page = client.get("/api/simulations", params={"limit": 2, "offset": len(ids) - 3}).json()
    assert [entry["simulation_id"] for entry in page["items"]] == made[:2]
    assert client.get("/api/simulations", params={"offset": 10**9}).json()["items"] == []
    for wrong in ({"limit": 0}, {"limit": 201}, {"offset": -1}, {"limit": "x"}):
        refused = client.get("/api/simulations", params=wrong)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["path"] == next(iter(wrong))


def test_the_number_of_ticks_must_be_a_valid_integer(client: httpx2.Client) -> None:
    simulation_id = make(client)
    for ticks in (0, -1, 1.5, "1", None, True, 2**80):
        assert run(client, simulation_id, ticks).status_code == 422
    detail = run(client, simulation_id, 10_001).json()["detail"]
    assert detail == "ticks = 10001: must be at most 10000 for this service"
    url = f"/api/simulations/{simulation_id}/run"
    bodies: list[Any] = [{}, [], None, {"ticks": 1, "more": 1}]
    for body in bodies:
        assert client.post(url, json=body).status_code == 422
    for raw in ("{", b"\xff", "[" * 100_000, "9" * 10_000, '{"ticks": NaN}', ""):
        assert post_raw(client, url, raw).status_code in (400, 422)
    assert post_raw(client, url, {"ticks": 1}, "text/plain").status_code == 422
    assert client.get(f"/api/simulations/{simulation_id}").json()["tick"] == 0


def test_ticks_of_one_simulation_are_neither_lost_nor_doubled(
    service: Service, client: httpx2.Client
) -> None:
    scenario = SMALL | {"num_days": 20}
    simulation_id = make(client, scenario)
    url = f"/api/simulations/{simulation_id}"

    def play(_: int) -> list[int]:
        with service.client() as own:
            return [own.post(f"{url}/tick").json()["tick"] for _ in range(30)]

    with ThreadPoolExecutor(8) as pool:
        ticks = [tick for part in pool.map(play, range(8)) for tick in part]
    assert sorted(ticks) == list(range(240))
    direct = Orchestrator(scenario)
    for _ in range(240):
        direct.tick()
    assert client.get(f"{url}/state").json() == direct.get_state()


def test_a_long_run_does_not_block_others(service: Service, client: httpx2.Client) -> None:
    long = make(client, SLOW)
    started = threading.Thread(target=run, args=(client, long, 10_000))
    started.start()
    seen = set()
    with service.client() as other:
        while started.is_alive():
            seen.add(other.get(f"/api/simulations/{long}/state").json()["tick"])
        make(other)
    last = client.get(f"/api/simulations/{long}").json()["tick"]
    assert any(0 < tick < last for tick in seen)


def test_a_run_ends_when_its_time_is_up_or_its_simulation_is_deleted(
    service: Service, client: httpx2.Client
) -> None:
    simulation_id = make(client, SLOW)
    result = run(client, simulation_id, 10_000).json()
    assert (result["stopped_by"], result["status"]) == ("time", "running")
    assert 0 < result["ticks_played"] < 10_000
    assert client.get(f"/api/simulations/{simulation_id}").json()["tick"] == result["ticks_played"]
    answers: list[httpx2.Response] = []
    started = threading.Thread(target=lambda: answers.append(run(client, simulation_id, 10_000)))
    started.start()
    with service.client() as other:
        while other.get(f"/api/simulations/{simulation_id}").json()["tick"] == result["ticks_played"]:
            pass
        assert other.delete(f"/api/simulations/{simulation_id}").status_code == 200
    started.join()
    assert answers[0].json()["stopped_by"] == "deleted"


def test_the_description_has_examples_and_one_form_of_refusal(client: httpx2.Client) -> None:
    document = client.get("/openapi.json").json()
    body = document["paths"]["/api/simulations"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        assert client.post("/api/simulations", json=example["value"]).status_code == 201
    assert document["paths"]["/api/simulations/{simulation_id}/run"]["post"]["requestBody"]
    assert "HTTPValidationError" not in str(document)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        for status, answer in operation["responses"].items():
            if status >= "400":
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}


def test_what_is_not_there_is_refused_in_the_same_form(client: httpx2.Client) -> None:
    assert client.get("/nothing").json() == {"detail": "Not Found"}
    for path, methods in (
        ("/api/simulations", "GET, POST"),
        ("/api/simulations/x", "DELETE, GET"),
        ("/api/scenarios/validate", "POST"),
        ("/health", "GET"),
    ):
        wrong = client.put(path, json={})
        assert (wrong.status_code, wrong.json()["detail"]) == (405, "Method Not Allowed")
        assert wrong.headers["allow"] == methods


def test_every_request_is_a_line_of_the_log_with_its_simulation(
    service: Service, client: httpx2.Client
) -> None:
    simulation_id = make(client)
    client.post(f"/api/simulations/{simulation_id}/tick")
    client.get(f"/api/simulations/{simulation_id}/state")
    client.delete(f"/api/simulations/{simulation_id}")
    wait_for(lambda: len([line for line in service.log if line.get("simulation_id") == simulation_id]) == 5)
    lines = [line for line in service.log if line.get("simulation_id") == simulation_id]
    assert sorted(line["message"] for line in lines) == [
        *("Simulation created", "Simulation deleted", "request", "request", "request")
    ]
    (created,) = [line for line in lines if line["message"] == "Simulation created"]
    assert (created["ticks_per_day"], created["num_agents"], created["seed"]) == (12, 2, 1)
    tick = next(line for line in lines if line.get("path", "").endswith("/tick"))
    assert (tick["method"], tick["status"], tick["level"]) == ("POST", 200, "info")


def wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)
