"""Tests of what is pure: no API server, no process, no clock."""
