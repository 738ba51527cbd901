"""Simulations over REST and WebSocket: `paysim serve`, or the application `paysim_gym.server.app:app`.

Needs the extra `server`; nothing else in the package imports this one.
"""
