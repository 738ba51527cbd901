"""The engine releases the GIL while it steps, and Ctrl-C interrupts."""

from __future__ import annotations

import contextlib
import functools
import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from paysim_gym import Orchestrator, _engine, load_scenario

ROWS = 2_000


@pytest.fixture
def fleet() -> _engine.Fleet:
    scenario = load_scenario("large_network").model_dump_json()
    fleet = _engine.Fleet(scenario, '{"learners": ["BANK_02"]}', ROWS, 1)
    fleet.reset(np.ones(ROWS, np.bool_), list(range(ROWS)))
    return fleet


@pytest.fixture
def beats() -> Iterator[list[float]]:
    """Counts in another thread, which runs only while this one releases the GIL."""
    grown: list[float] = []
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.is_set():
            grown.append(time.perf_counter())
            time.sleep(0.0001)

    thread = threading.Thread(target=beat)
    interval = sys.getswitchinterval()
    gc.disable()
    thread.start()
    sys.setswitchinterval(1e6)
    yield grown
    sys.setswitchinterval(interval)
    gc.enable()
    is_over.set()
    thread.join()


def has_beaten(beats: list[float], call: Callable[[], object]) -> bool:
    before = len(beats)
    call()
    return len(beats) > before


def test_python_goes_on_while_the_engine_steps(fleet: _engine.Fleet, beats: list[float]) -> None:
    actions = np.ones((ROWS, 1, 8), np.int64)
    # While the GIL is held, no other thread runs.
    assert not has_beaten(beats, lambda: sum(range(10_000_000)))
    # On a busy machine the other thread may not run during some calls, but during all is unlikely.
    end = time.monotonic() + 60
    while not has_beaten(beats, lambda: fleet.step(actions)):
        assert time.monotonic() < end, "no other thread ran while the engine stepped"


CALLS: dict[str, Callable[[_engine.Fleet], object]] = {
    "nvec": lambda fleet: fleet.nvec,
    "component_names": lambda fleet: fleet.component_names,
    "amount_scales": lambda fleet: fleet.amount_scales,
    "reward_scales": lambda fleet: fleet.reward_scales,
    "reset": lambda fleet: fleet.reset(np.ones(ROWS, np.bool_), [None] * ROWS),
    "step": lambda fleet: fleet.step(np.ones((ROWS, 1, 8), np.int64)),
    "step_alone": lambda fleet: fleet.step_alone(np.ones(8, np.int64)),
    "scripted_actions": lambda fleet: fleet.scripted_actions('{"type": "release_all"}'),
    "snapshots": lambda fleet: fleet.snapshots(0),
    "totals": lambda fleet: fleet.totals(),
    "save_state": lambda fleet: fleet.save_state(0),
    "restore_state": lambda fleet: fleet.restore_state(0, b""),
}
RUN_CALLS: dict[str, Callable[[_engine.Orchestrator], object]] = {
    "is_over": lambda run: run.is_over,
    "next_tick": lambda run: run.next_tick,
    "tick": lambda run: run.tick(),
    "get_state": lambda run: run.get_state(),
    "save_state": lambda run: run.save_state(),
    "restore_state": lambda run: run.restore_state(b""),
    "start_recording": lambda run: run.start_recording(),
    "take_events": lambda run: run.take_events(),
}


def refusals(work: Callable[[], object], calls: dict[str, Callable[[], object]]) -> dict[str, str]:
    """The errors of calls while another thread is in `work`, which releases the GIL."""
    found: dict[str, str] = {}
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.is_set():
            # The work is refused too if it starts during one of the calls.
            with contextlib.suppress(RuntimeError):
                work()

    thread = threading.Thread(target=repeat)
    thread.start()
    end = time.monotonic() + 60
    while len(found) < len(calls) and time.monotonic() < end:
        for name in calls.keys() - found.keys():
            try:
                calls[name]()
            except RuntimeError as error:
                found[name] = str(error)
            except ValueError:
                pass
    is_over.set()
    thread.join()
    return found


def test_a_second_thread_is_told_that_the_fleet_is_in_use(fleet: _engine.Fleet) -> None:
    methods = {name for name in dir(_engine.Fleet) if not name.startswith("_")}
    assert methods == CALLS.keys()
    actions = np.ones((ROWS, 1, 8), np.int64)
    found = refusals(
        lambda: fleet.step(actions), {name: functools.partial(call, fleet) for name, call in CALLS.items()}
    )
    message = (
        "this fleet is in use by another thread: give each thread its own, or let one thread at a time use it"
    )
    assert found == dict.fromkeys(CALLS, message)
    fleet.step(actions)


def test_a_second_thread_is_told_that_the_orchestrator_is_in_use() -> None:
    methods = {name for name in dir(_engine.Orchestrator) if not name.startswith("_")}
    assert methods == RUN_CALLS.keys()
    scenario = load_scenario("two_bank").model_dump(mode="json") | {"num_days": 50}
    for agent in scenario["agents"]:
        agent["arrival_config"]["rate_per_tick"] = 1_000.0
        agent["balance"] = 10**13
    run = Orchestrator(scenario)
    run.tick()
    engine = run._engine
    found = refusals(engine.tick, {name: functools.partial(call, engine) for name, call in RUN_CALLS.items()})
    message = (
        "this orchestrator is in use by another thread: give each thread its own, "
        "or let one thread at a time use it"
    )
    assert found == dict.fromkeys(RUN_CALLS, message)
    run.tick()


LOOPS = {
    "steps of a fleet": """
import gymnasium as gym, numpy as np, paysim_gym
env = gym.make_vec("PaySim/TwoBank-v1", num_envs=1024, num_threads=2)
env.reset(seed=0)
print(flush=True)
while True:
    env.step(np.ones((1024, 8), np.int64))
""",
    "steps of one environment": """
import gymnasium as gym, numpy as np, paysim_gym
env = gym.make("PaySim/TwoBank-v1")
env.reset(seed=0)
print(flush=True)
while True:
    if env.step(np.ones(8, np.int64))[2]:
        env.reset()
""",
    "an evaluation": """
import numpy as np
from paysim_gym import load_scenario
from paysim_gym.evaluation import evaluate
class ReleaseAll:
    def __init__(self, env):
        print(flush=True)
    def predict(self, observations, state, starts, deterministic):
        return np.ones((len(observations), 8), np.int64), state
scenario = load_scenario("two_bank").model_dump(mode="json") | {"num_days": 500}
evaluate(ReleaseAll, scenario, range(2_000))
""",
    "a simulation": """
from paysim_gym import Orchestrator
print(flush=True)
while True:
    day = Orchestrator("five_bank")
    while not day.is_over:
        day.tick()
""",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_an_interrupt_ends_a_long_run(loop: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOOPS[loop]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT
