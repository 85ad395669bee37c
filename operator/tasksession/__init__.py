"""Session-scoped privilege for Kubernetes: one task, one identity, for one execution window."""

__version__ = "0.1.0"
