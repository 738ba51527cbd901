"""A store: one DuckDB file that keeps runs. Every day is there whole, or not at all."""

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
from paysim_gym.simulate.output import Filter
from paysim_gym.simulate.payment_outcomes import PaymentRecord
from paysim_gym.simulate.records import DayReport, RunPlan, TickRecord
from paysim_gym.simulate.store_schema import FIRST_VERSION, MIGRATIONS, TABLES, VERSION, StoreError

Status = Literal["completed", "interrupted", "failed"]
UNFINISHED = "unfinished"
"""Status of a run that has not been ended: it is going on, or its process was killed."""


@dataclass(frozen=True)
class StoredRun:
    """A run that a store keeps.

    Attributes:
        run: Its number in the store, from 1.
        plan: What was to be played.
        mode: How it was shown.
        shown: What of it was shown.
        is_full_replay: Whether its ticks and events are kept.
        status: `completed`, `interrupted`, `failed` or `unfinished`.
        started_at: Universal time.
        ended_at: Likewise; None if it has not been ended.
        version: Of the package that played it.
        definition: The scenario in JSON, every default filled in.
        event_schema_version: Of its events.
    """

    run: int
    plan: RunPlan
    mode: str
    shown: Filter
    is_full_replay: bool
    status: str
    started_at: datetime
    ended_at: datetime | None
    version: str
    definition: str
    event_schema_version: int


