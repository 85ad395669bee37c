"""What the suites share, tried without a cluster."""
