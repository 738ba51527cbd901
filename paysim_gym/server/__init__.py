"""Simulations over REST and WebSocket: `paysim serve` or `paysim_gym.server.app:app`.

Requires the extra `server`; no other module of the package imports this one.
"""
