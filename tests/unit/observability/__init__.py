"""Tests of tasksession.observability."""
