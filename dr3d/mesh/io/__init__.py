"""Mesh files: one module for each format."""
