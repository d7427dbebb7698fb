"""Vectors, norms, rotations and enclosing spheres."""
