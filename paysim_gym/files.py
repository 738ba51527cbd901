"""Atomic writes of files and folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely, or raise an OSError and leave what was there."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path`, or is removed after an error."""
    temporary = _temporary_path(path)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder that becomes `path`, or is removed after an error.

    Raises:
        OSError: If it cannot be made, or `path` exists and is not an empty folder.
    """
    temporary = _temporary_path(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove_temporaries(folder: Path, name: str = "*") -> None:
    """Remove unfinished writes of killed processes to names in `folder` that match a pattern."""
    for temporary in folder.glob(f".{name}.*.tmp"):
        shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()


def _temporary_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
