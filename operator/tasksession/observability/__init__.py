"""What people and machines see of the operator: logs and probes."""
