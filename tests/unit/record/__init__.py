"""Tests of tasksession.record."""
