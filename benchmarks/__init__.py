"""Timings compared with the alternatives of a user; ``python -m benchmarks`` runs all and writes one page."""
