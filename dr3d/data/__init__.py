"""Folders of models, label tables, simulated scans and the sample parts."""
