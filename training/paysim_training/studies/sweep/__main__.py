"""``paysim sweep``."""

from paysim_gym.cli.runner import run_command
from paysim_training.studies.sweep.command import sweep

run_command(sweep)
