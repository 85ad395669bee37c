"""The benchmark: the operator and the limit, side by side on one fresh control plane. `python -m tests.benchmark`."""
