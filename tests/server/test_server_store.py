"""Simulations that outlive the process."""

from __future__ import annotations

import asyncio
import copy
import json
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from full_scenario import FULL
from runs import live_metrics
from service import SLOW, SMALL, Service, make, serving

from paysim_gym import Orchestrator, load_scenario
from paysim_gym.server.problem_details import ServiceError
from paysim_gym.server.registry import Registry
from paysim_gym.server.saved_simulations import FolderStore
from paysim_gym.server.schemas import Status
from paysim_gym.server.settings import Settings
from paysim_gym.server.simulation import Simulation, SimulationSpec
from paysim_gym.simulate.metrics import RunMetrics

UNKNOWN = "00000000-0000-4000-8000-000000000000"
POOR = {"balance": 0, "credit_limit": 0}
"""Settings with which a bank's payments never settle."""


def snapshot(client: httpx2.Client) -> dict[str, Any]:
    """Return every response about every simulation."""
    listed = client.get("/api/simulations").json()["items"]
    seen = {}
    for entry in listed:
        url = f"/api/simulations/{entry['simulation_id']}"
        parts = [client.get(f"{url}/{part}").json() for part in ("state", "costs", "metrics")]
        seen[entry["simulation_id"]] = [entry, *parts]
    return seen


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_simulations_go_on_after_the_service_has_gone(tmp_path: Path, end: signal.Signals) -> None:
    store = ("--store", str(tmp_path / "store"))
    service = Service(*store, max_queue_depth=100)
    with service.client() as client:
        fresh, begun, over, named, deleted = (
            make(client),
            make(client, SMALL | {"num_days": 3}),
            make(client),
            make(client, "replayed_days", seed=2**64 - 1),
            make(client),
        )
        failed = make(client, SMALL | {"num_days": 90, "agents": [bank | POOR for bank in SMALL["agents"]]})
        assert client.post(f"/api/simulations/{failed}/run", json={"ticks": 1000}).status_code == 409
        client.delete(f"/api/simulations/{deleted}")
        for simulation_id, ticks in ((begun, 17), (over, 12), (named, 5)):
            client.post(f"/api/simulations/{simulation_id}/run", json={"ticks": ticks})
        client.post(f"/api/simulations/{begun}/tick")
        before = snapshot(client)
    assert list(before) == [fresh, begun, over, named, failed]
    assert [seen[0]["status"] for seen in before.values()] == [
        "created",
        "running",
        "completed",
        "running",
        "failed",
    ]
    assert service.stop(end) == -end
    with serving(*store) as service, service.client() as client:
        assert snapshot(client) == before
        direct = Orchestrator(SMALL | {"num_days": 3})
        for _ in range(18):
            direct.tick()
        while not direct.is_over:
            assert client.post(f"/api/simulations/{begun}/tick").json() == direct.tick()
        assert client.post(f"/api/simulations/{over}/tick").status_code == 409


@pytest.mark.parametrize("name", ["two_bank", "five_bank", "castro_two_period", "carried", "full"])
def test_metrics_are_those_of_a_run_that_nothing_has_interrupted(name: str, tmp_path: Path) -> None:
    made: dict[str, Any] = {"full": FULL, "carried": SMALL | {"end_of_day": "carry"}}
    scenario = load_scenario(copy.deepcopy(made.get(name, name))).model_copy(update={"num_days": 2})
    store = FolderStore(tmp_path)
    spec = SimulationSpec(simulation_id=UNKNOWN, name=name, created_at=datetime.now(UTC), scenario=scenario)
    simulation = Simulation(spec, 10_000)
    store.add(simulation)
    played = 0
    for ticks in (1, scenario.ticks_per_day - 1, 2, scenario.ticks_per_day):
        (simulation,) = store.load(10_000)
        if simulation.is_over:
            break
        played += len(simulation.play(ticks, 60))
        store.save(simulation)
        direct = live_metrics(scenario, max_ticks=played)
        assert simulation.metrics() == direct
        assert RunMetrics.model_validate_json(json.dumps(direct.to_dict())) == direct
    assert played > scenario.ticks_per_day


