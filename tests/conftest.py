"""What all tests share: fixtures, the order of the tests, and what is printed at the end of a run."""

pytest_plugins = [
    "tests.cluster.fixtures",
    "tests.attacks.summary",
    "tests.support.fixtures",
    "tests.support.measured",
    "tests.support.schedule",
]
