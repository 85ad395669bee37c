"""Tests of tasksession.cluster."""
