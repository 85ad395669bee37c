"""What all tests share: the fixtures of the test cluster, and what is printed at the end of a run."""

pytest_plugins = ["tests.cluster.fixtures", "tests.attacks.summary", "tests.support.measured"]
