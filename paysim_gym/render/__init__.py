"""A bank's day as a picture, as text and in a window."""

from paysim_gym.render.day import Day, View
from paysim_gym.render.picture import picture

__all__ = ["Day", "View", "picture"]
