"""Strategic study: every bank learns, and best responses measure exploitability."""
