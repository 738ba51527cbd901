"""`paysim run` and what follows it, as a user types it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import PAYSIM, Called, paysim

from paysim_gym import bundled_scenarios, load_scenario
from paysim_gym.simulate.output import OUTPUTS


@pytest.fixture
def two_days(tmp_path: Path) -> Path:
    scenario = load_scenario("five_bank").model_copy(update={"num_days": 2})
    path = tmp_path / "two_days.yaml"
    path.write_text(scenario.model_dump_json(), "utf-8")
    return path


def test_run_shows_data_on_stdout_and_all_else_on_stderr(tmp_path: Path) -> None:
    run = paysim("run", "two_bank", folder=tmp_path)
    assert run.returncode == 0
    assert run.stdout.startswith("two_bank, seed 0: 2 banks, 1 day of 48 ticks\n")
    assert re.fullmatch(r"48 ticks in \d+\.\d\d s, [\d,]+ a second\n", run.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--verbose"],
        ["--stream"],
        ["--event-stream"],
        ["--mode", "event_stream", "--bank", "CORE_A", "--type", "settlement", "--from", 3, "--to", 60],
        ["-v", "--payment", 5, "--payment", 9],
        ["--stream", "--ticks", 60, "--seed", 2**64 - 1],
        ["--ticks", 47],
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_replay_prints_what_the_live_run_printed(call: Called, two_days: Path, options: list[Any]) -> None:
    live = call("run", two_days, *options, "--persist", "r.duckdb", "--full-replay")
    assert live
    assert call.errors.endswith("run 1 is stored in r.duckdb\n")
    assert call("replay", 1, "--store", "r.duckdb") == live
    assert call.errors == ""


def test_another_process_replays_what_one_has_kept(call: Called, tmp_path: Path) -> None:
    live = call("run", "five_bank", "--verbose", "--persist", "r.duckdb", "--full-replay")
    replayed = paysim("replay", 1, "--store", "r.duckdb", folder=tmp_path)
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert replayed.stdout == live


@pytest.mark.parametrize("name", bundled_scenarios())
def test_every_bundled_scenario_is_kept_and_replayed_in_every_mode(call: Called, name: str) -> None:
    call("run", name, "--persist", "r.duckdb", "--full-replay")
    for mode in OUTPUTS:
        assert call("run", name, "--mode", mode) == call("replay", 1, "--store", "r.duckdb", "--mode", mode)


def test_a_part_of_a_run_is_replayed(call: Called, two_days: Path) -> None:
    live = call("run", two_days, "--event-stream", "--persist", "r.duckdb", "--full-replay").splitlines()
    for mode in ("--verbose", "--stream", "--event-stream"):
        part = call("replay", "last", "--store", "r.duckdb", mode, "--from", 40, "--to", 50)
        assert part == call("run", two_days, mode, "--from", 40, "--to", 50)
    ticks = [json.loads(line)["tick"] for line in part.splitlines()]
    assert (min(ticks), max(ticks)) == (40, 50)
    assert part.splitlines() == [line for line in live if 40 <= json.loads(line)["tick"] <= 50]


def test_the_store_is_named_by_the_environment(call: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYSIM_STORE", "mine.duckdb")
    call("run", "castro_two_period", "--persist", "mine.duckdb")
    assert "castro_two_period" in call("runs", "list")


def test_runs_are_listed_shown_and_compared(call: Called) -> None:
    for seed in (1, 2):
        call("run", "two_bank", "--seed", seed, "--persist", "paysim.duckdb")
    header, first, second = call("runs", "list").splitlines()
    assert header.split() == [
        "run",
        "scenario",
        "seed",
        "mode",
        "status",
        "days",
        "full",
        "replay",
        "started",
        "at",
    ]
    assert (first.split()[:5], second.split()[2]) == (["1", "two_bank", "1", "normal", "completed"], "2")
    listed = [json.loads(line) for line in call("runs", "list", "--json").splitlines()]
    assert [run["seed"] for run in listed] == [1, 2]
    shown = call("runs", "show", 2)
    assert shown.endswith(call("run", "two_bank", "--seed", 2).partition("\n")[2])
    metrics = [json.loads(call("runs", "show", run, "--json"))["metrics"] for run in (1, 2)]
    assert json.loads(call("runs", "compare", 1, 2, "--json")) == {"1": metrics[0], "2": metrics[1]}
    compared = call("runs", "compare", 1, "last")
    assert re.search(r"^run +1 +2$", compared, re.MULTILINE)
    arrivals = [str(figures["total_arrivals"]) for figures in metrics]
    assert re.search(rf"^arrivals +{arrivals[0]} +{arrivals[1]}$", compared, re.MULTILINE)


def test_tables_are_exported(call: Called, tmp_path: Path) -> None:
    live = call(
        "run", "two_bank", "--event-stream", "--persist", "paysim.duckdb", "--full-replay"
    ).splitlines()
    assert call("runs", "export", 1, "-o", "days.csv", "--table", "days") == ""
    assert call.errors == "days.csv written\n"
    assert len((tmp_path / "days.csv").read_text("utf-8").splitlines()) == 2
    call("runs", "export", "last", "-o", "events.parquet", "--table", "events")
    assert pl.read_parquet(tmp_path / "events.parquet")["type"].to_list() == [
        json.loads(line)["type"] for line in live
    ]
    call("runs", "export", 1, "-o", "days.csv", code=2)
    assert call.errors == "error: days.csv: already exists; --force overwrites it\n"
    call("runs", "export", 1, "-o", "days.csv", "--force")
    call("run", "two_bank", "--persist", "paysim.duckdb")
    call("runs", "export", 2, "-o", "ticks.csv", "--table", "ticks")
    assert call.errors == "run 2 was stored without --full-replay: it has no ticks\nticks.csv written\n"


def test_a_day_is_drawn(call: Called, two_days: Path, tmp_path: Path) -> None:
    call("run", two_days, "--persist", "paysim.duckdb", "--full-replay")
    call("render", "last", "-o", "day.png", "--bank", "CORE_B", "--day", 1)
    assert call.errors == "day.png written\n"
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")
    text = call("render", "last", "--bank", "CORE_B", "--day", 1)
    assert text.startswith("CORE_B, day 2 of 2, closed\n")
    first, *_, last = map(json.loads, call("run", two_days, "--stream", "--from", 48).splitlines())
    (balance,) = (agent["balance"] for agent in last["agents"] if agent["id"] == "CORE_B")
    assert re.search(rf"^Balance +{balance / 100:,.2f} ", text, re.MULTILINE)
    assert first["tick"] == 48


def test_scenarios_are_listed_shown_and_checked(call: Called, tmp_path: Path) -> None:
    assert [line.split()[0] for line in call("scenarios", "list").splitlines()] == bundled_scenarios()
    shown = call("scenarios", "show", "two_bank")
    (tmp_path / "copy.yaml").write_text(shown, "utf-8")
    assert load_scenario(tmp_path / "copy.yaml") == load_scenario("two_bank")
    resolved = call("scenarios", "show", "two_bank", "--resolved")
    assert load_scenario(json.loads(resolved)) == load_scenario("two_bank")
    assert call("scenarios", "validate", "two_bank", "copy.yaml") == "two_bank: valid\ncopy.yaml: valid\n"
    (tmp_path / "bad.yaml").write_text(shown.replace("ticks_per_day: 48", "ticks_per_day: 1.5"), "utf-8")
    assert call("scenarios", "validate", "bad.yaml", "five_bank", code=2) == "five_bank: valid\n"
    assert call.errors == "bad.yaml: ticks_per_day = 1.5: must be an integer between 1 and 1000\n"
    schema = json.loads(call("scenarios", "schema"))
    assert {"ticks_per_day", "agents", "rails", "costs"} <= schema["properties"].keys()


MISTAKES: dict[str, tuple[list[Any], str]] = {
    "no scenario": (["run", "absent.yaml"], "error: scenario = 'absent.yaml': must be a bundled scenario"),
    "two modes": (
        ["run", "two_bank", "--stream", "--verbose"],
        "error: mode: must be one, not verbose and stream",
    ),
    "no such mode": (
        ["run", "two_bank", "--mode", "x"],
        "error: --mode = 'x': must be one of normal, verbose,",
    ),
    "no such bank": (
        ["run", "two_bank", "-v", "--bank", "X"],
        "error: --bank = 'X': must be one of BANK_A, BANK_B",
    ),
    "no such type": (
        ["run", "two_bank", "-v", "--type", "X"],
        "error: --type = 'X': must be one of arrival,",
    ),
    "useless filter": (
        ["run", "two_bank", "--stream", "--payment", 1],
        "need one of the modes verbose, event_stream",
    ),
    "useless range": (["run", "two_bank", "--to", 3], "need one of the modes verbose, stream, event_stream"),
    "empty range": (
        ["run", "two_bank", "-v", "--from", 4, "--to", 3],
        "error: --to = 3: must be at least --from, 4",
    ),
    "nothing kept": (["run", "two_bank", "--full-replay"], "error: --full-replay: needs --persist FILE"),
    "no folder": (
        ["run", "two_bank", "--persist", "no/r.duckdb"],
        "error: no/r.duckdb: there is no folder no",
    ),
    "no store": (["replay", 1], "error: paysim.duckdb: there is no such store"),
    "no run": (
        ["replay", 9, "--store", "r.duckdb"],
        "error: r.duckdb: run = '9': must be one of 1, 2, or last",
    ),
    "no ticks": (["replay", 2, "--store", "r.duckdb"], "error: run 2 was stored without --full-replay"),
    "no table": (
        ["runs", "export", 1, "-o", "x.csv", "--table", "x", "--store", "r.duckdb"],
        "error: table = 'x'",
    ),
    "no format": (
        ["runs", "export", 1, "-o", "x.txt", "--store", "r.duckdb"],
        "must end in .csv or .parquet",
    ),
    "no pair": (["runs", "compare", 1, "--store", "r.duckdb"], "error: RUN: at least two runs are needed"),
    "no picture": (["render", 1, "-o", "x.jpg", "--store", "r.duckdb"], "error: x.jpg: must end in .png"),
    "no day": (
        ["render", 1, "--day", 7, "--store", "r.duckdb"],
        "error: --day = 7: run 1 did not play this day",
    ),
    "no bank": (["render", 1, "--bank", "X", "--store", "r.duckdb"], "error: --bank = 'X': must be one of"),
    "no ticks at all": (["run", "two_bank", "--ticks", 0], "--ticks"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_a_line(call: Called, name: str, tmp_path: Path) -> None:
    for options in (["--full-replay"], []):
        call("run", "castro_two_period", "--persist", "r.duckdb", *options)
    before = sorted(tmp_path.iterdir())
    arguments, message = MISTAKES[name]
    assert call(*arguments, code=2) == ""
    assert message in call.errors
    assert "Traceback" not in call.errors
    assert sorted(tmp_path.iterdir()) == before


def test_an_engine_that_fails_is_told_in_a_line(call: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the engine panicked: out of luck")

    monkeypatch.setattr("paysim_gym.orchestrator.Orchestrator.tick", fail)
    call("run", "two_bank", "--persist", "r.duckdb", code=1)
    assert call.errors == "error: the engine failed: the engine panicked: out of luck\n"
    (kept,) = map(json.loads, call("runs", "list", "--json", "--store", "r.duckdb").splitlines())
    assert (kept["status"], kept["days"]) == ("failed", 0)


def piped(command: str, lines: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command whose reader goes after so many lines."""
    line = f"{sys.executable} -m paysim_gym.cli {command} | head -n {lines}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize(
    "command", ["run large_network --event-stream", "scenarios schema", "scenarios list"]
)
def test_a_pipe_that_closes_ends_the_command_quietly(tmp_path: Path, command: str) -> None:
    run = piped(command, 1, tmp_path)
    assert len(run.stdout.splitlines()) == 1
    assert run.stderr == ""
    assert run.returncode in (0, 141)


