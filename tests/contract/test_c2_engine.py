"""C2: the wrapper of the engine."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest
from contract.example import REFUSED, example

from paysim_gym import EpisodeOverError, Orchestrator, _engine, bundled_scenarios


def integers_only(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(integers_only, value.values()))
    if isinstance(value, list):
        return all(map(integers_only, value))
    return type(value) in (int, str, bool, type(None))


class BrokenEngine:
    """An engine whose calls fail with a given error."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def tick(self) -> None:
        raise self._error

    def get_state(self) -> None:
        raise self._error


def test_c2_1_a_refused_config_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="agents"):
        Orchestrator(REFUSED)


@pytest.mark.parametrize(
    "error", [TypeError("wrong"), OverflowError("wrong"), _engine.PanicException("wrong")]
)
def test_c2_1_an_unexpected_error_is_a_runtime_error(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(_engine, "Orchestrator", fail)
    with pytest.raises(RuntimeError, match="wrong"):
        Orchestrator(example())


@pytest.mark.parametrize("source", [example(), REFUSED, example() | {"initial_transactions": None}])
def test_c2_1_the_callers_dict_is_not_changed(source: dict[str, Any]) -> None:
    before = copy.deepcopy(source)
    try:
        Orchestrator(source).tick()
    except ValueError:
        assert source is REFUSED
    assert pickle.dumps(source) == pickle.dumps(before)


def test_c2_2_a_tick_has_its_numbers_and_every_bank() -> None:
    orchestrator = Orchestrator(example())
    for number in range(10):
        before = {agent["id"]: agent["balance"] for agent in orchestrator.get_state()["agents"]}
        tick = orchestrator.tick()
        assert tick["tick"] == number
        assert {"arrivals", "settlements", "dropped", "queue_depth"} <= tick.keys()
        state = orchestrator.get_state()
        assert isinstance(state["agents"], list)
        assert [(agent["id"], agent["balance"]) for agent in tick["agents"]] == [
            (agent["id"], agent["balance"]) for agent in state["agents"]
        ]
        for agent in tick["agents"]:
            assert agent["balance"] == before[agent["id"]] + agent["received"] - agent["sent"]
        assert sum(agent["sent"] for agent in tick["agents"]) == tick["settled_value"]


def test_c2_2_the_state_is_read_fresh() -> None:
    orchestrator = Orchestrator(example())
    first = orchestrator.get_state()
    first["agents"].clear()
    assert len(orchestrator.get_state()["agents"]) == 2
    before = orchestrator.get_state()
    for _ in range(5):
        orchestrator.tick()
    assert orchestrator.get_state()["agents"] != before["agents"]


@pytest.mark.parametrize("record", [False, True])
@pytest.mark.parametrize("name", bundled_scenarios())
def test_c2_2_a_tick_is_the_same_with_and_without_events(name: str, record: bool) -> None:
    plain, recording = Orchestrator(name), Orchestrator(name)
    if record:
        recording.start_recording()
    for _ in range(60):
        if plain.is_over:
            break
        assert plain.tick() == recording.tick()
    assert bool(recording.events()) is record
    assert plain.events() == []


@pytest.mark.parametrize(
    "error", [OverflowError("cost"), ValueError("wrong"), KeyError("x"), _engine.PanicException("panic")]
)
def test_c2_2_every_error_of_a_tick_is_a_runtime_error(error: BaseException) -> None:
    orchestrator = Orchestrator(example())
    orchestrator._engine = BrokenEngine(error)  # type: ignore[assignment]
    with pytest.raises(RuntimeError):
        orchestrator.tick()


def test_c2_2_the_end_is_a_runtime_error() -> None:
    orchestrator = Orchestrator(example() | {"ticks_per_day": 1})
    orchestrator.tick()
    with pytest.raises(RuntimeError) as over:
        orchestrator.tick()
    assert isinstance(over.value, EpisodeOverError)


def test_c2_3_equal_config_and_seed_give_equal_results_over_50_ticks() -> None:
    first, second = Orchestrator(example()), Orchestrator(example())
    other = Orchestrator(example() | {"seed": 54321})
    ticks = [[run.tick() for _ in range(50)] for run in (first, second, other)]
    assert ticks[0] == ticks[1] != ticks[2]
    assert first.get_state() == second.get_state()


def test_c2_3_money_crosses_as_int() -> None:
    orchestrator = Orchestrator(example())
    for _ in range(50):
        assert integers_only(orchestrator.tick())
        assert integers_only(orchestrator.get_state())


def test_c2_4_calls_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="paysim_gym")
    orchestrator = Orchestrator(example())
    (start,) = [record for record in caplog.records if record.levelno == logging.INFO]
    assert start.name == "paysim_gym.orchestrator"
    for call in ("tick", "get_state", "save_state"):
        caplog.clear()
        getattr(orchestrator, call)()
        (record,) = caplog.records
        assert (record.levelno, record.getMessage()) == (logging.DEBUG, f"engine: {call}")


def test_c2_4_rust_log_shows_the_engines_messages() -> None:
    code = """
import gymnasium, paysim_gym
run = paysim_gym.Orchestrator("two_bank")
run.tick()
run.restore_state(run.save_state())
gymnasium.make("PaySim/Bank-v1",
               scenario="two_bank")
"""
    shown = {}
    for level in ("debug", None):
        environment = {name: value for name, value in os.environ.items() if name != "RUST_LOG"}
        environment |= {"RUST_LOG": level} if level else {}
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stderr
        assert run.stdout == ""
        shown[level] = run.stderr
    for message in (
        "system of 2 banks",
        "tick 0:",
        "state of tick 1 saved",
        "state of tick 1 restored",
        "fleet of",
    ):
        assert message in shown["debug"]
        assert "paysim_engine" in shown["debug"]
    assert shown[None] == ""
