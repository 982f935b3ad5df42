"""Settings, measurements and predictions that several studies share."""
