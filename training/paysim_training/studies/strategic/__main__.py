"""``paysim strategic``."""

from paysim_gym.cli.runner import run_command
from paysim_training.studies.strategic.command import strategic

run_command(strategic)
