"""Sub-commands of other packages, shared options and exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from command import Called, invoke

from paysim_gym.cli import plugins
from paysim_gym.cli.plugins import EXTRAS, GROUP

ROOT = Path(__file__).parents[2]
SLOW_MODULES = {"torch", "scipy", "matplotlib", "optuna", "sklearn", "duckdb", "ray", "fastapi"}
MODULES = {
    "tasks": "paysim_agents.tasks",
    "train": "paysim_training.train",
    "evaluate": "paysim_training.evaluate",
    "distil": "paysim_training.distil",
    "distributed": "paysim_training.distributed",
    "benchmark": "paysim_training.studies.benchmark",
    "sweep": "paysim_training.studies.sweep",
    "games": "paysim_training.studies.games",
    "strategic": "paysim_training.studies.strategic",
}


def _project(folder: str) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / folder / "pyproject.toml").read_text("utf-8"))["project"]
    return project


def _install(folder: Path, name: str, entry_points: str) -> Path:
    """Make a folder that holds an installed distribution with these entry points."""
    info = folder / name / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entry_points}", "utf-8")
    return info.parent


def _paysim(*arguments: str, path: list[Path], folder: Path) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "paysim_gym.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": search, "COLUMNS": "200"},
    )


def test_every_command_of_the_sister_packages_is_known() -> None:
    declared = {
        name: folder for folder in ("agents", "training") for name in _project(folder)["entry-points"][GROUP]
    }
    assert declared.keys() == EXTRAS.keys() == MODULES.keys()
    extras = _project(".")["optional-dependencies"]
    for name, folder in declared.items():
        assert f"paysim-{folder}" in extras[EXTRAS[name]][0]


def test_the_help_lists_every_command_and_imports_nothing_slow(tmp_path: Path) -> None:
    code = """
import sys
from paysim_gym.cli import main
try:
    main()
except SystemExit as end:
    print("=", end.code, *sorted({name.partition(".")[0] for name in sys.modules}))
"""
    run = subprocess.run([sys.executable, "-c", code, "-h"], capture_output=True, text=True, cwd=tmp_path)
    (end,) = re.findall(r"^= (.*)$", run.stdout, re.MULTILINE)
    code, *modules = end.split()
    assert (code, run.stderr) == ("0", "")
    assert not SLOW_MODULES & set(modules)
    for name in (*MODULES, "run", "replay", "runs", "scenarios", "calibrate", "serve", "render"):
        assert re.search(rf"^│ {name} ", run.stdout, re.MULTILINE), name


@pytest.mark.parametrize("name", MODULES)
def test_a_command_is_also_a_module(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", MODULES[name], "-h"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert f"Usage: python -m {MODULES[name]}" in run.stdout
    shown = invoke(name, "--help")
    assert shown.exit_code == 0
    assert run.stdout.splitlines()[3:] == shown.stdout.splitlines()[3:]
    assert f"paysim {name} " in shown.stdout


@pytest.mark.parametrize("arguments", [["-h"], ["run", "-h"], ["runs", "-h"], ["runs", "list", "-h"]])
def test_the_short_option_shows_help(arguments: list[str]) -> None:
    shown = invoke(*arguments)
    assert (shown.exit_code, "Usage:" in shown.stdout) == (0, True)


def test_the_version_is_that_of_every_package() -> None:
    version = _project(".")["version"]
    assert invoke("--version").stdout == f"paysim {version}\n"
    for folder in ("agents", "training"):
        assert _project(folder)["version"] == version
        assert (ROOT / folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    engine = tomllib.loads((ROOT / "rust_env" / "Cargo.toml").read_text("utf-8"))["package"]
    assert engine["version"] == version


@pytest.mark.parametrize(("name", "extra"), EXTRAS.items())
def test_the_command_of_an_absent_package_names_its_extra(
    name: str, extra: str, call: Called, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: ())
    call(name, "--anything", code=2)
    assert call.errors == f'error: {name} is not installed; run: pip install "paysim-gym[{extra}]"\n'
    assert name not in re.findall(r"^│ (\w+)", call("-h"), re.MULTILINE)


def test_a_command_that_cannot_be_loaded_is_one_warning(tmp_path: Path) -> None:
    path = [_install(tmp_path, "strange", "broken = no_such_module:command\nempty = json:nothing\n")]
    shown = _paysim("-h", path=path, folder=tmp_path)
    assert (shown.returncode, shown.stderr.splitlines()) == (
        0,
        [
            "warning: the command broken of strange cannot be loaded: ModuleNotFoundError: "
            "No module named 'no_such_module'",
            "warning: the command empty of strange cannot be loaded: AttributeError: "
            "module 'json' has no attribute 'nothing'",
        ],
    )
    assert "│ run " in shown.stdout
    run = _paysim("broken", path=path, folder=tmp_path)
    assert (run.returncode, run.stderr.count("warning:")) == (2, 1)
    assert "No such command 'broken'" in run.stderr
    assert _paysim("scenarios", "list", path=path, folder=tmp_path).stderr == ""


def test_a_duplicate_command_is_one_warning(tmp_path: Path) -> None:
    path = [
        _install(tmp_path, "first", "greet = greeting:greet\nrun = greeting:greet\n"),
        _install(tmp_path, "second", "greet = greeting:greet\n"),
    ]
    (path[0] / "greeting.py").write_text(
        'def greet(name: str) -> None:\n    """Greet somebody."""\n    print("hello", name)\n', "utf-8"
    )
    run = _paysim("greet", "you", path=path, folder=tmp_path)
    assert (run.returncode, run.stdout) == (0, "hello you\n")
    assert run.stderr.splitlines() == [
        "warning: the command run of first is ignored: there is another command of this name",
        "warning: the command greet of second is ignored: there is another command of this name",
    ]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("ValueError('rate = 3: too large')", 2, "error: rate = 3: too large\n"),
        ("FileNotFoundError(2, 'No such file', 'x.yaml')", 2, "error: [Errno 2] No such file: 'x.yaml'\n"),
        ("KeyboardInterrupt()", 130, "Stopped. Try again.\n"),
    ],
)
def test_every_command_ends_the_same_way(tmp_path: Path, error: str, code: int, message: str) -> None:
    path = [_install(tmp_path, "other", "fail = failing:fail\n")]
    (path[0] / "failing.py").write_text(
        "from paysim_gym.cli.runner import run_command\n"
        "from paysim_gym.cli.terminal import interrupt_hint\n\n"
        "def fail() -> None:\n    with interrupt_hint('Try again.'):\n"
        f"        raise {error}\n\n"
        "if __name__ == '__main__':\n    run_command(fail)\n",
        "utf-8",
    )
    run = _paysim("fail", path=path, folder=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (code, "", message)
    module = subprocess.run(
        [sys.executable, str(path[0] / "failing.py")], capture_output=True, text=True, cwd=tmp_path
    )
    assert (module.returncode, module.stderr) == (code, message)
