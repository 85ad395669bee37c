"""Lets `python -m tasksession` stand for `tasksession-operator`."""

from tasksession.cli.main import main

main()
