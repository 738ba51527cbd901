"""Reads CSV and Parquet payments files as columns of text, and parses their numbers.

DuckDB reads each line of a CSV file as one text, which is split here: lines keep their numbers, and no
sniffed quote, type or comment changes their meaning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from paysim_gym._engine import ScenarioError
from paysim_gym.scenario.field_types import ID, MINUTE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

REQUIRED: Final = ("day", "sender", "receiver", "amount")
ARRIVAL_COLUMNS: Final = ("tick", "time")
OPTIONAL: Final = ("deadline", "priority", "divisible")
INVALID: Final = -2
"""Value of a cell that cannot be parsed."""
MISSING: Final = -1
"""Value of an empty cell of the column `deadline`."""
MAX_ERRORS: Final = 20
"""Number of errors that a message lists."""

_SEPARATOR = "\x1f"
_MAX_LINE_BYTES = 2_000_000
_LINES = f"""CREATE TEMP TABLE lines AS SELECT line FROM read_csv(?, columns={{'line': 'VARCHAR'}},
    auto_detect=false, header=false, strict_mode=true, delim='{_SEPARATOR}', quote='', escape='',
    max_line_size={_MAX_LINE_BYTES}, hive_partitioning=false)"""
_IS_FILLED = "regexp_matches(line, '[^ \t]')"
_UNQUOTED = """CASE WHEN trim({0}) LIKE '"%"' AND length(trim({0})) > 1 THEN trim(trim({0})[2:-2])
    ELSE trim({0}) END"""
_PARQUET = "read_parquet(?, hive_partitioning=false{0})"
_INTEGER = "CASE WHEN regexp_full_match({0}, '[0-9]+') THEN TRY_CAST({0} AS BIGINT) END"
_ISO = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_DATE = (
    f"CASE WHEN regexp_full_match({{0}}, '{_ISO}')"
    " THEN datediff('day', DATE '0001-01-01', TRY_CAST({0} AS DATE)) END"
)
_TIME = (
    f"CASE WHEN regexp_full_match({{0}}, '({MINUTE}(:[0-5][0-9])?)|24:00(:00)?')"
    " THEN 3600 * TRY_CAST({0}[1:2] AS BIGINT) + 60 * TRY_CAST({0}[4:5] AS BIGINT)"
    " + coalesce(TRY_CAST({0}[7:8] AS BIGINT), 0) END"
)
_BANK = "CAST(enum_code(TRY_CAST({0} AS bank)) AS BIGINT)"
_BOOL = "CASE lower({0}) WHEN 'true' THEN 1 WHEN '1' THEN 1 WHEN 'false' THEN 0 WHEN '0' THEN 0 END"


@dataclass(frozen=True)
class Cells:
    """An open payments file as table `cells`: text columns, and the number `line`.

    Attributes:
        name: The file's name, for error messages.
        unit: What `line` counts from 1: the lines of a CSV file, or the rows of a Parquet file.
        columns: The file's columns.
        has_dates: Whether days are dates, otherwise integers.
        ragged_lines: Number of lines with another number of fields than the header.
        first_ragged_lines: Line and number of fields of the first of them.
        database: The connection with the table.
    """

    name: str
    unit: str
    columns: tuple[str, ...]
    has_dates: bool
    ragged_lines: int
    first_ragged_lines: tuple[tuple[int, int], ...]
    database: DuckDBPyConnection

    @property
    def arrival_column(self) -> str:
        """The column of the arrivals: `tick` or `time`."""
        return next(column for column in ARRIVAL_COLUMNS if column in self.columns)

    def banks(self) -> tuple[str, ...]:
        """Return the ids of the banks in the file, in alphabetical order."""
        named = "SELECT sender AS id FROM cells UNION SELECT receiver FROM cells"
        rows = self.database.execute(f"SELECT id FROM ({named}) WHERE regexp_full_match(id, '{ID}')")
        return tuple(sorted(id for (id,) in rows.fetchall()))

    def values(self, banks: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Parse all cells as integers or `INVALID`, sorted by day, arrival and line.

        Args:
            banks: Valid ids of the banks; a bank's value is its index.

        Returns:
            int64 arrays of shape (rows,): `line`, `day` (dates in days since the year 1), `arrival` (a tick,
            or seconds since midnight), `sender`, `receiver`, `amount`, `deadline` (like `arrival`),
            `priority` and `divisible`.
        """
        members = ", ".join(f"'{bank}'" for bank in banks)
        self.database.execute(f"CREATE TYPE bank AS ENUM ({members})")
        time = _INTEGER if self.arrival_column == "tick" else _TIME
        numbers = {
            "line": "line",
            "day": (_DATE if self.has_dates else _INTEGER).format("day"),
            "arrival": time.format(f'"{self.arrival_column}"'),
            "sender": _BANK.format("sender"),
            "receiver": _BANK.format("receiver"),
            "amount": _INTEGER.format("amount"),
            "deadline": self._parse_optional("deadline", time, MISSING),
            "priority": self._parse_optional("priority", _INTEGER, 5),
            "divisible": self._parse_optional("divisible", _BOOL, 1),
        }
        columns = ", ".join(f'coalesce({number}, {INVALID}) AS "{name}"' for name, number in numbers.items())
        table = f"SELECT * FROM (SELECT {columns} FROM cells) ORDER BY day, arrival, line"
        found = self.database.execute(table).fetchnumpy()
        return {name: np.asarray(found[name], np.int64) for name in numbers}

    def texts(self, lines: Sequence[int]) -> dict[int, dict[str, str]]:
        """Return the text of the cells of some lines."""
        found = self.database.execute("SELECT * FROM cells WHERE list_contains(?, line)", [list(lines)])
        return {line: dict(zip(self.columns, texts, strict=True)) for line, *texts in found.fetchall()}

    def _parse_optional(self, column: str, number: str, default: int) -> str:
        if column not in self.columns:
            return str(default)
        return f"CASE {column} WHEN '' THEN {default} ELSE {number.format(column)} END"


