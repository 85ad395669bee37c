"""Attacks on sessions, each refused by the mechanism that should, and successful once that is taken away."""
