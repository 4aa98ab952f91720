"""Bottles on a Docker engine: two containers each, the agent's on a network that leads nowhere but to its bundle."""
