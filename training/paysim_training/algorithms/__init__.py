"""Learning algorithms and the networks they train."""
