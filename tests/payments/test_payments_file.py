"""Payments files: valid content and error messages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from paysim_gym import ScenarioError
from paysim_gym.scenario.field_types import Identifier
from paysim_gym.scenario.payments_file import PaymentTable, load_payments

HEADER = "day,tick,sender,receiver,amount"
TIMES: dict[str, Any] = {"opening_time": "07:00", "closing_time": "19:00"}
FULL = """\
day,tick,sender,receiver,amount,deadline,priority,divisible
2024-03-02,47,B,A,1,,,
2024-03-01,5,A,B,1000000000000000,5,0,false
2024-03-01,5,C,B,0070,47,10,TRUE
2024-03-01,0,A,C,12,9,3,0
"""


def load(tmp_path: Path, text: str | bytes, name: str = "payments.csv", **arguments: Any) -> PaymentTable:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_payments(path, **{"ticks_per_day": 48, **arguments})


def refusal(tmp_path: Path, text: str | bytes, name: str = "payments.csv", **arguments: Any) -> str:
    """The error message, with the file's name instead of its path."""
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, text, name, **arguments)
    assert str(tmp_path) in str(caught.value)
    return str(caught.value).replace(f"{tmp_path}/", "")


def columns(payments: PaymentTable) -> dict[str, list[Any]]:
    names = ("day", "tick", "sender", "receiver", "amount", "deadline", "priority", "divisible")
    arrays = {name: getattr(payments, name) for name in names}
    for name, array in arrays.items():
        assert array.dtype == (np.bool_ if name == "divisible" else np.int64)
        assert array.shape == (len(payments),)
        assert not array.flags.writeable
    return {name: array.tolist() for name, array in arrays.items()}


def to_parquet(tmp_path: Path, select: str) -> Path:
    path = tmp_path / "payments.parquet"
    with duckdb.connect() as database:
        database.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def test_every_column_is_read_and_sorted_by_day_and_tick(tmp_path: Path) -> None:
    payments = load(tmp_path, FULL)
    assert (payments.banks, payments.days, payments.hours) == (
        ("A", "B", "C"),
        ("2024-03-01", "2024-03-02"),
        None,
    )
    assert columns(payments) == {
        "day": [0, 0, 0, 1],
        "tick": [0, 5, 5, 47],
        "sender": [0, 0, 2, 1],
        "receiver": [2, 1, 1, 0],
        "amount": [12, 10**15, 70, 1],
        "deadline": [9, 5, 47, -1],
        "priority": [3, 0, 10, 5],
        "divisible": [False, False, True, True],
    }


def test_days_are_sorted_as_numbers_and_optional_columns_may_lack(tmp_path: Path) -> None:
    payments = load(tmp_path, f"{HEADER}\n10,1,A,B,5\n9,2,B,A,6\n010,0,A,B,7\n")
    assert payments.days == ("9", "10")
    assert columns(payments) == {
        "day": [0, 1, 1],
        "tick": [2, 0, 1],
        "sender": [1, 0, 0],
        "receiver": [0, 1, 1],
        "amount": [6, 7, 5],
        "deadline": [-1, -1, -1],
        "priority": [5, 5, 5],
        "divisible": [True, True, True],
    }


@pytest.mark.parametrize(
    "text",
    [
        FULL.replace("\n", "\r\n"),
        "\ufeff" + FULL,
        FULL.replace(",", ";"),
        FULL.replace(",", "\t"),
        FULL.replace(",", " |\t"),
        "\n \n" + FULL.replace("\n", "\n\n") + "\n",
        '"' + FULL.rstrip().replace(",", '","').replace("\n", '"\n"') + '"',
        ' " ' + FULL.rstrip().replace(",", ' ", " ').replace("\n", ' "\n" ') + '"',
    ],
    ids=["windows", "mark", "semicolons", "tabs", "bars", "blank lines", "quotes", "quotes and blanks"],
)
def test_dialects_of_csv_mean_the_same(tmp_path: Path, text: str) -> None:
    assert columns(load(tmp_path, text)) == columns(load(tmp_path, FULL))


def test_parquet_means_the_same_with_types_as_with_text(tmp_path: Path) -> None:
    (tmp_path / "full.csv").write_text(FULL, "utf-8")
    expected = columns(load(tmp_path, FULL))
    for options in ("all_varchar=true", "auto_detect=true"):
        path = to_parquet(tmp_path, f"SELECT * FROM read_csv('{tmp_path}/full.csv', {options})")
        assert columns(load_payments(path, ticks_per_day=48)) == expected


