"""The guards: what each refuses, in its own words, and what passes untouched."""
