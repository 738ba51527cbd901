"""The commit of the source tree that produced a result."""

from __future__ import annotations

import subprocess
from pathlib import Path


def source_commit() -> str | None:
    """Return the commit of the running sources, None if git does not track them."""
    is_tracked = _git("ls-files", "--error-unmatch", Path(__file__).name) is not None
    return _git("rev-parse", "HEAD") if is_tracked else None


def has_uncommitted_changes() -> bool:
    """Whether tracked sources differ from their commit."""
    return source_commit() is not None and bool(_git("status", "--porcelain"))


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
