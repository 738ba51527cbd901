"""A bank's day as a picture, as text and in a window."""

from paysim_gym.render.ansi import text
from paysim_gym.render.day import Day, View
from paysim_gym.render.picture import picture
from paysim_gym.render.window import Window

__all__ = ["Day", "View", "Window", "picture", "text"]
