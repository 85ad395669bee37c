"""What several suites share: the world of the operator's tests, the guards' scene, the faults' lanes, smaller parts.

The suites import from here and from `tests.cluster`, never from each other; this package imports no suite.
"""