@contextmanager
def open_cells(path: str | os.PathLike[str]) -> Iterator[Cells]:
    """Open a payments file.

    Args:
        path: A file whose name ends in .csv or .parquet.

    Raises:
        ScenarioError: If it cannot be read, is empty, or does not have the columns of a payments file.
    """
    import duckdb  # slow to import, and only needed for payments files

    name = os.fspath(path)
    suffix = _validate_type(name)
    # No extensions: DuckDB would download them.
    with duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    ) as database:
        try:
            yield _read_csv(database, name) if suffix == ".csv" else _read_parquet(database, name)
        except duckdb.Error as error:
            reason = _unreadable_reason(name) if suffix == ".csv" else None
            detail = reason or str(error).partition("\n")[0]
            raise ScenarioError(f"{name}: cannot be read: {detail}") from None


def _validate_type(name: str) -> str:
    suffix = Path(name).suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise ScenarioError(f"{name}: must be a CSV or Parquet file, its name ending in .csv or .parquet")
    try:
        with open(name, "rb") as file:
            start = file.read(4)
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not start:
        raise ScenarioError(f"{name}: is empty")
    if suffix == ".parquet" and start != b"PAR1":
        raise ScenarioError(f"{name}: is named like a Parquet file, but is not one")
    return suffix


def _pattern(name: str) -> str:
    """Escape a path for DuckDB, which reads patterns and URLs."""
    return re.sub(r"([*?[])", r"[\1]", os.path.abspath(name))


def _read_csv(database: DuckDBPyConnection, name: str) -> Cells:
    database.execute(_LINES, [_pattern(name)])
    top = f"SELECT rowid, line FROM lines WHERE {_IS_FILLED} ORDER BY rowid LIMIT 1"
    header = database.execute(top).fetchone()
    if header is None:
        raise ScenarioError(f"{name}: is empty")
    delimiter = max(",;|\t", key=header[1].count)
    columns = [field.strip(' \t"') for field in header[1].split(delimiter)]
    _check_columns(name, columns)
    line, cell = _cleaning(database, delimiter)
    database.execute(
        f"CREATE TEMP VIEW rows AS SELECT rowid + 1 AS line, string_split({line}, '{delimiter}') AS fields"
        f" FROM lines WHERE rowid > {header[0]} AND {_IS_FILLED}"
    )
    ragged = database.execute(
        "SELECT line, len(fields), count(*) OVER () FROM rows"
        f" WHERE len(fields) <> {len(columns)} ORDER BY line LIMIT {MAX_ERRORS}"
    ).fetchall()
    cells = [f'{cell.format(f"fields[{index}]")} AS "{column}"' for index, column in enumerate(columns, 1)]
    has_dates = _create_cells(database, f"rows WHERE len(fields) = {len(columns)}", [], cells)
    total = ragged[0][2] if ragged else 0
    first = tuple((number, count) for number, count, _ in ragged)
    return Cells(name, "line", tuple(columns), has_dates, total, first, database)