def test_parquet_takes_timestamps_and_times(tmp_path: Path) -> None:
    path = to_parquet(
        tmp_path,
        "SELECT TIMESTAMP '2024-03-01 00:00:00' AS day, TIME '07:15:00' AS time, 'A' AS sender,"
        " 'B' AS receiver, 5::UTINYINT AS amount, NULL AS deadline, true AS divisible",
    )
    payments = load_payments(path, ticks_per_day=48, opening_time="07:00", closing_time="19:00")
    assert (payments.days, payments.tick.tolist(), payments.deadline.tolist()) == (("2024-03-01",), [1], [-1])


def test_wrong_rows_of_parquet_are_counted_from_one(tmp_path: Path) -> None:
    row = "SELECT 1 AS day, {} AS tick, 'A' AS sender, 'B' AS receiver, {} AS amount"
    path = to_parquet(
        tmp_path, " UNION ALL ".join([row.format(0, "5.5"), row.format(48, "7.0"), row.format(1, "NULL")])
    )
    with pytest.raises(ScenarioError) as caught:
        load_payments(path, ticks_per_day=48)
    assert str(caught.value).splitlines()[1:] == [
        "row 1: amount = '5.5': must be an integer number of cents between 1 and 1000000000000000",
        "row 2: tick = '48': must be an integer between 0 and 47",
        "row 2: amount = '7.0': must be an integer number of cents between 1 and 1000000000000000",
        "row 3: amount: missing; must be an integer number of cents between 1 and 1000000000000000",
    ]


def test_times_become_ticks_exactly(tmp_path: Path) -> None:
    # A tick of 12 h / 7 lasts 6171 3/7 s: the second starts between 08:42:51 and 08:42:52.
    rows = ["07:00,", "08:42:51,", "08:42:52,08:42:52", "18:59:59,19:00", "07:00:01,18:59"]
    text = "day,time,sender,receiver,amount,deadline\n" + "\n".join(
        f"1,{row.replace(',', ',A,B,1,')}" for row in rows
    )
    payments = load(tmp_path, text, ticks_per_day=7, **TIMES)
    assert payments.hours == ("07:00", "19:00")
    assert payments.tick.tolist() == [0, 0, 0, 1, 6]
    assert payments.deadline.tolist() == [-1, 6, -1, 1, 6]


def test_the_day_may_end_at_midnight(tmp_path: Path) -> None:
    text = "day,time,sender,receiver,amount,deadline\n1,23:59:59,A,B,1,24:00\n1,00:00,A,B,1,\n"
    payments = load(tmp_path, text, ticks_per_day=24, opening_time="00:00", closing_time="24:00")
    assert (payments.tick.tolist(), payments.deadline.tolist()) == ([0, 23], [-1, 23])


def test_banks_are_indexed_in_the_order_given(tmp_path: Path) -> None:
    names = [f"BANK_{number}" for number in range(999, -1, -1)]
    payments = load(tmp_path, f"{HEADER}\n1,1,BANK_7,BANK_999,5\n", banks=names)
    assert payments.banks == tuple(names)
    assert (payments.sender.tolist(), payments.receiver.tolist()) == ([992], [0])


def test_every_wrong_cell_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        "\nday,tick,sender,receiver,amount,deadline,priority,divisible\n"
        "1,5,A,B,7,4,11,maybe\n"
        "\n"
        "x,48,a,A,100.0,,,\n"
        "1,5,B,B,0,,3.0,\n"
        "1,5,A,B\n"
        ",-1,A,,1e3,48,-1,2\n"
    )
    assert refusal(tmp_path, text).splitlines() == [
        "payments.csv: has invalid values",
        "line 3: deadline = '4': must be an integer between the payment's tick and 47",
        "line 3: priority = '11': must be an integer between 0 and 10",
        "line 3: divisible = 'maybe': must be true, false, 1 or 0",
        "line 5: day = 'x': must be an integer from 0, like the file's first day",
        "line 5: tick = '48': must be an integer between 0 and 47",
        "line 5: sender = 'a': must be 1 to 64 characters from A-Z, 0-9 and _",
        "line 5: amount = '100.0': must be an integer number of cents between 1 and 1000000000000000",
        "line 6: receiver = 'B': must not be the sender",
        "line 6: amount = '0': must be an integer number of cents between 1 and 1000000000000000",
        "line 6: priority = '3.0': must be an integer between 0 and 10",
        "line 7: has 4 fields: must have 8, like the header",
        "line 8: day: missing; must be an integer from 0, like the file's first day",
        "line 8: tick = '-1': must be an integer between 0 and 47",
        "line 8: receiver: missing; must be 1 to 64 characters from A-Z, 0-9 and _",
        "line 8: amount = '1e3': must be an integer number of cents between 1 and 1000000000000000",
        "line 8: deadline = '48': must be an integer between the payment's tick and 47",
        "line 8: priority = '-1': must be an integer between 0 and 10",
        "line 8: divisible = '2': must be true, false, 1 or 0",
    ]


