"""Scripts that train, measure and draw: `python -m experiments.NAME`."""
