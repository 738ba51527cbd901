"""What an environment shows of a row, by its render mode."""

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
    """The day of one row."""

    def __init__(self, render_mode: str, fps: int) -> None:
        """Start with an empty renderer.

        Args:
            render_mode: `human`, `rgb_array` or `ansi`.
            fps: Pictures a second in a window.

        Raises:
            DependencyNotInstalled: If the mode is `human` and pygame is missing.
        """
        self._render_mode = render_mode
        self._window = Window("PaySim Gym", fps) if render_mode == "human" else None
        self._day = DayHistory()

    def record(self, view: BankSnapshot) -> None:
        """Add what the bank has before it now; a window shows it at once."""
        self._day.record(view)
        if self._window:
            self._window.show(render_picture(self._day))

    def clear(self) -> None:
        """Forget the day so far."""
        self._day = DayHistory()

    def frame(self) -> Frame:
        """The day as text, or else as a fresh picture.

        Raises:
            ResetNeeded: If nothing has been recorded.
            DependencyNotInstalled: If a picture needs Pillow and it is missing.
        """
        if not self._day.snapshots:
            raise ResetNeeded("call reset before render")
        return render_text(self._day) if self._render_mode == "ansi" else render_picture(self._day)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window:
            self._window.close()


def make_renderers(render_mode: str | None, metadata: Mapping[str, Any], rows: int = 1) -> list[DayRenderer]:
    """A renderer for each row, none without a render mode.

    Raises:
        ValueError: If the metadata do not name the mode.
        DependencyNotInstalled: If the mode is `human` and pygame is missing.
    """
    modes = metadata["render_modes"]
    if render_mode is None:
        return []
    if render_mode not in modes:
        raise ValueError(f"render_mode = {render_mode!r}: must be None or one of {', '.join(modes)}")
    return [DayRenderer(render_mode, metadata["render_fps"]) for _ in range(rows)]


def warn_no_render_mode() -> None:
    """Tell whoever renders without a render mode."""
    gym.logger.warn("render shows nothing without a render mode: give render_mode to gymnasium.make")
