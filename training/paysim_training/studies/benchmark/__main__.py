"""``paysim benchmark``."""

from paysim_training.studies.benchmark.command import app

app()
