"""Tests against a real API server, with the operator, where one is needed, as a process of its own."""
