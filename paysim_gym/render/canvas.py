"""Draws rectangles and lines with NumPy, which is fastest, and text with Pillow."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from paysim_gym.extras import requires_extra

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]
Side = Literal["left", "middle", "right"]

# The colour-blind safe palette of Okabe and Ito (2008), two pale variants, and greys.
BLUE, SKY, GREEN = (0, 114, 178), (86, 180, 233), (0, 158, 115)
ORANGE, VERMILION = (230, 159, 0), (213, 94, 0)
PALE_BLUE, PALE_VERMILION = (213, 231, 243), (250, 218, 200)
INK, MUTED, FAINT, GRID = (31, 41, 51), (95, 107, 122), (154, 165, 177), (228, 231, 235)

# Text is drawn at this multiple of its size and scaled down, for even spacing at any size.
_OVERSAMPLING = 4


class Box(NamedTuple):
    """A rectangle in pixels; `right` and `bottom` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.right - self.left


class Canvas:
    """A picture to draw on; at scale 1, text has 13 pixels.

    Attributes:
        pixels: uint8 of shape (height, width, 3).
    """

    def __init__(self, size: tuple[int, int], scale: float) -> None:
        """Start with an empty picture of (width, height)."""
        self.pixels: NDArray[np.uint8] = np.full((size[1], size[0], 3), 255, np.uint8)
        self._scale = scale

    def px(self, length: float) -> int:
        """Scale a length to whole pixels."""
        return round(length * self._scale)

    def fill(self, box: Box, colour: Colour) -> None:
        """Fill at least one pixel of a box; top and bottom may be swapped."""
        left, top, right, bottom = box
        if top > bottom:
            top, bottom = bottom, top
        self.pixels[top : max(bottom, top + 1), left : max(right, left + 1)] = colour

    def horizontal_line(self, left: int, right: int, y: int, colour: Colour, thickness: int = 1) -> None:
        """Draw a horizontal line centred on `y`."""
        top = y - thickness // 2
        self.fill(Box(left, top, right, top + thickness), colour)

    def vertical_line(self, x: int, top: int, bottom: int, colour: Colour, thickness: int = 1) -> None:
        """Draw a vertical line centred on `x`."""
        left = x - thickness // 2
        self.fill(Box(left, top, left + thickness, bottom), colour)

    def dashed_line(self, left: int, right: int, y: int, colour: Colour) -> None:
        """Draw a dashed horizontal line, with dashes at fixed positions of the picture."""
        dash = max(self.px(5), 2)
        for start in range(left - left % (2 * dash), right, 2 * dash):
            begin, end = max(start, left), min(start + dash, right)
            if begin < end:
                self.horizontal_line(begin, end, y, colour, max(self.px(2), 2))

    def text(
        self, x: int, y: int, content: str, *, colour: Colour = INK, size: float = 13, side: Side = "left"
    ) -> None:
        """Draw text centred on `y`, with the given side at `x`; needs Pillow."""
        letters = _render_text(content, self._font_size(size), colour)
        height, width, _ = letters.shape
        left = x - {"left": 0, "middle": width // 2, "right": width}[side]
        top = y - height // 2
        region = self.pixels[max(top, 0) : top + height, max(left, 0) : left + width]
        letters = letters[max(-top, 0) :, max(-left, 0) :][: region.shape[0], : region.shape[1]]
        np.minimum(region, letters, out=region)

    def text_width(self, content: str, size: float = 13) -> int:
        """Return the width of text in pixels; needs Pillow."""
        width: int = _render_text(content, self._font_size(size), INK).shape[1]
        return width

    def _font_size(self, size: float) -> int:
        return round(size * self._scale * _OVERSAMPLING)


@lru_cache(maxsize=64)
def _font(size: int) -> FreeTypeFont:
    with requires_extra("render"):
        from PIL import ImageFont
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise DependencyNotInstalled("this Pillow has no FreeType: install one of its wheels")
    return font


@lru_cache(maxsize=4096)
def _render_text(content: str, size: int, colour: Colour) -> NDArray[np.uint8]:
    """Render text on white: uint8 of shape (height, width, 3)."""
    font = _font(size)
    with requires_extra("render"):
        from PIL import Image, ImageDraw

    ascent, descent = font.getmetrics()
    fine = Image.new("L", (max(int(font.getlength(content)), 1), ascent + descent))
    ImageDraw.Draw(fine).text((0, 0), content, fill=255, font=font)
    mask = np.asarray(fine.reduce(_OVERSAMPLING), np.uint16)[..., None]
    letters: NDArray[np.uint8] = (255 - mask * (255 - np.array(colour, np.uint16)) // 255).astype(np.uint8)
    return letters
