"""Configuration, atomic files, process pool, devices; independent of models."""
