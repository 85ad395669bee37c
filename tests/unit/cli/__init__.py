"""Tests of tasksession.cli."""
