"""A window for pictures, with pygame."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray


class Window:
    """Shows pictures, at most `fps` per second."""

    def __init__(self, title: str, fps: int) -> None:
        """Prepare a window, which opens with the first picture; needs pygame."""
        self._title, self._fps = title, fps
        self._pygame = _load_pygame()
        self._clock = self._pygame.time.Clock()
        self._surface: Any = None

    def __getstate__(self) -> tuple[str, int]:
        """The arguments of a copy, which opens a window of its own."""
        return self._title, self._fps

    def __setstate__(self, state: tuple[str, int]) -> None:
        """Prepare a window."""
        self.__init__(*state)  # type: ignore[misc]

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture, uint8 of shape (height, width, 3)."""
        if self._surface is None:
            # SDL would draw through Mesa, whose LLVM clashes with that of Triton: a later import of PyTorch's
            # compiler in this process would end in SIGSEGV.
            os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
            self._pygame.display.init()
            self._pygame.display.set_caption(self._title)
            self._surface = self._pygame.display.set_mode((picture.shape[1], picture.shape[0]))
        self._pygame.surfarray.blit_array(self._surface, picture.transpose(1, 0, 2))
        self._pygame.event.pump()
        self._pygame.display.flip()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Close the window; the next picture opens it again."""
        if self._surface is not None:
            self._pygame.display.quit()
            self._surface = None


def _load_pygame() -> Any:
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled(
            'pygame is not installed, run `pip install "paysim-gym[render]"`'
        ) from error
    return pygame
