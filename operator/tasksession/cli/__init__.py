"""The command line, `tasksession-operator`: settings in, an operator run, an exit status out."""
