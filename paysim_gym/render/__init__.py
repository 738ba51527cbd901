"""A bank's day as a picture, as text and in a window."""

from paysim_gym.render.day import Day, View
from paysim_gym.render.drawing import picture
from paysim_gym.render.window import Window
from paysim_gym.render.writing import text

__all__ = ["Day", "View", "Window", "picture", "text"]
