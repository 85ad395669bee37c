"""Guards compared with what this version ships, content and all: pure, for the engine and the doctor.

What ships is generated from the chart (`make guards`), with a placeholder wherever an installation has a value of its
own. Nothing here talks to a cluster.
"""
