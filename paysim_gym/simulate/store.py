"""A store: one DuckDB file of runs, written one day per transaction."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

import duckdb

from paysim_gym._engine import EVENT_SCHEMA_VERSION
from paysim_gym.files import atomic_file
from paysim_gym.scenario import Scenario
from paysim_gym.simulate import columns
from paysim_gym.simulate.interrupts import deferred_sigint
from paysim_gym.simulate.metrics import RunMetrics, RunTotals
from paysim_gym.simulate.output import EventFilter
from paysim_gym.simulate.payment_outcomes import PaymentRecord
from paysim_gym.simulate.records import DayReport, RunPlan, TickRecord
from paysim_gym.simulate.store_schema import FIRST_VERSION, MIGRATIONS, TABLES, VERSION, StoreError

Status = Literal["completed", "interrupted", "failed"]
UNFINISHED = "unfinished"
"""Status of a run in progress, or whose process was killed."""


@dataclass(frozen=True)
class StoredRun:
    """A run in a store.

    Attributes:
        run: Number of the run in the store, from 1.
        simulation_id: Id of the run, unique in the store.
        plan: Plan of the run.
        mode: Output mode.
        event_filter: Filter of the output.
        status: `completed`, `interrupted`, `failed` or `unfinished`.
        started_at: Start time, in UTC.
        ended_at: End time, in UTC; None without an end.
        version: Version of the package that played the run.
        definition: The scenario as JSON with all defaults.
        event_schema_version: Version of the event schema.
    """

    run: int
    simulation_id: str
    plan: RunPlan
    mode: str
    event_filter: EventFilter
    status: str
    started_at: datetime
    ended_at: datetime | None
    version: str
    definition: str
    event_schema_version: int


class Store:
    """Runs in a DuckDB file; use it as a context manager."""

    def __init__(self, path: str | os.PathLike[str], *, must_exist: bool = False) -> None:
        """Open or create a store; an older store is upgraded.

        Raises:
            StoreError: If the file cannot be opened, is not a store, or is a store of an unsupported version.
        """
        self.path = Path(path)
        if not self.path.exists() and must_exist:
            raise StoreError(f"{self.path}: there is no such store")
        if not self.path.absolute().parent.is_dir():
            raise StoreError(f"{self.path}: there is no folder {self.path.parent}")
        try:
            # DuckDB does not treat names such as `:memory:` and `md:runs` as files.
            with deferred_sigint():
                self._db = duckdb.connect(str(self.path.absolute()))
        except duckdb.Error as error:
            raise StoreError(_format_error(self.path, error)) from None
        try:
            self._migrate()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin_run(
        self, plan: RunPlan, scenario: Scenario, *, simulation_id: str, mode: str, event_filter: EventFilter
    ) -> int:
        """Add a run that is about to be played, and return its number.

        Raises:
            StoreError: If the store has a run of this id.
        """
        if any(stored.simulation_id == simulation_id for stored in self.runs()):
            raise StoreError(f"{self.path}: simulation_id = {simulation_id!r}: the store has such a run")
        all_ticks = plan.ticks_per_day * plan.num_days
        with self._transaction():
            (last,) = self._one("SELECT coalesce(max(run), 0) FROM runs")
            values = {
                "run": (run := int(last) + 1),
                "scenario": plan.name,
                "seed": plan.seed,
                "mode": mode,
                "filter": _filter_json(event_filter),
                "ticks_per_day": plan.ticks_per_day,
                "num_days": plan.num_days,
                "max_ticks": plan.total_ticks if plan.total_ticks < all_ticks else None,
                "banks": list(plan.banks),
                "rails": list(plan.rails),
                "is_full_replay": plan.full_replay,
                "status": UNFINISHED,
                "started_at": _now(),
                "version": version("paysim-gym"),
                "definition": scenario.model_dump_json(),
                "event_schema_version": EVENT_SCHEMA_VERSION,
                "simulation_id": simulation_id,
            }
            marks = ", ".join("?" * len(values))
            self._db.execute(f"INSERT INTO runs ({', '.join(values)}) VALUES ({marks})", [*values.values()])
        return run

    def save_day(
        self,
        run: int,
        report: DayReport,
        ended: Sequence[PaymentRecord],
        still_open: Sequence[PaymentRecord],
        ticks: Sequence[TickRecord] = (),
    ) -> None:
        """Store a day in one transaction.

        Args:
            run: Number of the run.
            report: Metrics of the day.
            ended: Payments that settled, were dropped or were split on this day.
            still_open: All payments unsettled at its end.
            ticks: Ticks of the day, for full replay.
        """
        with self._transaction():
            self._append("days", columns.day_columns(run, report))
            self._append("bank_days", columns.bank_day_columns(run, report))
            self._db.execute("DELETE FROM payments WHERE run = ? AND status = 'open'", [run])
            self._append("payments", columns.payment_columns(run, [*ended, *still_open]))
            self._append("ticks", columns.tick_columns(run, ticks))
            self._append("events", columns.event_columns(run, ticks))

    def end_run(self, run: int, status: Status, *, name: str) -> None:
        """Record how a run ended, and the name of its scenario."""
        changes = "status = ?, ended_at = ?, scenario = ?"
        with self._transaction():
            self._db.execute(f"UPDATE runs SET {changes} WHERE run = ?", [status, _now(), name, run])

    def runs(self) -> list[StoredRun]:
        """Return all runs, oldest first."""
        return [_run_from(row) for row in self._rows("SELECT * FROM runs ORDER BY run")]

    def run(self, name: str) -> StoredRun:
        """Return a run by number or id, or the `last`; raises StoreError if unknown."""
        runs = {str(stored.run): stored for stored in self.runs()}
        by_id = {stored.simulation_id: stored for stored in runs.values()}
        found = next(reversed(runs.values()), None) if name == "last" else runs.get(name, by_id.get(name))
        if found is None:
            numbers = f"must be one of {', '.join(runs)}, or last" if runs else "the store has no runs"
            raise StoreError(f"{self.path}: run = {name!r}: {numbers}")
        return found

    def metrics(self, run: int) -> RunMetrics:
        """Compute the metrics of a run from its days."""
        totals = RunTotals()
        for report in self.days(run):
            totals = totals.with_day(report.day, report.banks)
        return totals.metrics()

    def days(self, run: int) -> list[DayReport]:
        """Return the days of a run."""
        banks: dict[int, list[Any]] = {}
        for row in self._rows("SELECT * FROM bank_days WHERE run = ? ORDER BY day, rowid", [run]):
            bank_day = columns.bank_day_from(row)
            banks.setdefault(bank_day.day, []).append(bank_day)
        days = self._rows("SELECT * FROM days WHERE run = ? ORDER BY day", [run])
        return [DayReport(columns.day_from(row), tuple(banks[row["day"]])) for row in days]

    def ticks(self, run: int) -> Iterator[TickRecord]:
        """Yield the ticks of a fully stored run, loading one day at once."""
        days = self._rows("SELECT day FROM days WHERE run = ? ORDER BY day", [run])
        for day in (row["day"] for row in days):
            events: dict[int, list[dict[str, Any]]] = {}
            condition = "WHERE run = ? AND day = ? ORDER BY tick"
            for row in self._rows(f"SELECT * FROM events {condition}, sequence", [run, day]):
                events.setdefault(row["tick"], []).append(columns.event_from(row))
            for row in self._rows(f"SELECT * FROM ticks {condition}", [run, day]):
                if row["agents"] is None:
                    raise StoreError(
                        f"run {run} was stored without the banks of each tick by an earlier version; "
                        "play it again to replay it"
                    )
                yield TickRecord(columns.outcome_from(row), events.get(row["tick"], []))

    def export(self, run: int, table: str, path: str | os.PathLike[str]) -> None:
        """Write a run's rows to a .csv or .parquet file, atomically, or raise StoreError."""
        target = Path(path)
        formats = {".csv": "FORMAT csv, HEADER", ".parquet": "FORMAT parquet"}
        if table not in TABLES:
            raise StoreError(f"table = {table!r}: must be one of {', '.join(TABLES)}")
        if target.suffix not in formats:
            raise StoreError(f"{target}: must end in .csv or .parquet")
        rows_of_run = f"SELECT * FROM {table} WHERE run = {run}"
        try:
            with deferred_sigint(), atomic_file(target) as part:
                self._db.execute(f"COPY ({rows_of_run}) TO '{_quoted(part)}' ({formats[target.suffix]})")
        except (duckdb.Error, OSError) as error:
            raise StoreError(f"{target}: cannot be written: {str(error).splitlines()[0]}") from None

    def _migrate(self) -> None:
        tables = {row["table_name"] for row in self._rows("SELECT table_name FROM duckdb_tables()")}
        if tables and "paysim_store" not in tables:
            raise StoreError(f"{self.path}: is a DuckDB database, but not a store")
        found = self._one("SELECT version FROM paysim_store")[0] if tables else FIRST_VERSION - 1
        if tables and found < FIRST_VERSION:
            raise StoreError(
                f"{self.path}: was written by paysim-gym 0.1.0, whose event schema is no longer supported; "
                "play its runs again into a new store"
            )
        if found > VERSION:
            raise StoreError(
                f"{self.path}: has store version {found}; this package supports versions up to {VERSION}"
            )
        if found == VERSION:
            return
        with self._transaction():
            self._db.execute("CREATE TABLE IF NOT EXISTS paysim_store (version BIGINT NOT NULL)")
            for statements in MIGRATIONS[found - FIRST_VERSION + 1 :]:
                for statement in statements:
                    self._db.execute(statement)
            self._db.execute("DELETE FROM paysim_store")
            self._db.execute("INSERT INTO paysim_store VALUES (?)", [VERSION])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Run a transaction or raise a StoreError; Ctrl-C is deferred to its end."""
        with deferred_sigint():
            try:
                self._db.execute("BEGIN")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                with suppress(duckdb.Error):
                    self._db.execute("ROLLBACK")
                if isinstance(error, duckdb.Error):
                    raise StoreError(_format_error(self.path, error)) from None
                raise

    def _append(self, table: str, batch: columns.Columns) -> None:
        # DuckDB reads the local variable `batch` by its name; `executemany` is a thousand times slower.
        if len(batch["run"]):
            self._db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch")

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        with deferred_sigint():
            result = self._db.execute(query, parameters)
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def _one(self, query: str) -> tuple[Any, ...]:
        (row,) = self._rows(query)
        return tuple(row.values())


def _run_from(row: dict[str, Any]) -> StoredRun:
    plan = RunPlan(
        name=row["scenario"],
        seed=row["seed"],
        total_ticks=row["max_ticks"] or row["ticks_per_day"] * row["num_days"],
        ticks_per_day=row["ticks_per_day"],
        num_days=row["num_days"],
        persist=True,
        full_replay=row["is_full_replay"],
        banks=tuple(row["banks"]),
        rails=tuple(row["rails"]),
    )
    names = (field.name for field in fields(StoredRun) if field.name in row)
    return StoredRun(
        plan=plan,
        event_filter=_filter_from(json.loads(row["filter"])),
        **{name: row[name] for name in names},
    )


def _filter_json(event_filter: EventFilter) -> str:
    sets = {name: sorted(getattr(event_filter, name)) for name in ("banks", "payments", "types")}
    return json.dumps({**sets, "first_tick": event_filter.first_tick, "last_tick": event_filter.last_tick})


def _filter_from(data: dict[str, Any]) -> EventFilter:
    return EventFilter(
        banks=frozenset(data["banks"]),
        payments=frozenset(data["payments"]),
        types=frozenset(data["types"]),
        first_tick=data["first_tick"],
        last_tick=data["last_tick"],
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _format_error(path: Path, error: Exception) -> str:
    """Format an error of DuckDB or the system in one line."""
    text = str(error)
    if "lock" in text:
        return f"{path}: is in use by another process"
    if "not a valid DuckDB database file" in text:
        return f"{path}: is not a store"
    return f"{path}: cannot be opened: {text.splitlines()[0]}"
