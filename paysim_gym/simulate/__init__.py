"""Runs for people: the run loop, its output modes, the store and metrics.

`import paysim_gym` does not import this package.
"""
