"""The store: atomic days, older files and foreign files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from network_files import against, network_file
from runs import live_ticks, store_run

from paysim_gym import load_scenario
from paysim_gym._engine import EVENT_SCHEMA_VERSION
from paysim_gym.simulate import columns, store_schema
from paysim_gym.simulate import store as store_module
from paysim_gym.simulate.persistence import ReplayedOrchestrator
from paysim_gym.simulate.records import RunPlan
from paysim_gym.simulate.store import Store
from paysim_gym.simulate.store_schema import StoreError


def play(store: Store, config: Any, mode: str = "event_stream", *, full: bool = True) -> str:
    """Play and store a run; return its output."""
    return store_run(store, config, mode, full=full)[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.duckdb"


def test_runs_are_numbered_and_described(path: Path, small_scenario: dict[str, Any]) -> None:
    with Store(path) as store:
        with pytest.raises(StoreError, match=r"run = 'last': the store has no runs$"):
            store.run("last")
        play(store, small_scenario)
        play(store, small_scenario | {"seed": 2**64 - 1, "num_days": 2}, "normal", full=False)
    with Store(path, must_exist=True) as store:
        assert [stored.run for stored in store.runs()] == [1, 2]
        last = store.run("last")
        assert last == store.run("2")
        plan = RunPlan(
            name="scenario",
            seed=2**64 - 1,
            total_ticks=24,
            ticks_per_day=12,
            num_days=2,
            persist=True,
            full_replay=False,
            banks=("BANK_A", "BANK_B"),
            rails=("RTGS",),
        )
        assert (last.plan, last.mode, last.status) == (plan, "normal", "completed")
        assert store.run("id-2") == last
        assert last.ended_at is not None
        assert last.ended_at >= last.started_at
        assert (
            load_scenario(small_scenario | {"seed": 2**64 - 1, "num_days": 2}).model_dump_json()
            == last.definition
        )
        for name in ("3", "0", "x", ""):
            with pytest.raises(StoreError, match=r"must be one of 1, 2, or last$"):
                store.run(name)


def test_ticks_and_events_come_back_as_they_were(path: Path, small_scenario: dict[str, Any]) -> None:
    events = [
        {"type": "transfer", "tick": 1, "receiver": "BANK_A", "amount": 5},
        {"type": "arrival_rate", "tick": 2, "multiplier": 1.25},
        {"type": "early_close", "tick": 7},
    ]
    scenario = small_scenario | {"num_days": 2, "events": events, "end_of_day": "carry"}
    with Store(path) as store:
        play(store, scenario)
        assert list(store.ticks(1)) == list(live_ticks(scenario))


def test_a_run_stored_without_ticks_cannot_be_replayed(path: Path, small_scenario: dict[str, Any]) -> None:
    with Store(path) as store:
        play(store, small_scenario, full=False)
        with pytest.raises(StoreError, match=r"run 1 was stored without --full-replay"):
            ReplayedOrchestrator(store, store.run("1"))


def test_every_payment_is_stored_with_its_outcome(path: Path, small_scenario: dict[str, Any]) -> None:
    small_scenario["agents"][1] |= {
        "balance": 0,
        "credit_limit": 100_000_00,
        "policy": {"type": "split_large", "parts": 2, "threshold": 0},
    }
    scenario = small_scenario | {"num_days": 3, "end_of_day": "carry"}
    with Store(path) as store:
        play(store, scenario)
        days = store.days(1)
    with duckdb.connect(str(path)) as db:

        def one(query: str) -> Any:
            return db.execute(query).fetchone()

        count, payments = one("SELECT count(*), count(DISTINCT payment) FROM payments") or (0, 0)
        assert count == payments > 0
        assert one("SELECT count(*) FROM payments WHERE parent IS NULL")[0] == sum(
            r.day.arrivals for r in days
        )
        assert one("SELECT count(*) FROM payments WHERE status = 'settled'")[0] == sum(
            r.day.settlements for r in days
        )
        unsettled = sum(bank.unsettled_count for bank in days[-1].banks)
        assert one("SELECT count(*) FROM payments WHERE status = 'open'")[0] == unsettled > 0
        wholes = "SELECT payment FROM payments WHERE status = 'split'"
        assert one(f"SELECT count(*) FROM ({wholes})")[0] > 0
        unequal = f"""SELECT count(*) FROM ({wholes}) AS whole JOIN payments AS own USING (payment)
            WHERE own.amount <> (SELECT sum(amount) FROM payments WHERE parent = own.payment)"""
        assert one(unequal)[0] == 0
        assert (
            one("SELECT count(*) FROM payments WHERE status = 'settled' AND end_tick < released_tick")[0] == 0
        )


@pytest.mark.parametrize("decision", [{"action_mode": "fraction"}, {"action_mode": "slots"}])
def test_an_order_is_what_is_left_of_it_and_its_parts(
    path: Path, small_scenario: dict[str, Any], tmp_path: Path, decision: dict[str, Any]
) -> None:
    file = network_file(tmp_path / "network.safetensors", decision)
    scenario = small_scenario | {"num_days": 3, "end_of_day": "carry"}
    with Store(path) as store:
        play(store, against(scenario, file, deterministic=False))
    with duckdb.connect(str(path)) as db:
        orders = db.execute("""SELECT whole.ordered_amount, sum(part.amount)
            + any_value(CASE whole.status WHEN 'split' THEN 0 ELSE whole.amount END)
            FROM payments AS whole JOIN payments AS part ON part.parent = whole.payment
            GROUP BY whole.payment, whole.ordered_amount""").fetchall()
        assert len(orders) > 3
        assert all(ordered == left for ordered, left in orders)
        (parts_ordered,) = (
            db.execute("SELECT sum(ordered_amount) FROM payments WHERE parent > 0").fetchone() or ()
        )
        assert parts_ordered == 0


def test_a_day_that_cannot_be_stored_is_rolled_back(
    path: Path, small_scenario: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Store._append

    def break_events_of_day_one(self: Store, table: str, batch: Any) -> None:
        if table == "events" and 1 in batch["day"]:
            raise OSError("the disk is full")
        append(self, table, batch)

    monkeypatch.setattr(Store, "_append", break_events_of_day_one)
    with Store(path) as store:
        with pytest.raises(OSError, match="the disk is full"):
            play(store, small_scenario | {"num_days": 3})
        assert [report.day.day for report in store.days(1)] == [0]
    with duckdb.connect(str(path)) as db:
        for table in ("days", "bank_days", "ticks", "events"):
            assert db.execute(f"SELECT DISTINCT day FROM {table}").fetchall() == [(0,)]


@pytest.fixture
def long_scenario(tmp_path: Path) -> Path:
    scenario = load_scenario("five_bank").model_copy(update={"num_days": 2_000})
    path = tmp_path / "long.yaml"
    path.write_text(scenario.model_dump_json(), "utf-8")  # JSON is YAML
    return path


@contextmanager
def running(path: Path, scenario: Path, day: int, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a run in progress, `seconds` after it printed a tick of a day."""
    command = [sys.executable, "-m", "paysim_gym.cli", "run", str(scenario), "--stream"]
    command += ["--persist", str(path), "--full-replay"]
    shown = path.with_suffix(".jsonl")
    with shown.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.PIPE) as process:
        try:
            while process.poll() is None and f'"day": {day},' not in shown.read_text("utf-8"):
                time.sleep(0.01)
            time.sleep(seconds)
            assert process.poll() is None, process.communicate()[1].decode()
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("day", "seconds"), [(0, 0), (1, 0.01), (2, 0.03), (4, 0.07), (9, 0.13)])
def test_a_killed_run_leaves_complete_days(path: Path, long_scenario: Path, day: int, seconds: float) -> None:
    with running(path, long_scenario, day, seconds) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    with Store(path) as store:
        assert [run.status for run in store.runs()] == ["unfinished"]
        days, replayed = store.days(1), list(store.ticks(1))
        play(store, "castro_two_period")
    # A day is printed before it is stored.
    assert len(days) >= day
    assert [report.day.day for report in days] == list(range(len(days)))
    assert all(report.day.is_complete and len(report.banks) == 5 for report in days)
    for record, live in zip(replayed, live_ticks(long_scenario), strict=False):
        assert record == live
    assert len(replayed) == 48 * len(days)


