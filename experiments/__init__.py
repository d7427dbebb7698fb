"""Scripts that train, measure and show; `python -m experiments.NAME`."""
