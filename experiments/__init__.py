"""Studies that compare simulations with predictions."""
