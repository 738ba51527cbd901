"""`python -m paysim_gym.cli`."""

from paysim_gym.cli import main

main()
