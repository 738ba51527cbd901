"""The commit of the source tree, with and without git."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from paysim_gym import provenance


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@x", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the module in an empty folder, from which it asks git."""
    path = tmp_path / "provenance.py"
    shutil.copy(provenance.__file__, path)
    monkeypatch.setattr(provenance, "__file__", str(path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return path


def test_the_commit_is_that_of_the_source_tree(module: Path) -> None:
    git(module.parent, "init", "--quiet")
    git(module.parent, "add", module.name)
    git(module.parent, "commit", "--quiet", "-m", "first")
    assert provenance.source_commit() == git(module.parent, "rev-parse", "HEAD")
    assert not provenance.has_uncommitted_changes()
    module.write_text("")
    assert provenance.has_uncommitted_changes()


def test_without_git_there_is_no_commit(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (provenance.source_commit(), provenance.has_uncommitted_changes()) == (None, False)
    monkeypatch.setenv("PATH", "")
    assert (provenance.source_commit(), provenance.has_uncommitted_changes()) == (None, False)


def test_the_repository_of_an_environment_is_not_the_source_tree(module: Path) -> None:
    git(module.parent, "init", "--quiet")
    git(module.parent, "commit", "--quiet", "--allow-empty", "-m", "of something else")
    assert provenance.source_commit() is None
