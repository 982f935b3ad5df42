"""Timings beside what a user would do instead; run with ``python -m benchmarks.<name>``."""
