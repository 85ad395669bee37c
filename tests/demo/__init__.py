"""The demo: `make demo` shows one session from beginning to end on a real cluster, and checks what it shows."""
