"""Folders of models, labels, simulated scans and the sample parts."""
