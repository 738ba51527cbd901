"""Runs for people: one loop, many ways to show it, a store that keeps it, the figures that it comes to.

Nothing here is imported by `import paysim_gym`.
"""
