"""``paysim sweep``."""

from paysim_training.studies.sweep.command import app

app()
