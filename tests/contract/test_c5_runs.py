"""C5: runs, their output modes and their store."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from contract.example import example

from paysim_gym import Orchestrator, load_scenario
from paysim_gym.simulate.metrics import RunMetrics
from paysim_gym.simulate.output import OUTPUTS, OutputStrategy, TextSink
from paysim_gym.simulate.persistence import PersistenceManager, ReplayedOrchestrator
from paysim_gym.simulate.records import RunnerConfig
from paysim_gym.simulate.runner import SimulationRunner
from paysim_gym.simulate.store import Store
from paysim_gym.simulate.store_schema import StoreError

TWO_DAYS = example() | {"ticks_per_day": 10, "num_days": 2}


class HookLog(OutputStrategy):
    """Records the calls of the hooks."""

    calls: ClassVar[list[tuple[Any, ...]]] = []

    def on_simulation_start(self, config: Any) -> None:
        self.calls.append(("start", config))

    def on_tick_start(self, tick: Any) -> None:
        self.calls.append(("tick", tick))

    def on_tick_complete(self, result: Any, orchestrator: Any) -> None:
        self.calls.append(("played", result.tick, result.num_settlements, orchestrator.get_state()))

    def on_day_complete(self, day: Any, day_stats: Any, orchestrator: Any) -> None:
        self.calls.append(("day", day, day_stats, orchestrator.get_state()))

    def on_simulation_complete(self, final_stats: Any) -> None:
        self.calls.append(("end", final_stats))


def config(**changes: Any) -> RunnerConfig:
    return RunnerConfig(**{"total_ticks": 20, "ticks_per_day": 10, "num_days": 2, **changes})


def silent(mode: str = "normal") -> OutputStrategy:
    return OUTPUTS[mode](TextSink(io.StringIO()))


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    monkeypatch.setattr(HookLog, "calls", [])
    return HookLog.calls


def run_stored(store: Store, output: OutputStrategy, *, full_replay: bool = True) -> dict[str, Any]:
    """Play and store a run as the contract writes it."""
    persistence = PersistenceManager(store, "sim-1", full_replay)
    settings = config(persist=True, full_replay=full_replay)
    final = SimulationRunner(Orchestrator(TWO_DAYS), settings, output, persistence).run()
    persistence.persist_final_metadata("example.yaml", TWO_DAYS)
    return final


def test_c5_a_run_returns_its_final_statistics() -> None:
    final = SimulationRunner(Orchestrator(TWO_DAYS), config(), silent(), None).run()
    assert isinstance(final, dict)
    direct = Orchestrator(TWO_DAYS)
    ticks = [direct.tick() for _ in range(20)]
    for total, name in (
        ("total_arrivals", "arrivals"), ("total_settlements", "settlements"), ("total_dropped", "dropped")
    ):  # fmt: skip
        assert final[total] == sum(tick[name] for tick in ticks)
    assert final["total_ticks"] == 20
    assert json.loads(json.dumps(final)) == final


def test_c5_the_runner_config_has_the_fields_of_the_contract() -> None:
    settings = RunnerConfig(total_ticks=15, ticks_per_day=10, num_days=2, persist=False, full_replay=False)
    runner = SimulationRunner(Orchestrator(TWO_DAYS), settings, silent(), None)
    assert runner.run()["total_ticks"] == 15


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ticks_per_day": 11}, "ticks_per_day = 11"),
        ({"num_days": 3}, "num_days = 3"),
        ({"total_ticks": 0}, "total_ticks = 0"),
        ({"persist": True}, "needs a persistence"),
    ],
)
def test_c5_a_config_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SimulationRunner(Orchestrator(TWO_DAYS), config(**changes), silent(), None)


def test_c5_a_run_begins_at_the_first_tick() -> None:
    orchestrator = Orchestrator(TWO_DAYS)
    orchestrator.tick()
    with pytest.raises(ValueError, match="begins at tick 0"):
        SimulationRunner(orchestrator, config(), silent())


def test_c5_the_hooks_are_called_with_their_arguments(hooks: list[tuple[Any, ...]]) -> None:
    final = SimulationRunner(Orchestrator(TWO_DAYS), config(), HookLog(TextSink(io.StringIO()))).run()
    assert [call[0] for call in hooks] == [
        "start", *["tick", "played"] * 10, "day", *["tick", "played"] * 10, "day", "end"
    ]  # fmt: skip
    start = hooks[0][1]
    assert (start.total_ticks, start.ticks_per_day, start.num_days) == (20, 10, 2)
    assert (start.persist, start.full_replay) == (False, False)
    assert [call[1] for call in hooks if call[0] == "tick"] == list(range(20))
    direct = Orchestrator(TWO_DAYS)
    for kind, *values in hooks:
        if kind == "played":
            tick = direct.tick()
            assert values == [tick["tick"], tick["settlements"], direct.get_state()]
    days = [call for call in hooks if call[0] == "day"]
    assert [call[1] for call in days] == [0, 1]
    assert sum(call[2]["total_arrivals"] for call in days) == final["total_arrivals"]
    assert days[1][3] == direct.get_state()
    assert hooks[-1][1] == final


def test_c5_a_replay_has_the_same_calls_with_a_read_only_object(
    hooks: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    with Store(tmp_path / "runs.duckdb") as store:
        run_stored(store, HookLog(TextSink(io.StringIO())))
        live = [*hooks]
        hooks.clear()
        replayed = ReplayedOrchestrator(store, store.run("sim-1"))
        SimulationRunner(replayed, config(), HookLog(TextSink(io.StringIO()))).run()
    assert hooks[1:] == live[1:]


def test_c5_the_hooks_of_a_replay_cannot_play_it(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Keep(OutputStrategy):
        def on_tick_complete(self, result: Any, orchestrator: Any) -> None:
            seen.append(orchestrator)

    with Store(tmp_path / "runs.duckdb") as store:
        run_stored(store, silent())
        SimulationRunner(
            ReplayedOrchestrator(store, store.run("sim-1")), config(), Keep(TextSink(io.StringIO()))
        ).run()
    members = {name for name in dir(seen[0]) if not name.startswith("_")}
    assert members == {"scenario", "is_over", "next_tick", "get_state"}


@pytest.mark.parametrize("mode", ["normal", "verbose", "stream", "event_stream"])
def test_c5_the_modes_of_the_contract_print_a_run_and_its_replay_alike(mode: str, tmp_path: Path) -> None:
    live, again = io.StringIO(), io.StringIO()
    with Store(tmp_path / "runs.duckdb") as store:
        run_stored(store, OUTPUTS[mode](TextSink(live)))
        stored = store.run("sim-1")
        plan = ReplayedOrchestrator(store, stored).plan
        SimulationRunner(ReplayedOrchestrator(store, stored), config(), OUTPUTS[mode](TextSink(again))).run()
    assert plan.name == "example.yaml"
    assert live.getvalue()
    assert live.getvalue() == again.getvalue()


def test_c5_a_new_mode_is_one_class_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from paysim_gym.cli import main

    class Count(OutputStrategy):
        def on_simulation_complete(self, final_stats: Any) -> None:
            self.sink.line(f"{final_stats['total_ticks']} ticks")

    monkeypatch.setitem(OUTPUTS, "count", Count)
    monkeypatch.setattr("sys.argv", ["paysim", "run", "castro_two_period", "--mode", "count"])
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, capsys.readouterr().out) == (0, "2 ticks\n")


@pytest.mark.parametrize("full_replay", [False, True])
def test_c5_a_run_is_stored_with_its_days_and_metadata(full_replay: bool, tmp_path: Path) -> None:
    with Store(tmp_path / "runs.duckdb") as store:
        final = run_stored(store, silent(), full_replay=full_replay)
        stored = store.run("sim-1")
        assert (stored.simulation_id, stored.plan.full_replay, stored.status) == (
            "sim-1",
            full_replay,
            "completed",
        )
        assert stored.plan.name == "example.yaml"
        assert json.loads(stored.definition) == json.loads(load_scenario(TWO_DAYS).model_dump_json())
        assert [report.day.day for report in store.days(stored.run)] == [0, 1]
        assert store.metrics(stored.run) == RunMetrics.model_validate(final)
        assert len(list(store.ticks(stored.run))) == (20 if full_replay else 0)


def test_c5_the_metadata_are_of_the_scenario_of_the_run(tmp_path: Path) -> None:
    with Store(tmp_path / "runs.duckdb") as store:
        run_stored(store, silent())
        manager = PersistenceManager(store, "sim-2")
        SimulationRunner(Orchestrator(TWO_DAYS), config(persist=True), silent(), manager).run()
        with pytest.raises(StoreError, match="must be the scenario of the run"):
            manager.persist_final_metadata("other.yaml", TWO_DAYS | {"seed": 1})


def test_c5_persistence_is_used_on_request_only(tmp_path: Path) -> None:
    with Store(tmp_path / "runs.duckdb") as store:
        manager = PersistenceManager(store, "sim-1", False)
        SimulationRunner(Orchestrator(TWO_DAYS), config(), silent(), manager).run()
        assert store.runs() == []
        with pytest.raises(StoreError, match="has not begun"):
            manager.persist_final_metadata("example.yaml", TWO_DAYS)
        with pytest.raises(ValueError, match="needs a persistence with full_replay"):
            SimulationRunner(
                Orchestrator(TWO_DAYS), config(persist=True, full_replay=True), silent(), manager
            )


def test_c5_a_simulation_id_is_used_once(tmp_path: Path) -> None:
    with Store(tmp_path / "runs.duckdb") as store:
        run_stored(store, silent())
        with pytest.raises(StoreError, match="simulation_id = 'sim-1'"):
            run_stored(store, silent())
        assert len(store.runs()) == 1
