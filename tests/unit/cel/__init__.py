"""Tests of conditions in CEL, and of the process that evaluates them."""
