"""What a session is, what to do next about it: pure decisions, made from what was observed and the server's time.

The engine calls `plan`; the cluster package carries its actions out. Nothing here may perform I/O or read a clock.
"""
