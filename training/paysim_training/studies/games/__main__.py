"""``paysim games``."""

from paysim_training.studies.games.command import app

app()
