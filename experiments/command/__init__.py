"""The command ``ttc``: options, workers and output."""