def test_twenty_problems_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    rows = ["1,1,A,B,0", "1,1"] * 30
    told = refusal(tmp_path, "\n".join([HEADER, *rows])).splitlines()
    assert [line.partition(":")[0] for line in told[1:-1]] == [f"line {line}" for line in range(2, 22)]
    assert told[-1] == "... and 40 more"


def test_lines_keep_their_numbers_in_a_large_file(tmp_path: Path) -> None:
    rows = ["1,1,A,B,5", ""] * 150_000
    rows[123_456] = rows[299_998] = "1,1,A,B,5.0"
    told = refusal(tmp_path, "\n".join([HEADER, *rows])).splitlines()
    assert [line.partition(":")[0] for line in told[1:]] == ["line 123458", "line 300000"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            "2024-03-01,06:59:59,A,B,1,",
            "time = '06:59:59': must be a time of day (HH:MM or HH:MM:SS) from 07:00 to",
        ),
        (
            "2024-03-01,19:00,A,B,1,",
            "time = '19:00': must be a time of day (HH:MM or HH:MM:SS) from 07:00 to before",
        ),
        ("2024-03-01,7:15,A,B,1,", "time = '7:15'"),
        ("2024-03-01,09:60,A,B,1,", "time = '09:60'"),
        (
            "2024-03-01,09:10,A,B,1,09:09",
            "deadline = '09:09': must be a time of day (HH:MM or HH:MM:SS) between",
        ),
        ("2024-03-01,09:10,A,B,1,19:00:01", "deadline = '19:00:01'"),
        ("2024-03-01,09:10,A,B,1,40", "deadline = '40'"),
        (
            "2024-02-30,09:10,A,B,1,",
            "day = '2024-02-30': must be a date like 2024-03-01, like the file's first day",
        ),
        ("61,09:10,A,B,1,", "day = '61': must be a date"),
    ],
)
def test_wrong_times_and_dates_are_refused(tmp_path: Path, row: str, told: str) -> None:
    text = f"day,time,sender,receiver,amount,deadline\n2024-03-01,07:00,A,B,1,\n{row}\n"
    problems = refusal(tmp_path, text, **TIMES).splitlines()[1:]
    assert len(problems) == 1
    assert problems[0].startswith(f"line 3: {told}")


