"""Renders the day of an environment's row in its render mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from paysim_gym.render.ansi import render_text
from paysim_gym.render.day_history import BankSnapshot, DayHistory
from paysim_gym.render.picture import render_picture
from paysim_gym.render.window import Window

Frame = NDArray[np.uint8] | str


class DayRenderer:
    """Renders the day of one row."""

    def __init__(self, render_mode: str, fps: int) -> None:
        """Start with an empty day; the mode `human` needs pygame."""
        self._render_mode = render_mode
        self._window = Window("PaySim Gym", fps) if render_mode == "human" else None
        self._day = DayHistory()

    def record(self, snapshot: BankSnapshot) -> None:
        """Add a snapshot, and show it if there is a window."""
        self._day.record(snapshot)
        if self._window:
            self._window.show(render_picture(self._day))

    def clear(self) -> None:
        """Remove all snapshots."""
        self._day = DayHistory()

    def frame(self) -> Frame:
        """Render the day as text or a picture.

        Raises:
            ResetNeeded: If there is no snapshot.
            DependencyNotInstalled: If the mode needs Pillow and it is not installed.
        """
        if not self._day.snapshots:
            raise ResetNeeded("call reset before render")
        return render_text(self._day) if self._render_mode == "ansi" else render_picture(self._day)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window:
            self._window.close()


def make_renderers(render_mode: str | None, metadata: Mapping[str, Any], rows: int = 1) -> list[DayRenderer]:
    """Return one renderer per row, or none without a render mode.

    Raises:
        ValueError: If the mode is not in the metadata.
        DependencyNotInstalled: If the mode is `human` and pygame is not installed.
    """
    modes = metadata["render_modes"]
    if render_mode is None:
        return []
    if render_mode not in modes:
        raise ValueError(f"render_mode = {render_mode!r}: must be None or one of {', '.join(modes)}")
    return [DayRenderer(render_mode, metadata["render_fps"]) for _ in range(rows)]


def warn_no_render_mode() -> None:
    """Warn that `render` needs a render mode."""
    gym.logger.warn("render returns None without a render mode: pass render_mode to gymnasium.make")
