"""The registry without the network: locks and threads."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from service import SLOW, SMALL

from paysim_gym import Orchestrator, load_scenario
from paysim_gym.server.problem_details import ServiceError
from paysim_gym.server.registry import Registry
from paysim_gym.server.settings import Settings


def test_an_action_outlives_its_client() -> None:
    """A lock released before its thread ends would admit a second thread."""

    async def play() -> None:
        registry = Registry(Settings())
        simulation_id = await registry.create(load_scenario("large_network"), None)
        for _ in range(20):
            impatient = asyncio.create_task(registry.run(simulation_id, 1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            impatient.cancel()
            await registry.tick(simulation_id)
        assert registry.summary(simulation_id).tick == 40
        await registry.close()

    asyncio.run(play())


def test_a_tick_leaves_other_threads_the_interpreter() -> None:
    """This thread is never blocked for as long as a tick of the other."""
    crowd = {
        "ticks_per_day": 2,
        "agents": [
            {"id": f"BANK_{index}", "balance": 10**15, "arrival_config": ARRIVALS} for index in range(1000)
        ],
    }
    orchestrator = Orchestrator(crowd)
    spent: list[float] = []

    def tick() -> None:
        begun = time.perf_counter()
        orchestrator.tick()
        spent.append(time.perf_counter() - begun)

    thread = threading.Thread(target=tick)
    thread.start()
    seen = [time.perf_counter()]
    while thread.is_alive():
        seen.append(time.perf_counter())
    seen.append(time.perf_counter())
    assert max(later - earlier for earlier, later in pairwise(seen)) < spent[0] / 2


ARRIVALS = {
    "rate_per_tick": 1000,
    "distribution_type": "lognormal",
    "amount_mean": 10_000,
    "amount_std_dev": 20_000,
}


def test_simulations_play_at_the_same_time_and_the_event_loop_goes_on() -> None:
    """Two ticks that wait for each other would deadlock on one thread."""
    both = threading.Barrier(2, timeout=20)

    class WaitingOrchestrator(Orchestrator):
        def tick(self) -> dict[str, Any]:
            both.wait()
            return super().tick()

    async def play() -> None:
        registry = Registry(Settings(threads=2))
        made = [await registry.create(load_scenario(SMALL), None) for _ in range(2)]
        ticks = asyncio.gather(*(registry.tick(simulation_id) for simulation_id in made))
        assert [result["tick"] for result in await ticks] == [0, 0]
        await registry.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paysim_gym.server.simulation.Orchestrator", WaitingOrchestrator)
        asyncio.run(play())


def test_two_actions_never_meet_in_one_simulation() -> None:
    """Ticks, runs, reads and a deletion, all requested at once."""
    inside = threading.Lock()

    class ExclusiveOrchestrator(Orchestrator):
        def tick(self) -> dict[str, Any]:
            is_alone = inside.acquire(blocking=False)
            assert is_alone, "two threads are in one engine"
            time.sleep(0.001)
            result = super().tick()
            inside.release()
            return result

        def get_state(self) -> dict[str, Any]:
            assert not inside.locked(), "two threads are in one engine"
            return super().get_state()

    async def play() -> list[Any]:
        registry = Registry(Settings(threads=8))
        simulation_id = await registry.create(load_scenario(SMALL | {"num_days": 20}), None)
        actions: list[Any] = []
        for _ in range(20):
            actions += [registry.tick(simulation_id), registry.run(simulation_id, 4)]
            actions += [registry.read(simulation_id, lambda simulation: simulation.state()["tick"])]
        done = await asyncio.gather(*actions)
        assert registry.summary(simulation_id).status == "running"
        late = asyncio.gather(*(registry.tick(simulation_id) for _ in range(5)), return_exceptions=True)
        await asyncio.sleep(0)
        await registry.delete(simulation_id)
        failures = [result for result in await late if not isinstance(result, dict)]
        assert all(isinstance(error, ServiceError) and error.status == 404 for error in failures)
        with pytest.raises(ServiceError, match="Simulation not found"):
            await registry.tick(simulation_id)
        await registry.close()
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paysim_gym.server.simulation.Orchestrator", ExclusiveOrchestrator)
        patch.setattr("paysim_gym.server.registry._SLICE_SECONDS", 0.0)  # every tick of a run is a slice
        done = asyncio.run(play())
    played: list[int] = []
    for result in done:
        if isinstance(result, dict):
            played.append(result["tick"])
        elif not isinstance(result, int):
            last = result.last_tick.tick
            played += range(last - 3, last + 1)  # a run's ticks follow one another
    assert sorted(played) == list(range(100))


def test_a_closed_registry_has_finished_what_was_asked() -> None:
    async def play() -> None:
        registry = Registry(Settings())
        simulation_id = await registry.create(load_scenario(SLOW), None)
        run = asyncio.create_task(registry.run(simulation_id, 10_000))
        await asyncio.sleep(0.2)
        begun = time.monotonic()
        await registry.close()
        assert time.monotonic() - begun < 2
        assert (await run).stopped_by == "shutdown"

    asyncio.run(play())


def test_ticks_do_not_wait_for_a_body_that_takes_long_to_read() -> None:
    async def play() -> None:
        registry = Registry(Settings(threads=1))
        simulation_id = await registry.create(load_scenario(SMALL), None)
        is_played = threading.Event()
        body = asyncio.create_task(registry.run_in_reader(is_played.wait, 20))
        await asyncio.sleep(0)
        await registry.tick(simulation_id)
        assert not body.done()
        is_played.set()
        assert await body
        await registry.close()

    asyncio.run(play())


def test_a_registry_without_expiry_does_not_poll() -> None:
    async def watch() -> None:
        registry = Registry(Settings(idle_seconds=0))
        await asyncio.wait_for(registry.expire_forever(), 5)
        await registry.close()

    asyncio.run(watch())
