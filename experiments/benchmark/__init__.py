"""Timings of the renderer beside its controls and other renderers."""
