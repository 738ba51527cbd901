"""Optional dependencies: errors that name the pip line of the extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gymnasium.error import DependencyNotInstalled

_DISTRIBUTIONS = {
    "PIL": "Pillow",
    "sb3_contrib": "sb3-contrib",
    "stable_baselines3": "stable-baselines3",
}
"""Distributions whose names are not those of their modules."""


class MissingExtraError(DependencyNotInstalled, ImportError):
    """A module of an extra is not installed."""


@contextmanager
def requires_extra(extra: str) -> Iterator[None]:
    """Let the imports of a block name the extra that installs them.

    Args:
        extra: An extra of paysim-gym, or several with commas.

    Raises:
        MissingExtraError: If a module imported in the block is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "a module").partition(".")[0]
        name = _DISTRIBUTIONS.get(module, module)
        raise MissingExtraError(
            f"{name} is not installed; run: {pip_line(extra)}", name=error.name
        ) from error


def pip_line(extra: str) -> str:
    """Return the command that installs an extra."""
    return f'pip install "paysim-gym[{extra}]"'
