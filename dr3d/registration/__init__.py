"""Aligning a mesh to others, by surface points or by rendered images."""