def test_a_run_whose_output_is_closed_is_kept(tmp_path: Path) -> None:
    line = f"{' '.join(PAYSIM)} run castro_two_period --persist r.duckdb >&-"
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr.splitlines()[1:]) == (
        0,
        "",
        ["run 1 is stored in r.duckdb"],
    )


def test_a_run_whose_reader_has_gone_keeps_its_whole_days(tmp_path: Path) -> None:
    scenario = load_scenario("five_bank").model_copy(update={"num_days": 400})
    (tmp_path / "long.yaml").write_text(scenario.model_dump_json(), "utf-8")
    run = piped("run long.yaml --stream --persist r.duckdb", 100, tmp_path)
    assert (run.returncode, len(run.stdout.splitlines())) == (141, 100)
    assert run.stderr == "interrupted; the completed days of run 1 are stored in r.duckdb\n"
    shown = json.loads(paysim("runs", "show", 1, "--store", "r.duckdb", "--json", folder=tmp_path).stdout)
    assert (shown["status"], shown["metrics"]["total_ticks"] % 48) == ("interrupted", 0)
    assert shown["metrics"]["days"] >= 2


def on_a_terminal(folder: Path, *arguments: str, **environment: str) -> str:
    """What a command writes where its standard output is a terminal."""
    reader, terminal = pty.openpty()
    clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    process = subprocess.Popen(
        [*PAYSIM, *arguments],
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=clean | {"TERM": "xterm"} | environment,
    )
    os.close(terminal)
    parts = []
    try:
        while part := os.read(reader, 65536):
            parts.append(part)
    except OSError:  # Linux says so when the other end has closed
        pass
    os.close(reader)
    assert process.wait() == 0
    return b"".join(parts).decode().replace("\r\n", "\n")