def test_without_a_store_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with serving() as service, service.client() as client:
        make(client)
        assert service.stop(signal.SIGINT) == 0
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    async def first() -> list[str]:
        registry = Registry(Settings(store=tmp_path))
        made = [await registry.create(load_scenario(SMALL), None) for _ in range(4)]
        for simulation_id in made:
            await registry.run(simulation_id, 5)
        await registry.close()
        return made

    sound, cut, damaged, other = asyncio.run(first())
    (tmp_path / f"{cut}.checkpoint.json").write_text("{", "utf-8")
    checkpoint = json.loads((tmp_path / f"{damaged}.checkpoint.json").read_text("utf-8"))
    state = checkpoint["state"]
    (tmp_path / f"{damaged}.checkpoint.json").write_text(
        json.dumps(checkpoint | {"state": state[:-8]}), "utf-8"
    )
    spec = json.loads((tmp_path / f"{other}.spec.json").read_text("utf-8"))
    spec["scenario"]["agents"][0]["balance"] += 1
    (tmp_path / f"{other}.spec.json").write_text(json.dumps(spec), "utf-8")
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    unfinished, unknown = (
        tmp_path / f".{sound}.checkpoint.json.17.tmp",
        tmp_path / f"{UNKNOWN}.checkpoint.json",
    )
    for file in (unfinished, unknown):
        file.write_text("partial", "utf-8")

    async def second() -> dict[str, tuple[Status, str | None]]:
        registry = Registry(Settings(store=tmp_path))
        await registry.open()
        seen = {entry.simulation_id: (entry.status, entry.error) for entry in registry.summaries(9)}
        with pytest.raises(ServiceError, match="could not be restored"):
            await registry.tick(damaged)
        await registry.tick(sound)
        await registry.close()
        return seen

    seen = asyncio.run(second())
    assert seen[sound] == (Status.RUNNING, None)
    assert cut not in seen
    assert seen[damaged][0] == seen[other][0] == Status.FAILED
    assert "damaged" in str(seen[damaged][1])
    assert "another scenario" in str(seen[other][1])
    assert (tmp_path / f"{cut}.checkpoint.json").read_text("utf-8") == "{"
    assert (tmp_path / "notes.txt").exists()
    assert not unfinished.exists()
    assert not unknown.exists()


def test_saved_simulations_of_earlier_versions_are_ignored_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for digit in "01":
        for name in ("origin", "progress"):
            (tmp_path / f"{digit * 32}.{name}.json").write_text("{}", "utf-8")
    for name in ("spec", "checkpoint"):
        (tmp_path / f"{'2' * 32}.{name}.json").write_text("{}", "utf-8")
    assert FolderStore(tmp_path).load(100) == []
    assert [record.getMessage() for record in caplog.records] == [
        "3 simulations saved by earlier versions are ignored: unsupported"
    ]
    assert len(list(tmp_path.iterdir())) == 6


def test_what_cannot_be_stored_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def play() -> None:
        registry = Registry(Settings(store=tmp_path))
        simulation_id = await registry.create(load_scenario(SMALL), None)
        monkeypatch.setattr(FolderStore, "save", full)
        with pytest.raises(ServiceError, match="could not be stored: No space left on device") as refused:
            await registry.tick(simulation_id)
        assert refused.value.status == 409
        assert registry.summary(simulation_id).status == Status.FAILED
        with pytest.raises(ServiceError) as refused:
            await registry.create(load_scenario(SMALL), None)
        assert refused.value.status == 503
        assert len(registry) == 1
        await registry.close()

    asyncio.run(play())


def test_a_run_that_is_cut_off_by_the_shutdown_is_answered_and_stored(tmp_path: Path) -> None:
    store = ("--store", str(tmp_path))
    service = Service(*store)
    answers: list[httpx2.Response] = []

    def run() -> None:
        with service.client() as own:
            answers.append(own.post(f"/api/simulations/{simulation_id}/run", json={"ticks": 10_000}))

    with service.client() as client:
        simulation_id = make(client, SLOW)
    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.5)
    begun = time.monotonic()
    service.stop()
    thread.join()
    assert time.monotonic() - begun < 5  # the run would be given thirty seconds
    result = answers[0].json()
    assert result["stopped_by"] == "shutdown"
    with serving(*store) as service, service.client() as client:
        assert client.get(f"/api/simulations/{simulation_id}").json()["tick"] == result["ticks_played"]
