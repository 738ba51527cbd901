"""``paysim games``."""

from paysim_gym.cli.runner import run_command
from paysim_training.studies.games.command import games

run_command(games)
