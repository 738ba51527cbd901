"""`paysim calibrate`, and the help."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from command import Called

import paysim_gym.cli
from paysim_gym import load_scenario

PAYMENTS = """\
day,time,sender,receiver,amount
2024-03-01,09:12,BANK_A,BANK_B,1250000
2024-03-01,10:00,BANK_B,BANK_A,7
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "payments.csv").write_text(PAYMENTS, "utf-8")
    return tmp_path


def test_the_package_has_the_command() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, function = project["scripts"]["paysim"].partition(":")
    assert module == paysim_gym.cli.__name__
    assert callable(getattr(paysim_gym.cli, function))


def test_calibrate_writes_a_scenario(call: Called, folder: Path) -> None:
    options = ["--ticks-per-day", 20, "--opening-time", "08:00", "--closing-time", "12:00", "--windows", 2]
    shown = call("calibrate", "payments.csv", "-o", "fitted.yaml", *options)
    assert shown == "fitted.yaml written; `load_scenario('fitted.yaml')` reads it.\n"
    assert call.errors == ""
    scenario = load_scenario(folder / "fitted.yaml")
    assert scenario.ticks_per_day == 20
    assert [bank.id for bank in scenario.agents] == ["BANK_A", "BANK_B"]
    assert scenario.agents[0].arrival_config is not None
    assert [window.end_tick for window in scenario.agents[0].arrival_config.time_windows] == [10, 20]
    assert "08:00 to 12:00" in scenario.description
    assert sorted(path.name for path in folder.iterdir()) == ["fitted.yaml", "payments.csv"]


def test_a_scenario_is_replaced_only_by_force(call: Called, folder: Path) -> None:
    target = folder / "fitted.yaml"
    target.write_text("mine", "utf-8")
    assert call("calibrate", "payments.csv", "-o", "fitted.yaml", code=2) == ""
    assert call.errors == "error: fitted.yaml: already exists; --force overwrites it\n"
    assert target.read_text("utf-8") == "mine"
    call("calibrate", "payments.csv", "-o", "fitted.yaml", "--force")
    assert target.read_text("utf-8").startswith("# A payment system")


def test_the_payments_are_never_replaced(call: Called, folder: Path) -> None:
    call("calibrate", "payments.csv", "-o", "payments.csv", "--force", code=2)
    assert call.errors == "error: payments.csv: is the payments file\n"
    assert (folder / "payments.csv").read_text("utf-8") == PAYMENTS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.csv", "-o", "x.yaml"], "error: absent.csv: cannot be read: No such file or directory"),
        (["wrong.csv", "-o", "x.yaml"], "line 2: amount = '1.5': must be an integer number of cents"),
        (
            ["wrong.csv", "-o", "no/such/folder/x.yaml"],
            "error: no/such/folder/x.yaml: there is no folder no/such/folder\n",
        ),
        (
            ["wrong.csv", "-o", "payments.csv/x.yaml"],
            "error: payments.csv/x.yaml: there is no folder payments.csv\n",
        ),
        (["wrong.csv", "-o", "."], "error: .: is a folder; name a file\n"),
        (["wrong.csv", "-o", ".", "--force"], "error: .: is a folder; name a file\n"),
        (
            ["payments.csv", "-o", f"{'x' * 250}.yaml"],
            f"error: {'x' * 250}.yaml: cannot be written: File name too long\n",
        ),
        (
            ["payments.csv", "-o", "x.yaml", "--opening-time", "09:00"],
            "error: closing_time: missing; it is required with opening_time\n",
        ),
        (
            ["payments.csv", "-o", "x.yaml", "--closing-time", "19:00"],
            "error: opening_time: missing; it is required with closing_time\n",
        ),
        (
            ["payments.csv", "-o", "x.yaml", "--opening-time", "9", "--closing-time", "19:00"],
            "error: opening_time = '9': must be a time",
        ),
        (["payments.csv", "-o", "x.yaml", "--windows", "49"], "error: windows = 49: must be an integer"),
        (["payments.csv", "-o", "x.yaml", "--ticks-per-day", "0"], "--ticks-per-day"),
        (["payments.csv"], "--out"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    call: Called, folder: Path, arguments: list[str], message: str
) -> None:
    (folder / "wrong.csv").write_text("day,tick,sender,receiver,amount\n1,1,A,B,1.5\n", "utf-8")
    before = sorted(folder.iterdir())
    assert call("calibrate", *arguments, code=2) == ""
    assert message in call.errors
    assert "Traceback" not in call.errors
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("arguments", [[], ["calibrate"]])
def test_help_teaches(call: Called, arguments: list[str]) -> None:
    shown = call(*arguments, "--help")
    assert "calibrate" in shown
    if arguments:
        assert "paysim calibrate payments.csv -o my_system.yaml" in shown
        assert "2024-03-01,09:12,BANK_A,BANK_B,1250000" in shown
