"""Tests of tasksession.engine."""
