"""Conditions in CEL, and the child process that evaluates them.

An expression can take any amount of memory and time. The operator starts `worker` as a process of its own and never
imports anything from here.
"""
