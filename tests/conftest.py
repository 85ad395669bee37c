"""What all tests share: the fixtures of the test cluster, and the summary of the attacks."""

pytest_plugins = ["tests.cluster.fixtures", "tests.attacks.summary"]
