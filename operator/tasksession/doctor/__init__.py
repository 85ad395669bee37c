"""The doctor: looks at a cluster and says what weakens the product there, in sentences with a next step.

Facts are collected by one module; every check is a pure function of them. It never writes, and what it may not look at
is a finding of its own: nothing passes because it could not be seen.
"""
