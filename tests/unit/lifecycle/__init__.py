"""Tests of tasksession.lifecycle."""