def test_an_interrupted_run_leaves_complete_days_and_says_so(path: Path, long_scenario: Path) -> None:
    with running(path, long_scenario, 2, 0.05) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.decode() == f"interrupted; the completed days of run 1 are stored in {path}\n"
    with Store(path) as store:
        assert store.run("1").status == "interrupted"
        days = store.days(1)
        assert len(days) >= 2
        assert all(report.day.is_complete for report in days)
        assert len(list(store.ticks(1))) == 48 * len(days)


def test_ctrl_c_waits_until_the_day_is_stored(
    path: Path, small_scenario: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Store._append

    def interrupted(store: Store, table: str, batch: columns.Columns) -> None:
        signal.raise_signal(signal.SIGINT)
        append(store, table, batch)

    monkeypatch.setattr(Store, "_append", interrupted)
    with Store(path) as store:
        with pytest.raises(KeyboardInterrupt):
            play(store, small_scenario | {"num_days": 2})
        assert [report.day.day for report in store.days(1)] == [0]
        assert len(list(store.ticks(1))) == 12


def test_a_store_of_an_older_version_is_brought_up_to_date(
    path: Path, small_scenario: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(path) as store:
        play(store, small_scenario, full=False)
        metrics = store.metrics(1)
    with duckdb.connect(str(path)) as db:
        assert db.execute("SELECT version FROM paysim_store").fetchall() == [(store_schema.VERSION,)]
    next_version = ("CREATE TABLE notes (run BIGINT NOT NULL)",)
    monkeypatch.setattr(store_module, "MIGRATIONS", (*store_schema.MIGRATIONS, next_version))
    monkeypatch.setattr(store_module, "VERSION", store_schema.VERSION + 1)
    with Store(path) as store:
        assert store.metrics(1) == metrics
        text = play(store, small_scenario)
        assert text
        assert len(list(store.ticks(2))) == 12
    with duckdb.connect(str(path)) as db:
        assert db.execute("SELECT version FROM paysim_store").fetchall() == [(store_schema.VERSION + 1,)]
        assert db.execute("SELECT count(*) FROM notes").fetchall() == [(0,)]


COLUMNS = {
    "days": """day is_complete first_tick ticks arrivals settlements dropped settled_value max_queue_depth""",
    "bank_days": """day bank ticks opening_balance closing_balance balance_sum min_balance liquidity_used
        arrived_count arrived_value sent_count sent_value lent_value received_count received_value
        dropped_count dropped_value split_count delay_value unsettled_count unsettled_value waiting_value
        cost_liquidity cost_overdraft cost_collateral cost_delay cost_deadline cost_split cost_end_of_day""",
    "payments": """payment parent sender receiver ordered_amount amount arrival_tick deadline_tick priority
        divisible rail released_tick end_tick status mechanism""",
    "ticks": """tick day arrivals settlements dropped queue_depth settled_value cost_liquidity
        cost_overdraft cost_collateral cost_delay cost_deadline cost_split cost_end_of_day""",
}


ADDED = {
    "runs": "simulation_id",
    "days": "settled_orders settled_orders_delay",
    "ticks": "settled_orders settled_orders_delay agents",
}


def test_the_first_version_has_these_columns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new field of a record needs a migration that adds its column."""
    for migrations, added in ((store_schema.MIGRATIONS[:1], {}), (store_schema.MIGRATIONS, ADDED)):
        monkeypatch.setattr(store_module, "MIGRATIONS", migrations)
        monkeypatch.setattr(store_module, "VERSION", store_schema.FIRST_VERSION - 1 + len(migrations))
        Store(path).close()
        with duckdb.connect(str(path)) as db:
            for table, names in COLUMNS.items():
                columns = db.execute(f"SELECT column_name FROM duckdb_columns() WHERE table_name = '{table}'")
                expected = ["run", *names.split(), *added.get(table, "").split()]
                assert [name for (name,) in columns.fetchall()] == expected, table


def test_a_store_of_the_first_version_gets_the_new_columns(
    path: Path, small_scenario: dict[str, Any]
) -> None:
    small_scenario["agents"][1] |= {"balance": 0, "policy": {"type": "split_large", "parts": 2}}
    with Store(path) as store:
        play(store, small_scenario | {"num_days": 3, "end_of_day": "drop"})
        play(store, small_scenario | {"num_days": 2, "seed": 5}, full=False)
        metrics = [store.metrics(run) for run in (1, 2)]
        assert all(0 < run.settlement_rate < 1 and run.average_delay > 0 for run in metrics)
    with duckdb.connect(str(path)) as db:
        for table, names in ADDED.items():
            for name in names.split():
                db.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
        db.execute(f"UPDATE paysim_store SET version = {store_schema.FIRST_VERSION}")
    with Store(path) as store:
        assert [store.metrics(run) for run in (1, 2)] == metrics
        assert len({stored.simulation_id for stored in store.runs()}) == 2
        with pytest.raises(StoreError, match="run 1 was stored without the banks of each tick"):
            ReplayedOrchestrator(store, store.run("1"))


@pytest.mark.parametrize("version", [1, 2])
def test_a_store_of_the_first_release_is_refused_with_one_line(path: Path, version: int) -> None:
    Store(path).close()
    with duckdb.connect(str(path)) as db:
        db.execute(f"UPDATE paysim_store SET version = {version}")
    with pytest.raises(StoreError) as refusal:
        Store(path)
    assert str(refusal.value) == (
        f"{path}: was written by paysim-gym 0.1.0, whose event schema is no longer supported; "
        "play its runs again into a new store"
    )


def test_events_of_another_schema_version_are_not_replayed(
    path: Path, small_scenario: dict[str, Any]
) -> None:
    with Store(path) as store:
        play(store, small_scenario)
        assert store.run("1").event_schema_version == EVENT_SCHEMA_VERSION
    with duckdb.connect(str(path)) as db:
        db.execute("UPDATE runs SET event_schema_version = 99")
    with Store(path) as store, pytest.raises(StoreError, match="events of schema version 99; this package"):
        ReplayedOrchestrator(store, store.run("1"))


def test_a_store_of_a_newer_version_is_refused(path: Path) -> None:
    Store(path).close()
    with duckdb.connect(str(path)) as db:
        db.execute("UPDATE paysim_store SET version = 99")
    with pytest.raises(StoreError, match=r"has store version 99; this package supports versions up to \d+$"):
        Store(path)


def test_foreign_files_are_left_unchanged(path: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(path)) as db:
        db.execute("CREATE TABLE mine (a INTEGER)")
    with pytest.raises(StoreError, match=r"is a DuckDB database, but not a store$"):
        Store(path)
    with duckdb.connect(str(path)) as db:
        assert [name for (name,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()] == [
            "mine"
        ]
    text = tmp_path / "text.duckdb"
    text.write_text("day,time,sender\n" * 1000, "utf-8")
    with pytest.raises(StoreError, match=r"is not a store$"):
        Store(text)
    assert text.read_text("utf-8").startswith("day,time")


@pytest.mark.parametrize("name", [":memory:", "md:runs", "s3:runs"])
def test_a_store_is_a_file_whatever_it_is_called(
    name: str, small_scenario: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store(name) as store:
        play(store, small_scenario)
    assert (tmp_path / name).is_file()
    with Store(name, must_exist=True) as store:
        assert len(list(store.ticks(1))) == 12


def test_a_store_that_cannot_be_opened_is_an_error(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such store"):
        Store(path, must_exist=True)
    assert not path.exists()
    with pytest.raises(StoreError, match="there is no folder"):
        Store(tmp_path / "no" / "runs.duckdb")
    code = f"from paysim_gym.simulate.store import Store; Store({str(path)!r})"
    with Store(path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"{path}: is in use by another process" in other.stderr


def test_an_export_is_atomic(path: Path, small_scenario: dict[str, Any], tmp_path: Path) -> None:
    with Store(path) as store:
        play(store, small_scenario)
        for table, name, message in (
            ("banks", "x.csv", "table = 'banks': must be one of runs, days"),
            ("days", "x.json", r"x\.json: must end in \.csv or \.parquet"),
            ("days", "no/x.csv", "cannot be written"),
        ):
            with pytest.raises(StoreError, match=message):
                store.export(1, table, tmp_path / name)
        for table in store_schema.TABLES:
            store.export(1, table, tmp_path / f"it's {table}.csv")
            assert (tmp_path / f"it's {table}.csv").read_text("utf-8").startswith("run,")
    assert not list(tmp_path.glob(".*"))
