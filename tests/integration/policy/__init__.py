"""Tests of policy against the real API server."""
