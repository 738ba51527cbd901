"""``paysim benchmark``."""

from paysim_gym.cli.runner import run_command
from paysim_training.studies.benchmark.command import benchmark

run_command(benchmark)
