"""Recorded samples of language models: analysis, prices and results."""