def test_only_a_terminal_gets_colours_and_only_if_it_wants_them(tmp_path: Path) -> None:
    command = ("run", "castro_two_period", "--verbose")
    plain = paysim(*command, folder=tmp_path).stdout
    assert "\x1b" not in plain
    styled = on_a_terminal(tmp_path, *command)
    assert "\x1b[1mtick 0, day 0\x1b[0m" in styled
    assert re.sub(r"\x1b\[\d*m", "", styled) == plain
    assert on_a_terminal(tmp_path, *command, "--no-color") == plain
    assert on_a_terminal(tmp_path, *command, NO_COLOR="1") == plain
    assert on_a_terminal(tmp_path, *command, TERM="dumb") == plain


def test_help_is_told_without_loading_a_store(tmp_path: Path) -> None:
    commands = [
        *("run", "replay", "runs list", "runs show", "runs compare", "runs export"),
        *("scenarios list", "render"),
    ]
    code = f"""
import sys
from paysim_gym.cli import main
for command in {commands}:
    sys.argv = ["paysim", *command.split(), "--help"]
    try:
        main()
    except SystemExit as end:
        print("=", command, end.code, "duckdb" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    ends = re.findall(r"^= .*$", run.stdout, re.MULTILINE)
    assert ends == [f"= {command} 0 False" for command in commands], run.stderr
    assert all(f"Usage: paysim {command}" in run.stdout for command in commands)


@pytest.mark.parametrize("tick", [0, 5, 47])
def test_a_single_tick_is_shown(call: Called, tick: int) -> None:
    live = call("run", "two_bank", "--stream", "--persist", "paysim.duckdb", "--full-replay").splitlines()
    only = ("--from", tick, "--to", tick)
    assert call("run", "two_bank", "--stream", *only).splitlines() == [live[tick]]
    assert call("replay", 1, "--stream", *only).splitlines() == [live[tick]]
