"""Keeps every session moving: memory of what was seen, queue, deadlines, workers, sweep.

The command line starts an `Operator` from here. Decisions are the lifecycle's, API calls the cluster package's.
"""
