"""``paysim strategic``."""

from paysim_training.studies.strategic.command import app

app()
