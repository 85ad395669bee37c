"""The operator as a process against a real API server: what users see of a session's life."""
