"""Atomic writes: complete or absent, and nothing left behind by a failed one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from paysim_gym.files import atomic_file, atomic_folder, remove_temporaries, write_atomically


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"first", b"second, longer"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_nothing(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    owner = os if step == "fsync" else Path
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"after")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"before"


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupt() -> None:
        with atomic_file(tmp_path / "file") as temporary:
            temporary.write_bytes(b"partial")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert not list(tmp_path.iterdir())


def test_a_write_that_cannot_begin_names_its_cause(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        write_atomically(tmp_path / "file" / "inside", b"")


def test_a_folder_appears_complete(tmp_path: Path) -> None:
    final = tmp_path / "above" / "folder"
    with atomic_folder(final) as folder:
        (folder / "file").write_bytes(b"content")
        assert not final.exists()
    assert [path.name for path in final.parent.iterdir()] == ["folder"]
    assert (final / "file").read_bytes() == b"content"


def test_a_failed_folder_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / "file").write_bytes(b"content")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert not list(tmp_path.iterdir())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_bytes(b"")
    with pytest.raises(OSError, match="not empty"), atomic_folder(tmp_path / "folder"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "mine"]


def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    for name in (".table.1.tmp", ".run.2.tmp/inside", ".hidden", "table.tmp", ".other.3.tmp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    remove_temporaries(tmp_path, "table")
    remove_temporaries(tmp_path, "r*")
    assert {path.name for path in tmp_path.iterdir()} == {".hidden", "table.tmp", ".other.3.tmp"}
    remove_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".hidden", "table.tmp"}
