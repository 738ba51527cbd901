"""The installed wheels run the commands of the pages outside a checkout.

`.ci/wheels` runs this module with the interpreter of an environment that holds the wheels and nothing of
the checkout; a plain `pytest` leaves it out.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import files, version
from pathlib import Path

import paysim_agents
import paysim_training
import pytest
from paysim_agents.tasks.suite import load_results
from paysim_training.core.config import CONFIG_FOLDER, load_config

import paysim_gym

ROOT = Path(__file__).parents[2]
PACKAGES = {"paysim-gym": paysim_gym, "paysim-agents": paysim_agents, "paysim-training": paysim_training}

# Options that shorten the commands of the pages; they override those that a page gives. `short` has the
# bundled configurations with few days.
SHORT = {
    "train": "--timesteps 20480",
    "distil": "--days 20 --rounds 1",
    "benchmark": "--quick --seeds 1 --task PaySim/DeadlineLumps-v1 --configs short",
    "sweep": "--trials 1 --timesteps 20480",
    "games": "--runs 2 --game castro_two_period",
    "strategic": "--quick --timesteps 6144 --policies shared --config short/strategic.yaml",
    "tasks": "--quick --days 2 --task PaySim/DeadlineLumps-v1",
}
# Why a line of a page is not run here.
SKIPPED = {
    r"(pip install uv && )?uv run --extra (dev|train) (pytest|paysim train$).*": "needs the checkout",
    r"(\w+=\S+ )?(cargo|valgrind|callgrind_annotate) .*": "needs the checkout",
    r"#.*": "a comment",
    r"(uv run --extra train )?tensorboard .*": "serves until it is interrupted",
    r"pip install .*": "installs from an index",
    r"paysim distributed .*": "needs Ray, which has an environment of its own",
    r"uv run python docs/.*": "needs the checkout",
}
# Pages whose commands other tests run: tests/cli/test_cli_page.py, tests/server/test_server_docs.py.
TESTED_ELSEWHERE = {"cli", "service"}

PAYMENTS = "day,time,sender,receiver,amount\n2024-03-01,09:12,A,B,1250000\n2024-03-01,10:00,B,A,700\n"


def _run(command: list[str], folder: Path) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    run = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert run.returncode == 0, f"{shlex.join(command)}\n{run.stdout}\n{run.stderr}"
    return run.stdout


def _lines(page: Path) -> list[str]:
    text = "\n".join(re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a payments file, and with the bundled configurations on few days."""
    (tmp_path / "payments.csv").write_text(PAYMENTS, "utf-8")
    for name in ("docs", "short"):
        (tmp_path / name).mkdir()
    for path in CONFIG_FOLDER.glob("*.yaml"):
        config = load_config(path.stem).model_dump(mode="json", exclude_unset=True)
        for use, first in (("evaluation", 2**42), ("tuning", 2**41)):
            config[use] = {"first_seed": first, "episodes": 20}
        (tmp_path / "short" / path.name).write_text(json.dumps(config), "utf-8")
    return tmp_path


def _shortened(line: str) -> list[str]:
    """Turn a line of a page into a command that takes seconds."""
    words = shlex.split(line.removeprefix("uv run --extra train "), comments=True)
    assert words[0] == "paysim", line
    if words[1] in ("train", "sweep") and "--config" in words:
        value = words.index("--config") + 1
        words[value] = f"short/{words[value]}.yaml"
    return [*words, *(SHORT.get(words[1], "").split() if "--results" not in words else [])]


def test_only_the_wheels_are_imported(tmp_path: Path) -> None:
    code = "from importlib.util import find_spec; print(find_spec('agents'), find_spec('training'))"
    assert _run([sys.executable, "-c", code], tmp_path) == "None None\n"
    for package in PACKAGES.values():
        (folder,) = map(Path, package.__path__)
        assert "site-packages" in folder.parts
        assert ROOT not in folder.parents


@pytest.mark.parametrize("name", PACKAGES)
def test_a_wheel_has_its_licence_and_types(name: str) -> None:
    contents = {str(file) for file in files(name) or ()}
    assert f"{name.replace('-', '_')}/py.typed" in contents
    assert any(file.endswith("licenses/LICENSE") for file in contents)
    assert not {file for file in contents if file.startswith(("tests/", "docs/", "rust_env/"))}
    assert version(name) == version("paysim-gym")


def test_the_wheels_have_their_data() -> None:
    sources = {path.stem for path in (ROOT / "training/paysim_training/configs").glob("*.yaml")}
    assert {path.stem for path in CONFIG_FOLDER.glob("*.yaml")} == sources
    for name in sources:
        load_config(name)
    assert len(paysim_gym.bundled_scenarios()) == len(list((ROOT / "paysim_gym/scenarios").glob("*.yaml")))
    for name in paysim_gym.bundled_scenarios():
        paysim_gym.load_scenario(name)
    assert load_results(Path(paysim_agents.__file__).parent / "tasks" / "tasks.json")["tasks"]


def test_the_main_job_runs_and_its_model_loads(folder: Path) -> None:
    options = ["--config", "short/two_bank.yaml", "--timesteps", "20480", "--out", "run"]
    _run(["paysim", "train", *options], folder)
    assert "ppo" in _run(["paysim", "evaluate", "run"], folder)
    code = "from stable_baselines3 import PPO; print(type(PPO.load('run/model.zip').policy).__module__)"
    loaded = _run([sys.executable, "-c", code], folder)
    assert loaded == "paysim_training.algorithms.queue_policy\n"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page",
    [
        page
        for page in (
            *sorted(ROOT.glob("*/README.md")),
            *sorted(ROOT.glob("*.md")),
            *sorted(ROOT.glob("docs/*.md")),
        )
        if _lines(page) and page.stem not in TESTED_ELSEWHERE
    ],
    ids=lambda page: f"{page.parent.name}/{page.stem}",
)
def test_the_commands_of_a_page_run(page: Path, folder: Path) -> None:
    for line in _lines(page):
        if not any(re.fullmatch(pattern, line) for pattern in SKIPPED):
            _run(_shortened(line), folder)
