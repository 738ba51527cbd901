"""``paysim tasks``."""

from paysim_agents.tasks.command import app

app()
