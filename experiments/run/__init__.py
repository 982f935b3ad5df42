"""One run of a study: settings, sweeps, verdict and exit statuses."""
