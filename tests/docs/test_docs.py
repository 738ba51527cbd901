"""The code of the pages runs, and their generated parts are current."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from paysim_training.evaluate import FIXED_POLICIES, TUNED_POLICIES

ROOT = Path(__file__).parents[2]
ALL_POLICIES = (*FIXED_POLICIES, *TUNED_POLICIES)
PACKAGE_PAGES = [ROOT / "agents" / "README.md", ROOT / "training" / "README.md"]
PAGES = [
    page
    for page in (*sorted((ROOT / "docs").glob("*.md")), *PACKAGE_PAGES)
    if "```python" in page.read_text("utf-8")
    and page.stem not in ("rllib", "service")  # tested by test_rllib and test_server_docs
]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("number", "printed"),
    [(0, r"\d+\.\d+ currency units for the day\n"), (1, r"\{'liquidity': 0, 'overdraft': \d+, .*\}\n")],
)
def test_the_readme_examples_run(number: int, printed: str) -> None:
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[number]
    run = subprocess.run([sys.executable, "-W", "error", "-c", example], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(printed, run.stdout)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_the_script_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    command = [sys.executable, "-W", "error", "-c", script]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout


def test_the_readme_results_name_every_policy_once() -> None:
    policies = re.findall(r"^\| `(\w+)`", README.split("## Results")[1], re.MULTILINE)
    assert sorted(policies) == sorted({*ALL_POLICIES, "ppo"})


def test_the_observation_page_is_made_from_the_engines_table() -> None:
    page = _load(ROOT / "docs" / "make_observation_page.py")
    assert page.PAGE.read_text(encoding="utf-8") == page.make_page()


def test_relative_links_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *PACKAGE_PAGES]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
