"""The engine releases the GIL while it steps, and Ctrl-C interrupts."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from paysim_gym import _engine, load_scenario

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
