"""``paysim tasks``."""

from paysim_agents.tasks.command import tasks
from paysim_gym.cli.runner import run_command

run_command(tasks)
