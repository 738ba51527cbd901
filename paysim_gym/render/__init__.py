"""Rendering of a bank's day as a picture, as text and in a window."""

from paysim_gym.render.ansi import render_text
from paysim_gym.render.day_history import BankSnapshot, DayHistory
from paysim_gym.render.picture import render_picture
from paysim_gym.render.window import Window

__all__ = ["BankSnapshot", "DayHistory", "Window", "render_picture", "render_text"]
