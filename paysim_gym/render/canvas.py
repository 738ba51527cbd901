"""Rectangles, lines and words on a picture. Pillow has the letters; all else is NumPy, which is faster."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]
Side = Literal["left", "middle", "right"]

# Okabe and Ito's palette, which colour-blind people can tell apart, two of them pale, and greys.
BLUE, SKY, GREEN = (0, 114, 178), (86, 180, 233), (0, 158, 115)
ORANGE, VERMILION = (230, 159, 0), (213, 94, 0)
PALE_BLUE, PALE_VERMILION = (213, 231, 243), (250, 218, 200)
INK, MUTED, FAINT, GRID = (31, 41, 51), (95, 107, 122), (154, 165, 177), (228, 231, 235)

# Letters are drawn this many times as large and shrunk: their spacing is then even at any size.
_FINENESS = 4


class Box(NamedTuple):
    """A part of the picture, in pixels; right and bottom are outside it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.right - self.left


class Canvas:
    """A picture being drawn, at a scale: 1 means letters of 13 pixels.

    Attributes:
        pixels: uint8 of shape (height, width, 3).
    """

    def __init__(self, size: tuple[int, int], scale: float) -> None:
        """Start with an empty picture of a width and a height."""
        self.pixels: NDArray[np.uint8] = np.full((size[1], size[0], 3), 255, np.uint8)
        self._scale = scale

    def px(self, length: float) -> int:
        """A length at this scale, in whole pixels."""
        return round(length * self._scale)

    def fill(self, box: Box, colour: Colour) -> None:
        """Fill a box, which may be given upside down, with at least a pixel of it."""
        left, top, right, bottom = box
        if top > bottom:
            top, bottom = bottom, top
        self.pixels[top : max(bottom, top + 1), left : max(right, left + 1)] = colour

    def across(self, left: int, right: int, y: int, colour: Colour, thickness: int = 1) -> None:
        """A horizontal line; `y` is its middle."""
        top = y - thickness // 2
        self.fill(Box(left, top, right, top + thickness), colour)

    def down(self, x: int, top: int, bottom: int, colour: Colour, thickness: int = 1) -> None:
        """A vertical line; `x` is its middle."""
        left = x - thickness // 2
        self.fill(Box(left, top, left + thickness, bottom), colour)

    def dashes(self, left: int, right: int, y: int, colour: Colour) -> None:
        """A dashed horizontal line, its dashes at the same places in every picture."""
        dash = max(self.px(5), 2)
        for start in range(left - left % (2 * dash), right, 2 * dash):
            begin, end = max(start, left), min(start + dash, right)
            if begin < end:
                self.across(begin, end, y, colour, max(self.px(2), 2))

    def text(
        self, x: int, y: int, words: str, *, colour: Colour = INK, size: float = 13, side: Side = "left"
    ) -> None:
        """Words on the middle line `y`, with their left end, middle or right end at `x`.

        Raises:
            DependencyNotInstalled: Without Pillow.
        """
        letters = _letters(words, self._letter_size(size), colour)
        height, width, _ = letters.shape
        left = x - {"left": 0, "middle": width // 2, "right": width}[side]
        top = y - height // 2
        place = self.pixels[max(top, 0) : top + height, max(left, 0) : left + width]
        letters = letters[max(-top, 0) :, max(-left, 0) :][: place.shape[0], : place.shape[1]]
        np.minimum(place, letters, out=place)

    def length(self, words: str, size: float = 13) -> int:
        """Pixels that words take across.

        Raises:
            DependencyNotInstalled: Without Pillow.
        """
        width: int = _letters(words, self._letter_size(size), INK).shape[1]
        return width

    def _letter_size(self, size: float) -> int:
        return round(size * self._scale * _FINENESS)


@lru_cache(maxsize=64)
def _font(size: int) -> FreeTypeFont:
    try:
        from PIL import ImageFont
    except ImportError as error:
        raise DependencyNotInstalled(
            'Pillow is not installed, run `pip install "paysim-gym[render]"`'
        ) from error
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise DependencyNotInstalled("this Pillow has no FreeType: install one of its wheels")
    return font


@lru_cache(maxsize=4096)
def _letters(words: str, size: int, colour: Colour) -> NDArray[np.uint8]:
    """Words on white paper, uint8 of shape (height, width, 3); `size` is in fractions of a pixel."""
    font = _font(size)
    from PIL import Image, ImageDraw

    ascent, descent = font.getmetrics()
    fine = Image.new("L", (max(int(font.getlength(words)), 1), ascent + descent))
    ImageDraw.Draw(fine).text((0, 0), words, fill=255, font=font)
    mask = np.asarray(fine.reduce(_FINENESS), np.uint16)[..., None]
    letters: NDArray[np.uint8] = (255 - mask * (255 - np.array(colour, np.uint16)) // 255).astype(np.uint8)
    return letters
