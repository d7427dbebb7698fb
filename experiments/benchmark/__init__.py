"""The renderer timed beside its controls and its peers."""
