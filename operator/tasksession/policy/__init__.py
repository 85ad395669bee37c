"""What a session may have: rule coverage and the verdict, as pure functions of facts.

The engine looks the facts up and asks; the lifecycle acts on the verdict. Nothing here does I/O, reads a clock or
keeps state, and whatever is missing, malformed or undecided is a no.
"""
