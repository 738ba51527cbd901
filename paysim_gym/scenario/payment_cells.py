"""The cells of a payments file: CSV or Parquet as columns of text, and the numbers that they spell.

DuckDB does the reading, but guesses nothing: a line of a CSV file becomes one text, which is split here, so
that a line keeps its number and no sniffed quote, type or comment changes what it means.
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
MOMENTS: Final = ("tick", "time")
OPTIONAL: Final = ("deadline", "priority", "divisible")
WRONG: Final = -2
"""Stands for a cell that spells no allowed kind of value."""
NONE_GIVEN: Final = -1
"""Stands for an empty cell of the column `deadline`."""
MAX_PROBLEMS: Final = 20
"""How many problems of a file an error names."""

_SEPARATOR = "\x1f"
_LONGEST_LINE = 2_000_000
_LINES = f"""CREATE TEMP TABLE lines AS SELECT line FROM read_csv(?, columns={{'line': 'VARCHAR'}},
    auto_detect=false, header=false, strict_mode=true, delim='{_SEPARATOR}', quote='', escape='',
    max_line_size={_LONGEST_LINE}, hive_partitioning=false)"""
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
    """An open payments file: the table `cells`, one text column for each of the file's, and `place`.

    Attributes:
        name: The file, as errors call it.
        unit: What `place` counts: the lines of a CSV file, the rows of a Parquet file, from 1.
        columns: The file's columns.
        has_dates: Whether days are dates; else they are integers.
        misfits: How many lines have another number of fields than the header.
        first_misfits: Line and number of fields of the first of them.
        database: Where the table is.
    """

    name: str
    unit: str
    columns: tuple[str, ...]
    has_dates: bool
    misfits: int
    first_misfits: tuple[tuple[int, int], ...]
    database: DuckDBPyConnection

    @property
    def moment(self) -> str:
        """The column of the arrivals: `tick` or `time`."""
        return next(column for column in MOMENTS if column in self.columns)

    def ids(self) -> tuple[str, ...]:
        """The banks that the file names, in alphabetical order."""
        named = "SELECT sender AS id FROM cells UNION SELECT receiver FROM cells"
        rows = self.database.execute(f"SELECT id FROM ({named}) WHERE regexp_full_match(id, '{ID}')")
        return tuple(sorted(id for (id,) in rows.fetchall()))

    def values(self, banks: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Every cell as an integer, or `WRONG`; rows by day, moment and place.

        Args:
            banks: Ids of the banks, each of them of the form `ID`; a bank's value is its index here.

        Returns:
            int64 arrays of shape (rows,): `place`, `day` (a date: days since the year 1), `moment` (a tick,
            or a time: seconds since midnight), `sender`, `receiver`, `amount`, `deadline` (like `moment`),
            `priority` and `divisible`.
        """
        members = ", ".join(f"'{bank}'" for bank in banks)
        self.database.execute(f"CREATE TYPE bank AS ENUM ({members})")
        moment = _INTEGER if self.moment == "tick" else _TIME
        numbers = {
            "place": "place",
            "day": (_DATE if self.has_dates else _INTEGER).format("day"),
            "moment": moment.format(f'"{self.moment}"'),
            "sender": _BANK.format("sender"),
            "receiver": _BANK.format("receiver"),
            "amount": _INTEGER.format("amount"),
            "deadline": self._or("deadline", moment, NONE_GIVEN),
            "priority": self._or("priority", _INTEGER, 5),
            "divisible": self._or("divisible", _BOOL, 1),
        }
        columns = ", ".join(f'coalesce({number}, {WRONG}) AS "{name}"' for name, number in numbers.items())
        table = f"SELECT * FROM (SELECT {columns} FROM cells) ORDER BY day, moment, place"
        found = self.database.execute(table).fetchnumpy()
        return {name: np.asarray(found[name], np.int64) for name in numbers}

    def texts(self, places: Sequence[int]) -> dict[int, dict[str, str]]:
        """The cells at some places."""
        found = self.database.execute("SELECT * FROM cells WHERE list_contains(?, place)", [list(places)])
        return {place: dict(zip(self.columns, texts, strict=True)) for place, *texts in found.fetchall()}

    def _or(self, column: str, number: str, default: int) -> str:
        if column not in self.columns:
            return str(default)
        return f"CASE {column} WHEN '' THEN {default} ELSE {number.format(column)} END"