class Store:
    """Runs in a file; use it as a context manager."""

    def __init__(self, path: str | os.PathLike[str], *, must_exist: bool = False) -> None:
        """Open a store, or make one; an older one becomes one of today.

        Args:
            path: Its file.
            must_exist: Whether a file that is not there is an error.

        Raises:
            StoreError: If it cannot be opened, is no store, or one of a newer version.
        """
        self.path = Path(path)
        if not self.path.exists() and must_exist:
            raise StoreError(f"{self.path}: there is no such store")
        if not self.path.absolute().parent.is_dir():
            raise StoreError(f"{self.path}: there is no folder {self.path.parent}")
        try:
            # DuckDB takes names such as `:memory:` and `md:runs` for something else than files.
            with deferred_sigint():
                self._db = duckdb.connect(str(self.path.absolute()))
        except duckdb.Error as error:
            raise StoreError(_problem(self.path, error)) from None
        try:
            self._migrate()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin_run(
        self, plan: RunPlan, scenario: Scenario, *, mode: str, shown: Filter, is_full_replay: bool
    ) -> int:
        """Enter a run that is about to be played.

        Returns:
            Its number.
        """
        with self._transaction():
            (last,) = self._one("SELECT coalesce(max(run), 0) FROM runs")
            self._db.execute(
                f"INSERT INTO runs VALUES ({', '.join('?' * 17)})",
                [
                    run := int(last) + 1,
                    plan.name,
                    plan.seed,
                    mode,
                    _filter_json(shown),
                    plan.ticks_per_day,
                    plan.num_days,
                    plan.max_ticks,
                    list(plan.banks),
                    list(plan.rails),
                    is_full_replay,
                    UNFINISHED,
                    _now(),
                    None,
                    version("paysim-gym"),
                    scenario.model_dump_json(),
                    EVENT_SCHEMA_VERSION,
                ],
            )
        return run

    def keep_day(
        self,
        run: int,
        report: DayReport,
        ended: Sequence[PaymentRecord],
        still_open: Sequence[PaymentRecord],
        ticks: Sequence[TickRecord] = (),
    ) -> None:
        """Keep a day in one transaction.

        Args:
            run: The run's number.
            report: The day's figures.
            ended: Payments that settled, were dropped or split on this day.
            still_open: All payments that are unsettled when it is over.
            ticks: Its ticks, for full replay.
        """
        with self._transaction():
            self._append("days", columns.day_columns(run, report))
            self._append("bank_days", columns.bank_day_columns(run, report))
            self._db.execute("DELETE FROM payments WHERE run = ? AND status = 'open'", [run])
            self._append("payments", columns.payment_columns(run, [*ended, *still_open]))
            self._append("ticks", columns.tick_columns(run, ticks))
            self._append("events", columns.event_columns(run, ticks))

    def end_run(self, run: int, status: Status) -> None:
        """Note how a run has ended."""
        with self._transaction():
            self._db.execute("UPDATE runs SET status = ?, ended_at = ? WHERE run = ?", [status, _now(), run])

    def runs(self) -> list[StoredRun]:
        """All runs, the oldest first."""
        return [_run_from(row) for row in self._rows("SELECT * FROM runs ORDER BY run")]

    def run(self, name: str) -> StoredRun:
        """A run by its number, or the `last` one.

        Raises:
            StoreError: If there is none.
        """
        runs = {str(stored.run): stored for stored in self.runs()}
        found = next(reversed(runs.values()), None) if name == "last" else runs.get(name)
        if found is None:
            numbers = f"must be one of {', '.join(runs)}, or last" if runs else "the store has no runs"
            raise StoreError(f"{self.path}: run = {name!r}: {numbers}")
        return found

    def metrics(self, run: int) -> RunMetrics:
        """The figures of a run, from its days."""
        totals = RunTotals()
        for report in self.days(run):
            totals = totals.with_day(report.day, report.banks)
        return totals.metrics()

    def days(self, run: int) -> list[DayReport]:
        """The days of a run."""
        banks: dict[int, list[Any]] = {}
        for row in self._rows("SELECT * FROM bank_days WHERE run = ? ORDER BY day, rowid", [run]):
            bank_day = columns.bank_day_from(row)
            banks.setdefault(bank_day.day, []).append(bank_day)
        days = self._rows("SELECT * FROM days WHERE run = ? ORDER BY day", [run])
        return [DayReport(columns.day_from(row), tuple(banks[row["day"]])) for row in days]

    def ticks(self, run: int) -> Iterator[TickRecord]:
        """The ticks of a run with full replay, one day in memory at a time."""
        days = self._rows("SELECT day FROM days WHERE run = ? ORDER BY day", [run])
        for day in (row["day"] for row in days):
            events: dict[int, list[dict[str, Any]]] = {}
            of_day = "WHERE run = ? AND day = ? ORDER BY tick"
            for row in self._rows(f"SELECT * FROM events {of_day}, sequence", [run, day]):
                events.setdefault(row["tick"], []).append(columns.event_from(row))
            for row in self._rows(f"SELECT * FROM ticks {of_day}", [run, day]):
                yield TickRecord(columns.outcome_from(row), events.get(row["tick"], []))

    def export(self, run: int, table: str, path: str | os.PathLike[str]) -> None:
        """Write the rows of a run to a CSV file (.csv) or a Parquet file (.parquet), whole or not at all.

        Raises:
            StoreError: If there is no such table, or the file cannot be written.
        """
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
            raise StoreError(f"{self.path}: is a database of something else")
        found = self._one("SELECT version FROM paysim_store")[0] if tables else FIRST_VERSION - 1
        if tables and found < FIRST_VERSION:
            raise StoreError(
                f"{self.path}: was written by paysim-gym 0.1.0, whose event schema is no longer supported; "
                "play its runs again into a new store"
            )
        if found > VERSION:
            raise StoreError(
                f"{self.path}: is of version {found}, this package knows versions up to {VERSION}; update it"
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
        """All of it or nothing; a Ctrl-C waits for the end.

        Raises:
            StoreError: If it cannot be written.
        """
        with deferred_sigint():
            try:
                self._db.execute("BEGIN")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                with suppress(duckdb.Error):
                    self._db.execute("ROLLBACK")
                if isinstance(error, duckdb.Error):
                    raise StoreError(_problem(self.path, error)) from None
                raise

    def _append(self, table: str, batch: columns.Columns) -> None:
        # DuckDB finds `batch` by its name in this function; `executemany` is a thousand times slower.
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
        ticks_per_day=row["ticks_per_day"],
        num_days=row["num_days"],
        banks=tuple(row["banks"]),
        rails=tuple(row["rails"]),
        max_ticks=row["max_ticks"],
    )
    columns_of_row = (f.name for f in fields(StoredRun) if f.name in row)
    return StoredRun(
        plan=plan,
        shown=_filter_from(json.loads(row["filter"])),
        **{name: row[name] for name in columns_of_row},
    )


def _filter_json(shown: Filter) -> str:
    sets = {name: sorted(getattr(shown, name)) for name in ("banks", "payments", "types")}
    return json.dumps({**sets, "first_tick": shown.first_tick, "last_tick": shown.last_tick})


def _filter_from(data: dict[str, Any]) -> Filter:
    return Filter(
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


def _problem(path: Path, error: Exception) -> str:
    """What DuckDB or the system says of a file, in a line."""
    text = str(error)
    if "lock" in text:
        return f"{path}: is in use by another process"
    if "not a valid DuckDB database file" in text:
        return f"{path}: is no store"
    return f"{path}: cannot be opened: {text.splitlines()[0]}"
