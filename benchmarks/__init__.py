"""Timings beside what a user would do instead; ``python -m benchmarks`` runs all and writes one page."""
