"""Configuration, atomic files, process pool and devices; knows no model."""
