"""Recorded samples of language models, read and written."""