def test_strange_banks_are_refused(tmp_path: Path) -> None:
    text = f"{HEADER}\n1,1,A,C,5\n"
    assert "line 2: receiver = 'C': must be one of A, B" in refusal(tmp_path, text, banks=["A", "B"])
    many = [f"B{number}" for number in range(15)]
    assert "must be one of B0, B1, B2, B3, B4, B5, B6, B7, B8, B9 and 5 more" in refusal(
        tmp_path, text, banks=many
    )


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("day,tick,sender,receiver", ["column 'amount': missing; it is required"]),
        ("day,sender,receiver,amount", ["column 'tick': missing; it or 'time' is required"]),
        (f"{HEADER},time", ["columns 'tick' and 'time': only one of them is allowed"]),
        (f"{HEADER},amount", ["column 'amount': duplicate"]),
        (
            "Day,tick,sender,receiver,amount",
            [
                "column 'Day': unknown; allowed: day, tick, time, sender, receiver, amount, deadline, "
                "priority, divisible",
                "column 'day': missing; it is required",
            ],
        ),
    ],
)
def test_wrong_columns_are_refused(tmp_path: Path, header: str, told: list[str]) -> None:
    expected = "\n".join(f"payments.csv: {line}" for line in told)
    assert refusal(tmp_path, f"{header}\n1,1,A,B,5\n") == expected


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("payments.csv", b"", "is empty"),
        ("payments.csv", b" \n\n", "is empty"),
        ("payments.csv", HEADER.encode(), "has no payments, only a header"),
        (
            "payments.csv",
            f"{HEADER}\n1,1,A,\xc9,5".encode("latin-1"),
            "cannot be read: line 2: must be text in UTF-8",
        ),
        (
            "payments.csv",
            f"{HEADER}\n1,1,A,B,5".encode("utf-16"),
            "cannot be read: line 1: must be text in UTF-8",
        ),
        (
            "payments.csv",
            f"{HEADER}\r\n1,1,A,B,5\n1,1,A,B,5\n".encode(),
            r"cannot be read: all lines must have the same line ending, found \r\n and \n",
        ),
        (
            "payments.csv",
            f"{HEADER}\n1,1,A,B,5\n1,1,A\x1f,B,5\n".encode(),
            r"cannot be read: line 3: must not have the control character '\x1f'",
        ),
        ("payments.parquet", b"", "is empty"),
        ("payments.parquet", HEADER.encode(), "is named like a Parquet file, but is not one"),
        ("payments.parquet", b"PAR1 and more PAR1", "cannot be read: Invalid Input Error: Footer length"),
        ("payments.xlsx", b"PK", "must be a CSV or Parquet file, its name ending in .csv or .parquet"),
    ],
)
def test_what_is_no_payments_file_is_refused(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    assert refusal(tmp_path, data, name).startswith(f"{name}: {told}")


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    told = refusal(tmp_path, f"{HEADER}\n1,1,A,B,{'5' * 2_100_000}\n")
    assert told == "payments.csv: cannot be read: line 2: has 2100008 bytes: must have less than 2000000"


@pytest.mark.parametrize("bank", ["", "a", "A B", "\u00c4", "\u0661", "A\n", "A" * 65])
def test_a_bank_that_no_scenario_can_have_is_refused_in_its_words(bank: str) -> None:
    with pytest.raises(ValidationError) as of_scenario:
        TypeAdapter(Identifier).validate_python(bank)
    with pytest.raises(ScenarioError) as of_payments:
        load_payments("absent.csv", banks=[bank], ticks_per_day=48)
    assert str(of_payments.value).endswith(f": {of_scenario.value.errors()[0]['msg']}")


@pytest.mark.parametrize("bank", ["A", "_", "0", "BANK_7", "A" * 64])
def test_a_bank_that_a_scenario_can_have_is_taken(tmp_path: Path, bank: str) -> None:
    TypeAdapter(Identifier).validate_python(bank)
    assert load(tmp_path, f"{HEADER}\n1,1,{bank},OTHER,5\n").banks == tuple(sorted([bank, "OTHER"]))


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"absent\.csv: cannot be read: No such file"):
        load_payments(tmp_path / "absent.csv", ticks_per_day=48)


def test_a_name_is_no_pattern_and_a_folder_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "day=5"
    folder.mkdir()
    load(folder, f"{HEADER}\n1,1,A,B,6\n", "ab.csv")
    payments = load(folder, f"{HEADER}\n1,1,A,B,7\n", "[ab]*.csv")
    assert (payments.amount.tolist(), payments.days) == ([7], ("1",))
    path = to_parquet(folder, f"SELECT * FROM read_csv('{folder}/ab.csv', hive_partitioning=false)")
    assert load_payments(path, ticks_per_day=48).days == ("1",)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "has times of day, so opening_time and closing_time are required"),
        ({"opening_time": "07:00"}, "^closing_time: missing; it is required with opening_time$"),
        ({"closing_time": "19:00"}, "^opening_time: missing; it is required with closing_time$"),
        (
            {"opening_time": "07:00", "closing_time": 1140},
            "closing_time = 1140: must be a time of day as text",
        ),
        ({"opening_time": "7:00", "closing_time": "19:00"}, "opening_time = '7:00': must be a time of day"),
        (
            {"opening_time": "19:00", "closing_time": "19:00"},
            "closing_time = '19:00': must be after the opening time",
        ),
        ({**TIMES, "ticks_per_day": 0}, "ticks_per_day = 0: must be an integer between 1 and 1000"),
        ({**TIMES, "ticks_per_day": True}, "ticks_per_day = True: must be an integer"),
        ({**TIMES, "banks": ["A", "b"]}, r"banks\[1\] = 'b': must be 1 to 64 characters"),
        ({**TIMES, "banks": ["A", "A"]}, r"banks\[1\] = 'A': must be unique"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        load(tmp_path, "day,time,sender,receiver,amount\n1,07:00,A,B,1\n", **arguments)


def test_the_database_is_loaded_only_to_read() -> None:
    code = "import sys, paysim_gym, paysim_gym.scenario.payments_file; sys.exit('duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