def _cleaning(database: DuckDBPyConnection, delimiter: str) -> tuple[str, str]:
    """Return SQL that cleans a line and a field, without needless steps."""
    has = "SELECT " + ", ".join(f"bool_or(contains(line, {mark}))" for mark in ("'\"'", "' '", "'\t'"))
    has_quotes, has_spaces, has_tabs = database.execute(f"{has} FROM lines").fetchone() or (True, True, True)
    tabs_are_blank = has_tabs and delimiter != "\t"
    line = "replace(line, '\t', ' ')" if tabs_are_blank else "line"
    if has_quotes:
        return line, _UNQUOTED
    return line, "trim({0})" if has_spaces or tabs_are_blank else "{0}"


def _read_parquet(database: DuckDBPyConnection, name: str) -> Cells:
    source = [_pattern(name)]
    described = database.execute(f"DESCRIBE SELECT * FROM {_PARQUET.format('')}", source).fetchall()
    types = {column: kind for column, kind, *_ in described}
    _check_columns(name, list(types))
    cells = []
    for column, kind in types.items():
        text = f"coalesce(trim(CAST(\"{column}\" AS VARCHAR)), '')"
        if column == "day" and kind.startswith("TIMESTAMP"):  # as pandas writes dates
            text = f"regexp_replace({text}, ' 00:00:00$', '')"
        cells.append(f'{text} AS "{column}"')
    numbered = f"(SELECT *, file_row_number + 1 AS line FROM {_PARQUET.format(', file_row_number=true')})"
    has_dates = _create_cells(database, numbered, source, cells)
    return Cells(name, "row", tuple(types), has_dates, 0, (), database)


def _create_cells(database: DuckDBPyConnection, source: str, values: list[str], cells: list[str]) -> bool:
    """Create the table, and return whether its first day is a date."""
    database.execute(f"CREATE TEMP TABLE cells AS SELECT line, {', '.join(cells)} FROM {source}", values)
    first = database.execute(
        f"SELECT contains(day, '-') FROM cells WHERE regexp_full_match(day, '[0-9]+|{_ISO}')"
        " ORDER BY line LIMIT 1"
    ).fetchone()
    return first == (True,)


def _check_columns(name: str, columns: Sequence[str]) -> None:
    allowed = (*REQUIRED[:1], *ARRIVAL_COLUMNS, *REQUIRED[1:], *OPTIONAL)
    errors = [
        f"column {column!r}: unknown; allowed: {', '.join(allowed)}"
        for column in columns
        if column not in allowed
    ]
    errors += [f"column {column!r}: duplicate" for column in allowed if list(columns).count(column) > 1]
    errors += [f"column {column!r}: missing; it is required" for column in REQUIRED if column not in columns]
    if not any(column in columns for column in ARRIVAL_COLUMNS):
        errors.append("column 'tick': missing; it or 'time' is required")
    if all(column in columns for column in ARRIVAL_COLUMNS):
        errors.append("columns 'tick' and 'time': only one of them is allowed")
    if errors:
        raise ScenarioError("\n".join(f"{name}: {error}" for error in errors))


def _unreadable_reason(name: str) -> str | None:
    """Return why a CSV file is unreadable, if it is clearer than DuckDB's message."""
    data = Path(name).read_bytes()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return f"line {line}: must be text in UTF-8"
    both = data.count(b"\r\n")
    ends = {r"\r\n": both, r"\n": data.count(b"\n") - both, r"\r": data.count(b"\r") - both}
    used = [end for end, count in ends.items() if count]
    if len(used) > 1:
        return f"all lines must have the same line ending, found {' and '.join(used)}"
    for number, text in enumerate(data.splitlines(), 1):
        if _SEPARATOR.encode() in text:
            return f"line {number}: must not have the control character {_SEPARATOR!r}"
        if len(text) >= _MAX_LINE_BYTES:
            return f"line {number}: has {len(text)} bytes: must have less than {_MAX_LINE_BYTES}"
    return None
