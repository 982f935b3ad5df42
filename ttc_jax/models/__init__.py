"""Transformers that read a context as tokens and emit the next state of a chain."""