@contextmanager
def open_cells(path: str | os.PathLike[str]) -> Iterator[Cells]:
    """Open a payments file.

    Args:
        path: A file whose name ends in .csv or .parquet.

    Raises:
        ScenarioError: If it cannot be read, is empty, or has other columns than a payments file has.
    """
    import duckdb  # takes a while to load, and who brings no payments needs none of it

    name = os.fspath(path)
    kind = _kind(name)
    # No network, whatever the file says.
    with duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    ) as database:
        try:
            yield _read_csv(database, name) if kind == ".csv" else _read_parquet(database, name)
        except duckdb.Error as error:
            why = _why_unreadable(name) if kind == ".csv" else None
            detail = why or str(error).partition("\n")[0]
            raise ScenarioError(f"{name}: cannot be read: {detail}") from None


def _kind(name: str) -> str:
    kind = Path(name).suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise ScenarioError(f"{name}: must be a CSV or Parquet file, its name ending in .csv or .parquet")
    try:
        with open(name, "rb") as file:
            start = file.read(4)
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not start:
        raise ScenarioError(f"{name}: is empty")
    if kind == ".parquet" and start != b"PAR1":
        raise ScenarioError(f"{name}: not a Parquet file, in spite of its name")
    return kind


def _pattern(name: str) -> str:
    """The path as DuckDB takes it, in which *, ? and [ would match other files, and a:// is an address."""
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
        f"CREATE TEMP VIEW rows AS SELECT rowid + 1 AS place, string_split({line}, '{delimiter}') AS fields"
        f" FROM lines WHERE rowid > {header[0]} AND {_IS_FILLED}"
    )
    misfits = database.execute(
        "SELECT place, len(fields), count(*) OVER () FROM rows"
        f" WHERE len(fields) <> {len(columns)} ORDER BY place LIMIT {MAX_PROBLEMS}"
    ).fetchall()
    cells = [f'{cell.format(f"fields[{index}]")} AS "{column}"' for index, column in enumerate(columns, 1)]
    has_dates = _make_cells(database, f"rows WHERE len(fields) = {len(columns)}", [], cells)
    total = misfits[0][2] if misfits else 0
    first = tuple((place, count) for place, count, _ in misfits)
    return Cells(name, "line", tuple(columns), has_dates, total, first, database)


def _cleaning(database: DuckDBPyConnection, delimiter: str) -> tuple[str, str]:
    """What to split, and what to make of a field: only what this file needs, as each step takes its time."""
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
    numbered = f"(SELECT *, file_row_number + 1 AS place FROM {_PARQUET.format(', file_row_number=true')})"
    has_dates = _make_cells(database, numbered, source, cells)
    return Cells(name, "row", tuple(types), has_dates, 0, (), database)


def _make_cells(database: DuckDBPyConnection, source: str, values: list[str], cells: list[str]) -> bool:
    """Make the table, and say whether the first day in it is a date."""
    database.execute(f"CREATE TEMP TABLE cells AS SELECT place, {', '.join(cells)} FROM {source}", values)
    first = database.execute(
        f"SELECT contains(day, '-') FROM cells WHERE regexp_full_match(day, '[0-9]+|{_ISO}')"
        " ORDER BY place LIMIT 1"
    ).fetchone()
    return first == (True,)


def _check_columns(name: str, columns: Sequence[str]) -> None:
    allowed = (*REQUIRED[:1], *MOMENTS, *REQUIRED[1:], *OPTIONAL)
    problems = [
        f"column {column!r}: unknown; allowed: {', '.join(allowed)}"
        for column in columns
        if column not in allowed
    ]
    problems += [f"column {column!r}: stands twice" for column in allowed if list(columns).count(column) > 1]
    problems += [
        f"column {column!r}: missing; it is required" for column in REQUIRED if column not in columns
    ]
    if not any(column in columns for column in MOMENTS):
        problems.append("column 'tick': missing; it is required, or 'time' in its place")
    if all(column in columns for column in MOMENTS):
        problems.append("columns 'tick' and 'time': only one of them can say when a payment arrives")
    if problems:
        raise ScenarioError("\n".join(f"{name}: {problem}" for problem in problems))


def _why_unreadable(name: str) -> str | None:
    """What DuckDB says less clearly about a CSV file."""
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
        return f"lines must end in one way, not in {' and '.join(used)}"
    for number, text in enumerate(data.splitlines(), 1):
        if _SEPARATOR.encode() in text:
            return f"line {number}: must not have the control character {_SEPARATOR!r}"
        if len(text) >= _LONGEST_LINE:
            return f"line {number}: has {len(text)} bytes: must have less than {_LONGEST_LINE}"
    return None
